"""Uploads that nobody will finish are aborted; those that somebody may finish are not."""

from datetime import UTC, datetime, timedelta

import pytest
from servers.s3_server import fresh_bucket, using

from tasks.io.store import Store, access

WHEN_MOTO_SAYS_THEY_BEGAN = b"2010-11-10T20:48:33.000Z"


@pytest.fixture
def begin(bucket):
    """Begins an upload and leaves it."""

    def begun(key):
        upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
        bucket.client.upload_part(
            Bucket=bucket.name, Key=key, UploadId=upload["UploadId"], PartNumber=1, Body=b"1"
        )

    return begun


def test_old_uploads_below_the_workspace_are_aborted_and_no_others(bucket, begin):
    for key in ("root/a.tar", "root/b/c.tar", "rootless/a.tar", "other/a.tar"):
        begin(key)
    bucket.put("root/whole.tar")
    Store(f"{bucket.url}/root").sweep()
    assert sorted(bucket.uploads()) == ["other/a.tar", "rootless/a.tar"]
    assert bucket.keys() == ["root/whole.tar"]


@pytest.mark.parametrize(("age", "left"), [(timedelta(hours=23), 1), (timedelta(hours=25), 0)])
def test_an_upload_has_a_day_to_be_finished(bucket, proxy, begin, age, left):
    begin("root/a.tar")
    then = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    proxy.edit = lambda data: data.replace(WHEN_MOTO_SAYS_THEY_BEGAN, then)
    Store(f"{bucket.url}/root").sweep()
    assert len(bucket.uploads()) == left


def test_many_uploads_are_listed_page_by_page(bucket, proxy, begin):
    begin("root/a.tar")
    begin("root/b.tar")
    marks = b"<NextKeyMarker>root/a.tar</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>"
    pages = iter([(b"<IsTruncated>true</IsTruncated>" + marks)])
    whole = b"<IsTruncated>false</IsTruncated>"
    proxy.edit = lambda data: data.replace(whole, next(pages, whole)) if whole in data else data
    Store(f"{bucket.url}/root").sweep()
    asked = [request.path for request in proxy.requests if "uploads" in request.path]
    assert len(asked) == 2
    assert "key-marker=root%2Fa.tar" in asked[1]
    assert bucket.uploads() == []


@pytest.mark.parametrize(
    ("status", "kept"), [(None, False), ("Enabled", True), ("Suspended", True)]
)
def test_a_bucket_tells_whether_it_keeps_what_is_removed(bucket, status, kept):
    if status is not None:
        bucket.client.put_bucket_versioning(
            Bucket=bucket.name, VersioningConfiguration={"Status": status}
        )
    assert Store(f"{bucket.url}/root").keeps_versions() is kept


def test_where_a_bucket_does_not_tell_nobody_knows_and_a_disk_keeps_nothing(
    bucket, proxy, tmp_path
):
    proxy.choose = lambda _: "denied"
    assert Store(f"{bucket.url}/root").keeps_versions() is None
    assert Store(str(tmp_path)).keeps_versions() is False


def test_old_uploads_that_cannot_be_looked_for_stop_no_run(bucket, proxy, monkeypatch, caplog):
    monkeypatch.setattr(access, "_ATTEMPTS", 1)
    with fresh_bucket(bucket.endpoint) as other, using(proxy.address):
        proxy.choose = lambda _: "reset"
        Store(f"{other.url}/root").sweep()
    assert "could not look for unfinished uploads" in caplog.text


@pytest.mark.parametrize("fault", ["denied", "unconditional"])
def test_a_bucket_that_does_not_let_us_look_is_left_as_it_is(bucket, proxy, begin, fault, caplog):
    begin("root/a.tar")
    proxy.choose = lambda request: fault if "uploads" in request.path else None
    Store(f"{bucket.url}/root").sweep()
    assert "could not look for unfinished uploads" in caplog.text
    assert bucket.uploads() == ["root/a.tar"]


def test_an_upload_that_is_gone_meanwhile_does_not_matter(bucket, proxy, begin):
    begin("root/a.tar")

    def finish(request):
        if request.method == "DELETE":
            for upload in bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]:
                bucket.client.abort_multipart_upload(
                    Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    proxy.choose = finish
    Store(f"{bucket.url}/root").sweep()
    assert bucket.uploads() == []
