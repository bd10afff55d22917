"""The errors that callers tell apart, whether one can heal, and where one was raised.

DotpipeError                 something a user can mend; shown as one sentence
├── ConfigurationError       the configuration file cannot be used
├── CorpusError              the images as a whole cannot be used
│   └── TooManyBadImages     more images were refused than max_bad_fraction allows
├── ImageRefused             one image cannot be used; becomes a row with its reason
├── TarDamaged               a tar from outside cannot be read further; becomes a row
├── ArtifactDamaged          a file that the ledger names is not there, or is not whole
│   └── ShardDamaged         one shard's tar is; artifacts that do not read it can be made
├── StoreRefused             a folder or bucket refuses, however often it is asked at once
│   ├── AccessRefused        what is there may not be read or written by this user
│   ├── StoreFull            there is no room now
│   └── CredentialsExpired   the credentials were good, and may be renewed
├── StepMissing              an earlier step has not been run
│   └── WorkspaceBusy        a run is at work, beside which nothing may be removed
├── WeightsMissing           a network's weights cannot be had
│   └── WeightsAway          where they lie gives no answer now
│       └── HubAway          it is the Hub
└── ShardsFailed             some shards failed after all retries; the others are done

OSError                      may pass by itself; tasks are tried again
└── StoreAway                a remote store gives no answer; one shard's error is all shards'
"""

import errno
import traceback


class DotpipeError(Exception):
    """Something a user can mend; the text says what, and how."""


class ConfigurationError(DotpipeError):
    """The configuration file cannot be used."""


class CorpusError(DotpipeError):
    """The images of a corpus, as a whole, cannot be used."""


class TooManyBadImages(CorpusError):
    """More images were refused than ``max_bad_fraction`` allows."""


class ImageRefused(DotpipeError):
    """One image cannot be used; the text is the reason in its row."""


class TarDamaged(DotpipeError):
    """A tar from outside cannot be read any further; the text is part of its row's reason."""


class ArtifactDamaged(DotpipeError):
    """A file that the ledger names is not there, or is not whole."""


class ShardDamaged(ArtifactDamaged):
    """A shard's tar is not there, or does not hold what its index tells."""


class StoreRefused(DotpipeError):
    """A folder or bucket refuses, however often it is asked at once: no rights, no such bucket."""


class AccessRefused(StoreRefused):
    """What is there may not be read or written by this user, or with these credentials."""


class StoreFull(StoreRefused):
    """A disk or bucket has no room now; it has again as soon as something there is removed."""


class CredentialsExpired(StoreRefused):
    """Credentials were good and are no more; what gave them may give new ones to the next run."""


class StepMissing(DotpipeError):
    """An earlier step has not been run, or not to its end."""


class WorkspaceBusy(StepMissing):
    """A run, or another clean-up, is at work on the workspace; nothing was removed."""


class WeightsMissing(DotpipeError):
    """The weights of a network cannot be had."""


class WeightsAway(WeightsMissing):
    """Where the weights of a network lie gives no answer now, so they may be had later."""


class HubAway(WeightsAway):
    """The Hub of Hugging Face gives no answer now, so that other weights need not be asked for."""


class StoreAway(ConnectionError):
    """A remote store gave no answer, or a 5xx, however often it was asked."""


class ShardsFailed(DotpipeError):
    """Some shards failed after all retries; the others are done and recorded."""


_FOR_A_PERSON = (
    ConfigurationError,
    CorpusError,
    ImageRefused,
    TarDamaged,
    ArtifactDamaged,
    StoreRefused,
    WeightsMissing,
    ImportError,
    TypeError,
    ValueError,
)
"""Errors that the same input meets again on any machine, until a person mends something.

The last three are Python's: a package that is not there, and values that a function refuses, as
one does that is given too few samples. StepMissing is none of them: another run may be doing
that step. Nor is RuntimeError, by which a device that has failed is told."""

_FOR_A_PERSON_TOO = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""Numbers of OSErrors of the same kind. A full disk is none: where files wait to be uploaded,
there is room again as soon as some have been."""

_NUMBERED_BY_THE_SYSTEM = (OSError, PermissionError, IsADirectoryError, NotADirectoryError)
"""What Python raises for these numbers. Other kinds of OSError may number their own: the 1 of
``ssl.SSLError``, as of a connection that was lost, is no EPERM."""

_MAY_PASS = (StoreFull, CredentialsExpired, WeightsAway)
"""Errors that time mends, or somebody for all runs at once, though their kind is for a person."""


def can_heal(error: BaseException) -> bool:
    """Return whether what failed may succeed when it is repeated and nobody mends anything.

    All who repeat ask this: a task that has failed on a thread or a machine of Ray, and a run
    that has failed on a work pool. Shards that failed together can heal if the error can that
    ShardsFailed was raised from.
    """
    if isinstance(error, ShardsFailed) and error.__cause__ is not None:
        return can_heal(error.__cause__)
    if isinstance(error, _MAY_PASS):
        return True
    number = getattr(error, "errno", None) if type(error) in _NUMBERED_BY_THE_SYSTEM else None
    return not isinstance(error, _FOR_A_PERSON) and number not in _FOR_A_PERSON_TOO


def place_of(error: BaseException) -> str:
    """Return the file and line that raised an error, also after ``keep_place``."""
    if error.__traceback__ is None:
        return str(error.__dict__.get(_KEPT, "an unknown place"))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def keep_place(error: BaseException) -> None:
    """Note in an error where it was raised: pickling drops its frames, but keeps the note."""
    error.__dict__[_KEPT] = place_of(error)


_KEPT = "raised_at"
"""Attribute of an error that holds the note."""
