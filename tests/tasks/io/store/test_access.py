"""Where a location may lead, and by whose key."""

import pytest
from pydantic import ValidationError
from servers.s3_server import variables

from tasks.io.errors import ConfigurationError
from tasks.io.store import (
    Access,
    Slice,
    Store,
    is_s3,
    require_location,
    require_writable,
    require_written_out,
)


@pytest.mark.parametrize(
    "url",
    [
        "folder",
        "./a:b/c",
        "/data/a:b",
        "file:///data",
        "memory://bucket/x",
        "s3://bucket",
        "s3a://bucket/x",
        "hf://datasets/org/name",
        "hf://datasets/org/name@v1.0/folder/x",
    ],
)
def test_folders_and_buckets_are_locations(url):
    assert require_location(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "pipe:cat /etc/passwd",
        "pipe://rm -rf",
        "PIPE:ls",
        "S3://bucket/x",
        "simplecache::s3://bucket/x",
        "zip://a.zip::s3://bucket",
        "s3://bucket/x::pipe:ls",
        "file:///x::pipe://y",
        "/data/x::pipe://y",
        "http://example.org/x",
        "https://example.org/x",
        "ftp://example.org",
        "ssh://host/x",
        "reference://x",
        "github://org:repo@main/x",
        "tar://x",
        "data:text/plain,1",
        "libarchive://a",
    ],
)
def test_what_runs_commands_chains_or_fetches_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"a location must be a folder or begin with one"):
        require_location(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "got nothing; `.` is the configuration's own folder"),
        ("  ", "got nothing"),
        (" data", "without spaces around it, got ' data'"),
        ("data\n", r"without spaces around it, got 'data\\n'"),
        ("da\0ta", r"one line .* got 'da\\x00ta'"),
        ("$HOME/x", r"written out, got \$HOME, which nothing replaces.*`~` is the home folder"),
        ("/data/${USER}/x", r"got \$\{USER\}"),
        ("s3://$BUCKET/x", r"got \$BUCKET"),
        ("s3:/bucket/x", "must begin with s3:// in full"),
        ("s3:bucket/x", "must begin with s3:// in full"),
        ("s3//bucket/x", "must begin with s3:// in full"),
        ("abfss//container@account/x", "must begin with abfss:// in full"),
        ("hf:/datasets/org/name", "must begin with hf:// in full"),
        ("hf://", "behind hf:// must be the name of a bucket"),
        ("hf://org/name", "behind hf:// must be a data set, as in hf://datasets/ORG/NAME/folder"),
        ("hf://datasets/name", "behind hf:// must be a data set"),
        ("hf://buckets/org/name/x", "behind hf:// must be a data set"),
        ("file:/data", "must begin with file:// in full"),
        ("s3:", "must begin with s3:// in full"),
        ("s3://", "behind s3:// must be the name of a bucket"),
        ("s3:///bucket/x", "behind s3:// must be the name of a bucket"),
        ("file://data/x", "behind file:// must be an absolute path, as file:///data"),
        ("file://~/x", "behind file:// must be an absolute path"),
        ("local://", "behind local:// must be an absolute path"),
    ],
)
def test_what_looks_like_a_location_and_is_none_is_told(url, told):
    with pytest.raises(ConfigurationError, match=told):
        require_location(require_written_out(url))


@pytest.mark.parametrize("url", ["s3:/key:very-secret@bucket", "s3//key:very-secret@bucket"])
def test_keys_in_what_is_nearly_an_address_are_not_repeated(url):
    with pytest.raises(ConfigurationError) as refused:
        require_location(url)
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/x",
        "gcs://user:very-secret@bucket/x",
        "gs:/bucket/x",
        "az://container/x",
        "abfs://container/x",
        "abfss://container@account.dfs.core.windows.net/x",
    ],
)
def test_clouds_on_which_nothing_is_tested_are_refused_with_another_way(url):
    with pytest.raises(
        ConfigurationError, match=r"as (gs|gcs|az|abfss?):// is not supported; mount"
    ) as e:
        require_location(url)
    assert "very-secret" not in str(e.value)


def test_the_hub_is_read_and_not_written_to():
    assert require_writable("s3://bucket/x") == "s3://bucket/x"
    with pytest.raises(
        ConfigurationError, match=r"push it to the Hub afterwards with `dotpipe push"
    ):
        require_writable("hf://datasets/org/name")


@pytest.mark.parametrize("url", ["./s3:/x", "s3", "s3/x", "s3x//y", "a$", "a$1", "{0..3}.tar"])
def test_folders_may_have_odd_names(url):
    assert require_location(require_written_out(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:very-secret@bucket/x",
        "s3a://very-secret@bucket/x",
        "hf://very-secret@datasets/org/name",
        "hf://user:very-secret@datasets/org/name",
    ],
)
def test_keys_in_a_location_are_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError, match=r"must hold no credentials") as refused:
        require_location(url)
    assert "very-secret" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["ftp://host", "host:9000", "http://key:secret@host", ""])
def test_an_endpoint_is_an_address_without_keys(endpoint):
    with pytest.raises(ValidationError):
        Access(endpoint=endpoint)


def test_s3_has_two_names_and_a_folder_may_have_them_too():
    urls = ("s3://x", "s3a://x", "s3", "s3/x", "/s3://x", "hf://datasets/x/y")
    assert [url for url in urls if is_s3(url)] == ["s3://x", "s3a://x"]


def test_the_environments_endpoint_and_key_are_used(bucket, proxy):
    Store(bucket.url).write("a.bin", b"1")
    assert bucket.keys() == ["a.bin"]
    assert {request.signer for request in proxy.requests} == {"testing"}


def test_an_endpoint_of_its_own_goes_before_the_environments(bucket, proxy, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    Store(bucket.url, Access(endpoint=proxy.address)).write("a.bin", b"1")
    assert bucket.keys() == ["a.bin"]


def test_a_public_bucket_is_read_without_a_key(bucket, proxy, monkeypatch):
    for name in variables(""):
        if "KEY" in name:
            monkeypatch.delenv(name)
    bucket.put("a.bin", b"1", ACL="public-read")
    store = Store(bucket.url, Access(anonymous=True))
    assert ([entry.path for entry in store.list("")], store.read("a.bin")) == (["a.bin"], b"1")
    assert {request.signer for request in proxy.requests} == {""}


@pytest.mark.parametrize("pays", [False, True])
def test_whoever_agrees_to_pay_says_so_with_every_request(bucket, proxy, pays):
    bucket.put("a.bin", b"123")
    store = Store(bucket.url, Access(requester_pays=pays))
    assert [entry.path for entry in store.list("")] == ["a.bin"]
    assert list(store.read_slices("a.bin", [Slice(1, 1)])) == [b"2"]
    with store.stream("a.bin") as stream:
        assert stream.read() == b"123"
    assert {request.payer for request in proxy.requests} == {"requester" if pays else None}


def test_a_profile_names_the_key(bucket, proxy, tmp_path, monkeypatch):
    profile = "[lab]\naws_access_key_id = of-the-lab\naws_secret_access_key = hidden\n"
    (tmp_path / "credentials").write_text(profile)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    bucket.put("a.bin", b"1")
    assert Store(bucket.url, Access(profile="lab")).read("a.bin") == b"1"
    assert {request.signer for request in proxy.requests} == {"of-the-lab"}


def test_two_stores_can_be_reached_in_two_ways(bucket, proxy):
    bucket.put("a.bin", b"1", ACL="public-read")
    assert Store(bucket.url).read("a.bin") == Store(bucket.url, Access(anonymous=True)).read(
        "a.bin"
    )
    assert [request.signer for request in proxy.requests] == ["testing", ""]
