"""What fails for good is told at once with what mends it; the rest is tried again."""

import errno
import os
import socket
import ssl
import time
from pathlib import Path

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from safetensors import SafetensorError
from servers.s3_server import fresh_bucket, sometimes, using

from tasks.io.errors import StoreAway, StoreRefused, can_heal
from tasks.io.store import Access, Slice, Store, access, transfers
from tasks.io.store.errors import translated


@pytest.fixture
def store(bucket, proxy):
    """A store with one file, behind the proxy."""
    bucket.put("root/a.bin", b"0123456789")
    return Store(f"{bucket.url}/root")


@pytest.fixture
def _hasty(monkeypatch):
    """Requests are repeated without the pauses between."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)


OPERATIONS = {
    "read": lambda store: store.read("a.bin"),
    "slices": lambda store: list(store.read_slices("a.bin", [Slice(0, 3)])),
    "entry": lambda store: store.entry("a.bin"),
    "exists": lambda store: store.exists("a.bin"),
    "is_folder": lambda store: store.is_folder(),
    "list": lambda store: list(store.list("")),
    "names": lambda store: list(store.names("")),
    "write": lambda store: store.write("b.bin", b"1"),
    "create": lambda store: store.create("c.bin", b"1"),
    "remove": lambda store: store.remove("a.bin"),
}
WITHOUT_A_BODY = ("entry", "exists")
"""S3 answers HEAD without a text, so with a number instead of a code."""


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("fault", "code", "remedy"),
    [
        ("denied", "AccessDenied", "allow s3:ListBucket"),
        ("expired", "ExpiredToken", "renew the credentials"),
        ("unknown key", "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_permanent_refusal_is_told_at_once_with_its_remedy(
    store, proxy, operation, fault, code, remedy
):
    proxy.choose = lambda _: fault
    if operation in WITHOUT_A_BODY:
        code, remedy = r"40[03]", "renew the credentials" if fault == "expired" else "allow s3:"
    with pytest.raises(StoreRefused, match=rf"s3://\S+ was refused with {code}: .*; {remedy}"):
        OPERATIONS[operation](store)
    assert len(proxy.requests) <= 2  # an answer of 400 makes botocore ask for another region


@pytest.mark.parametrize("operation", sorted({*OPERATIONS} - {*WITHOUT_A_BODY}))
def test_a_bucket_that_is_not_there_is_told_with_its_remedy(bucket, operation):
    with pytest.raises(StoreRefused, match=r"was refused with NoSuchBucket: .*; make the bucket"):
        OPERATIONS[operation](Store("s3://there-is-none/x"))


def test_missing_credentials_are_told_with_the_two_ways_out(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreRefused, match=r"set AWS_ACCESS_KEY_ID .*anonymous: true"):
        Store(bucket.url).read("a.bin")


def test_an_unknown_profile_is_told(bucket):
    with pytest.raises(StoreRefused, match=r"profile \(nobody\) could not be found; set AWS"):
        Store(bucket.url, Access(profile="nobody")).read("a.bin")


PROFILES = """
[profile signed-off]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = reader
[profile broken]
credential_process = false
"""


@pytest.mark.parametrize("profile", ["signed-off", "broken"])
def test_credentials_that_cannot_be_had_now_are_told_with_what_renews_them(
    bucket, proxy, tmp_path, monkeypatch, profile
):
    (tmp_path / "config").write_text(PROFILES)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StoreRefused, match=r"cannot be opened: .*; renew .*aws sso login"):
        Store(bucket.url, Access(profile=profile)).read("a.bin")
    assert proxy.requests == []


def test_a_name_that_no_bucket_can_have_is_told(bucket):
    with pytest.raises(StoreRefused, match=r'Invalid bucket name "My Bucket".*correct the bucket'):
        Store("s3://My Bucket/x").read("a.bin")


def test_an_endpoint_without_a_scheme_is_told(bucket, monkeypatch):
    with (
        using("localhost:9000"),
        pytest.raises(StoreRefused, match=r"Invalid endpoint: .*must begin with http:// or https"),
    ):
        Store(bucket.url).read("a.bin")


def test_a_folder_that_this_user_may_not_read_is_no_matter_of_keys(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(StoreRefused, match=r"was refused: Permission denied; let this user read"):
        list(Store(str(tmp_path)).list(""))


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", ["500", "503", "reset", "lost", "upload"])
def test_requests_that_fail_now_and_then_are_repeated(store, proxy, operation, fault):
    proxy.choose = lambda request: fault if request.number <= 3 else None
    OPERATIONS[operation](store)
    assert proxy.faults[fault] == 3


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("operation", ["read", "slices", "list", "names"])
def test_an_answer_that_breaks_off_in_the_middle_is_asked_for_again(store, proxy, operation):
    proxy.choose = lambda request: "cut" if request.number <= 2 else None
    assert OPERATIONS[operation](store)
    assert proxy.faults["cut"] == 2


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_goes_on_failing_is_given_up_as_an_error_of_the_system(store, proxy, operation):
    proxy.choose = lambda _: "500"
    with pytest.raises(StoreAway, match=r"s3://\S+ (gave an error|cannot be reached): .+[^.]$"):
        OPERATIONS[operation](store)
    assert len(proxy.requests) == access._ATTEMPTS


@pytest.mark.usefixtures("_hasty")
def test_an_answer_that_always_breaks_off_is_given_up(store, proxy):
    proxy.choose = lambda _: "cut"
    with pytest.raises(OSError, match=r"s3://\S+a.bin cannot be reached"):
        store.read("a.bin")
    assert len(proxy.requests) == transfers._ATTEMPTS


@pytest.mark.usefixtures("_hasty")
def test_a_hundred_files_go_through_an_endpoint_that_fails_every_tenth_request(store, proxy):
    proxy.choose = sometimes(0.1, seed=3)
    files = {f"{number:03d}.bin": os.urandom(100 + number) for number in range(50)}
    for name, data in files.items():
        store.write(name, data)
    read = {entry.path: store.read(entry.path) for entry in store.list("")}
    assert {**files, "a.bin": b"0123456789"} == read
    assert sum(proxy.faults.values()) > 5


def answered(code, status=400):
    """An error as s3fs raises it for an answer of S3."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = PermissionError("refused")
    error.__cause__ = ClientError(answer, "PutObject")
    return error


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (answered("ExpiredToken"), True),
        (answered("ExpiredTokenException"), True),
        (answered("400"), True),
        (answered("XMinioStorageFull", 507), True),
        (answered("AccessDenied", 403), False),
        (answered("InvalidAccessKeyId", 403), False),
        (CredentialRetrievalError(provider="web identity", error_msg="no answer"), True),
        (TokenRetrievalError(provider="sso", error_msg="no answer"), True),
        (UnauthorizedSSOTokenError(), False),
        (NoCredentialsError(), False),
        (OSError(errno.EBUSY, "Please reduce your request rate"), True),
        (ssl.SSLError(ssl.SSL_ERROR_SSL, "[SSL] record layer failure"), True),
        (ssl.SSLCertVerificationError("self-signed certificate"), False),
    ],
)
def test_what_the_next_run_may_find_otherwise_can_heal(error, heals):
    with pytest.raises(Exception) as caught, translated("s3://bucket/a.bin"):  # noqa: PT011
        raise error
    assert can_heal(caught.value) is heals


def test_a_machine_that_is_not_there_is_told_within_seconds_by_its_address(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(access, "_ATTEMPTS", 2)
    with using(address), pytest.raises(StoreAway, match=rf"cannot be reached: .*{address}"):
        Store("s3://bucket/root").read("a.bin")


def test_a_machine_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(access, "_ATTEMPTS", 2)
    monkeypatch.setattr(access, "_SILENCE_S", 0.2)
    monkeypatch.setattr(transfers, "_PATIENCE_S", 0.1)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with using(address), pytest.raises(OSError, match=rf"cannot be reached: .*{address}"):
            Store("s3://bucket/root").read("a.bin")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room there and run again; what is done is kept"),
        (errno.EDQUOT, "make room there"),
        (errno.EROFS, "give a workspace that can be written to"),
        (errno.EACCES, "give a workspace that this user may write to"),
        (errno.ENAMETOOLONG, "give a workspace with a shorter path"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_with_its_remedy(tmp_path, monkeypatch, number, remedy):
    def full(*_args):
        raise OSError(number, os.strerror(number))

    store = Store(str(tmp_path))
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(
        StoreRefused, match=rf"a.bin cannot be written: {os.strerror(number)}; {remedy}"
    ) as caught:
        store.write("a.bin", b"1")
    monkeypatch.undo()
    assert can_heal(caught.value) is (number in (errno.ENOSPC, errno.EDQUOT))
    assert list(store.names("")) == []


def test_a_disk_with_another_trouble_may_be_tried_again(tmp_path, monkeypatch):
    def broken(*_args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="Input/output error"):
        Store(str(tmp_path)).write("a.bin", b"1")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I/O error: No space left on device (os error 28)", StoreRefused),
        ("I/O error: Input/output error (os error 5)", OSError),
        ("a header of another kind", SafetensorError),
    ],
)
def test_what_tensors_say_of_the_disk_is_understood(tmp_path, text, kind):
    def write():
        with Store(str(tmp_path)).publish("a.safetensors"):
            raise SafetensorError(text)

    with pytest.raises(kind):
        write()


def test_an_error_of_a_file_that_lies_elsewhere_is_not_the_workspaces(tmp_path):
    def write():
        with Store(str(tmp_path / "workspace")).publish("a.bin"):
            raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "image.png"))

    with pytest.raises(PermissionError, match=r"image\.png"):
        write()


def test_what_does_not_fit_where_uploads_are_made_is_told_by_that_place(bucket, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        StoreRefused, match=r"^/\S+, where s3://\S+a.bin is made, cannot be written"
    ):
        Store(bucket.url).write("a.bin", b"1")


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(StoreRefused, match=r"a file is where a folder must be"):
        Store(str(tmp_path)).write("a/b.bin", b"1")
    with pytest.raises(StoreRefused, match=r"a file is where a folder must be"):
        Store(str(tmp_path)).create("a/b.bin", b"1")


def test_a_store_without_conditional_writes_says_so_and_writes_nothing(store, proxy, bucket):
    proxy.choose = lambda request: "unconditional" if request.method == "PUT" else None
    assert store.create("b.bin", b"1") is None
    assert bucket.keys() == ["root/a.bin"]


def test_a_file_that_somebody_else_makes_in_this_moment_is_not_ours(store, proxy, bucket):
    proxy.choose = lambda request: "contested" if request.method == "PUT" else None
    assert store.create("b.bin", b"1") is False
    assert bucket.keys() == ["root/a.bin"]


def test_an_upload_that_is_cut_in_the_middle_leaves_nothing(store, proxy, bucket, monkeypatch):
    monkeypatch.setattr(access, "_ATTEMPTS", 1)
    monkeypatch.setattr("tasks.io.store.remote_file.PART_BYTES", 5 << 20)
    with fresh_bucket(bucket.endpoint) as other, using(proxy.address):
        # of the second batch: moto stumbles over parts that are under way while it aborts
        proxy.choose = lambda request: "upload" if "partNumber=5" in request.path else None
        with pytest.raises(OSError, match=r"big.bin cannot be reached"):
            Store(other.url).write("big.bin", bytes(21 << 20))
        assert (other.keys(), other.uploads()) == ([], [])
        proxy.choose = lambda request: None
        Store(other.url).write("big.bin", bytes(21 << 20))
        assert other.keys() == ["big.bin"]
