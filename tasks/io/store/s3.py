"""Requests to S3 that fsspec has no call for: first objects, single pages, old uploads."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tasks.io.errors import StoreRefused
from tasks.io.store.errors import translated

_AGE = timedelta(days=1)
"""No upload takes this long; a younger one may still be going on, by another run."""

_PAGE = 1000
"""Objects and folders that one answer lists: the most that S3 gives."""

_log = logging.getLogger(__name__)


def holds_objects(system: Any, root: str) -> bool:
    """Whether there is such a folder: anything below it, or a bucket, even an empty one."""
    bucket, key, _ = system.split_path(root)
    prefix = f"{key}/" if key else ""
    found = system.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return not key or bool(found.get("Contents"))


def pages_of(system: Any, folder: str) -> Iterator[dict[str, Any]]:
    """Yield what lies right in a folder, in fsspec's form, but asked for page by page.

    Args:
        system: an S3 file system of fsspec.
        folder: bucket and folder. One that ends with a slash is taken by its letters, as
            the folder without a name in it ends with two.
    """
    bucket, key, _ = system.split_path(folder)
    key = key or folder[len(folder.rstrip("/")) :][1:]  # a nameless folder right in the bucket
    prefix = key if not key or key.endswith("/") else f"{key}/"
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": _PAGE}
    while True:
        page = system.call_s3("list_objects_v2", **asked)
        for below in page.get("CommonPrefixes", ()):
            yield {"name": below["Prefix"], "type": "directory", "size": 0}
        for found in page.get("Contents", ()):
            size, mark = found["Size"], found.get("ETag")
            yield {"name": found["Key"], "type": "file", "size": size, "ETag": mark}
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def keeps_versions(system: Any, root: str) -> bool | None:
    """Whether what is removed stays as an old version; None if the bucket does not tell."""
    bucket, _, _ = system.split_path(root)
    try:
        with translated(f"s3://{bucket}"):
            found = system.call_s3("get_bucket_versioning", Bucket=bucket)
    except (OSError, StoreRefused):
        return None
    return "Status" in found  # Enabled, or Suspended: then those from before are kept


def abort_orphans(system: Any, root: str) -> None:
    """Abort uploads below a folder that nobody will finish, as their parts cost money.

    These are uploads that began over a day ago by the server's own clock. Where the store does
    not allow or support this, a warning is logged.

    Args:
        system: an S3 file system of fsspec.
        root: bucket and folder.
    """
    bucket, key, _ = system.split_path(root)
    prefix = f"{key}/" if key else ""
    try:
        with translated(f"s3://{root}"):
            for old in list(_orphans(system, bucket, prefix)):
                system.call_s3("abort_multipart_upload", Bucket=bucket, **old)
                _log.warning("aborted an upload that was never finished: %s", old["Key"])
    except (OSError, StoreRefused) as error:
        _log.warning("could not look for unfinished uploads below %s: %s", root, error)


def _orphans(system: Any, bucket: str, prefix: str) -> Iterator[dict[str, str]]:
    """Yield key and id of every upload that began over a day ago; asked for page by page."""
    marker: dict[str, str] = {}
    while True:
        page = system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
        now = _date_of(page)
        for upload in page.get("Uploads", []):
            begun: datetime = upload["Initiated"]
            old = now is not None and now - begun > _AGE
            if old and upload["Key"].startswith(prefix):
                yield {"Key": upload["Key"], "UploadId": upload["UploadId"]}
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _date_of(answer: dict[str, Any]) -> datetime | None:
    """Return when the server answered, by its own clock; None if it does not tell."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return None if date is None else parsedate_to_datetime(date)
