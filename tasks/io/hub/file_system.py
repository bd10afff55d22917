"""Data sets of the Hub as a file system of fsspec, to read: a request for each question.

The client's own file system lists the folder around a file to tell its size, which takes a
thousand requests where the folder holds a million files.
"""

from typing import Any

from huggingface_hub import HfFileSystem, RepoFile, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._http import hf_raise_for_status, http_backoff

from tasks.io.errors import StoreRefused


class HubFiles(HfFileSystem):
    """Files of data sets, which are only read. Endpoint and token come from the environment."""

    def info(  # type: ignore[override] # neither of its options is of use here
        self, path: str, **options: Any
    ) -> dict[str, Any]:
        """Return what fsspec wants to know of a file or folder.

        Raises:
            FileNotFoundError: there is none.
        """
        resolved: Any = self.resolve_path(path)
        if not resolved.path:
            return {"name": resolved.unresolve(), "size": 0, "type": "directory"}
        found = self._api.get_paths_info(
            resolved.repo_id,
            resolved.path_in_repo,
            revision=resolved.revision,
            repo_type=resolved.repo_type,
        )
        if not found:
            raise FileNotFoundError(path)
        name, (entry, *_) = resolved.unresolve(), found
        if not isinstance(entry, RepoFile):
            return {"name": name, "size": 0, "type": "directory"}
        return {"name": name, "size": entry.size, "type": "file", "ETag": entry.blob_id}

    def ls(  # type: ignore[override] # all its options but one are of no use here
        self, path: str, detail: bool = True, **options: Any
    ) -> list[Any]:
        """Return what lies right in a folder; files have a mark of what they hold."""
        found: list[Any] = super().ls(path, detail=detail, **options)
        return [{**each, "ETag": each.get("blob_id")} if detail else each for each in found]

    def exists(self, path: str, **options: Any) -> bool:
        """Whether there is a file or folder."""
        return self._kind(path) is not None

    def isdir(self, path: str) -> bool:
        """Whether there is a folder."""
        return self._kind(path) == "directory"

    def _kind(self, path: str) -> str | None:
        """Return whether there is a file or a directory; None if there is neither.

        Raises:
            FileNotFoundError: there is no such repository, or none that may be seen.
        """
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError as error:
            if error.__cause__ is not None:
                raise
            return None

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        """Return a file's bytes from a start to before an end; fewer where it ends before."""
        resolved: Any = self.resolve_path(path)
        url = hf_hub_url(
            resolved.repo_id,
            resolved.path_in_repo,
            repo_type=resolved.repo_type,
            revision=resolved.revision,
            endpoint=self.endpoint,
        )
        headers = self._api._build_hf_headers()
        if start is not None or end is not None:
            headers["range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        answer = http_backoff(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
        try:
            hf_raise_for_status(answer)
        except HfHubHTTPError as error:
            if error.response.status_code == 416:  # the file ends before
                return b""
            raise
        return answer.content

    def put_file(self, *_: Any, **__: Any) -> None:
        """Refuse to write."""
        _refuse()

    def pipe_file(self, *_: Any, **__: Any) -> None:
        """Refuse to write."""
        _refuse()

    def rm_file(self, *_: Any, **__: Any) -> None:
        """Refuse to remove."""
        _refuse()


def _refuse() -> None:
    raise StoreRefused(
        "hf:// must be read only, but something was to be written there; write to a folder or "
        "bucket, and push the result with `dotpipe push`"
    )
