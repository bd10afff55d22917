"""Which errors can heal, and where one was raised, also after a journey between processes."""

import errno
import io
import pickle
import socket
import ssl

import pytest

from tasks.io.errors import (
    AccessRefused,
    ArtifactDamaged,
    ConfigurationError,
    CredentialsExpired,
    DotpipeError,
    ShardDamaged,
    ShardsFailed,
    StepMissing,
    StoreAway,
    StoreFull,
    StoreRefused,
    TooManyBadImages,
    WeightsAway,
    WeightsMissing,
    can_heal,
    keep_place,
    place_of,
)


def raised():
    try:
        raise ConfigurationError("a mistake")
    except ConfigurationError as error:
        return error


def test_the_place_is_the_file_and_line_that_raised():
    line = raised.__code__.co_firstlineno + 2
    assert place_of(raised()) == f"{__file__}:{line}"


def test_a_place_that_was_kept_survives_pickling():
    error = raised()
    keep_place(error)
    again = pickle.loads(pickle.dumps(error))
    assert again.__traceback__ is None
    assert place_of(again) == place_of(error)


def test_a_place_that_nobody_kept_is_not_known():
    again = pickle.loads(pickle.dumps(raised()))
    assert place_of(again) == "an unknown place"


@pytest.mark.parametrize(
    "error",
    [
        StoreAway("no answer"),
        OSError("a disk is away"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ESTALE, "Stale file handle"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        TimeoutError("too long"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        MemoryError(),
        StepMissing("another run is writing it; run again"),
        StoreFull("no space left"),
        CredentialsExpired("the token has expired"),
        WeightsAway("no answer"),
        ssl.SSLError(ssl.SSL_ERROR_SSL, "[SSL] record layer failure"),
        ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
        socket.herror(errno.EPERM, "Unknown host"),
        DotpipeError("the connection to the Ray cluster was lost"),
        ShardsFailed("some"),
    ],
)
def test_what_may_be_otherwise_next_time_can_heal(error):
    assert can_heal(error)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("a mistake"),
        TooManyBadImages("at most 1 % may be refused"),
        WeightsMissing("not there"),
        StoreRefused("no such bucket"),
        AccessRefused("denied"),
        ArtifactDamaged("not whole"),
        ShardDamaged("not whole"),
        PermissionError(errno.EACCES, "archived, restore it first"),
        OSError(errno.EROFS, "Read-only file system"),
        OSError(errno.ENAMETOOLONG, "File name too long"),
        NotADirectoryError(errno.ENOTDIR, "Not a directory"),
        IsADirectoryError(errno.EISDIR, "Is a directory"),
        ssl.SSLCertVerificationError("self-signed certificate"),
        io.UnsupportedOperation("not readable"),
        ModuleNotFoundError("No module named 'spandrel'"),
        ValueError("covariance needs at least 2 patches, got 1"),
        TypeError("images must be tensors"),
    ],
)
def test_what_a_person_must_mend_cannot_heal(error):
    assert not can_heal(error)


@pytest.mark.parametrize(("cause", "heals"), [(OSError("away"), True), (ShardDamaged("x"), False)])
def test_shards_that_failed_can_heal_if_their_cause_can(cause, heals):
    failed = ShardsFailed("1 of 2 shards failed")
    failed.__cause__ = cause
    assert can_heal(failed) is heals
