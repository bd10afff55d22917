"""A repository of a data set on the Hub: what is there, files sent to it, and commits."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.io.errors import ConfigurationError, StoreRefused
from tasks.io.hub.files import Change, Sent, State, Stored
from tasks.io.hub.refusals import answering, patiently

_ADDRESS = re.compile(r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)/?")

_KIND = "dataset"


@dataclass(frozen=True)
class Repository:
    """A repository of a data set. Endpoint and token come from HF_ENDPOINT and HF_TOKEN.

    Every method may raise StoreRefused where no repetition helps (AccessRefused, where the token
    has no right to it), and StoreAway where the Hub has no answer, after several attempts.
    """

    name: str
    """As in ``ORG/NAME``."""

    @classmethod
    def of(cls, address: str) -> "Repository":
        """Return the repository that an address names.

        Raises:
            ConfigurationError: it names none.
        """
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id

        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise ConfigurationError(
                f"what is pushed to must be hf://datasets/ORG/NAME, got {address!r}"
            )
        try:
            validate_repo_id(found["id"])
        except HFValidationError as error:
            text = " ".join(str(error).split())
            raise ConfigurationError(f"{address} must be a name of the Hub: {text}") from error
        return cls(found["id"])

    @property
    def address(self) -> str:
        """What a person calls it."""
        return f"hf://datasets/{self.name}"

    @property
    def endpoint(self) -> str:
        """Address of the Hub that it is on."""
        from huggingface_hub import constants

        return str(constants.ENDPOINT)

    @property
    def page(self) -> str:
        """Where a browser shows it."""
        return f"{self.endpoint}/datasets/{self.name}"

    def state(self) -> State:
        """Return what is there now."""
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RepositoryNotFoundError

        with answering(self.address):
            try:
                info = patiently(self._info)
            except RepositoryNotFoundError:
                return State(None, {})
            head = str(info.sha)
            found = patiently(lambda: list(self._tree(head)))
        return State(
            head,
            {
                each.path: Stored(
                    each.size, None if each.lfs is None else each.lfs.sha256, each.blob_id
                )
                for each in found
                if isinstance(each, RepoFile)
            },
            private=bool(info.private),
        )

    def read(self, path: str, head: str) -> bytes:
        """Return the content of a small file at a commit."""
        with tempfile.TemporaryDirectory(prefix="dotpipe-hub-") as folder, answering(self.address):
            options = {"repo_type": _KIND, "revision": head, "local_dir": folder}
            copy = patiently(lambda: self._api.hf_hub_download(self.name, path, **options))
            return Path(copy).read_bytes()

    def create(self, *, private: bool) -> None:
        """Make the repository, empty, unless it is there."""
        made = {"repo_type": _KIND, "private": private or None, "exist_ok": True}
        with answering(self.address):
            patiently(lambda: self._api.create_repo(self.name, **made))

    def send(self, files: Mapping[str, Path]) -> dict[str, Sent]:
        """Send files to the Hub, where nobody sees them before a commit names them.

        What the Hub has already is not sent again.

        Args:
            files: of this machine's disk, by their paths in the repository.
        """
        from huggingface_hub import CommitOperationAdd

        added = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
        with answering(self.address):
            self._api.preupload_lfs_files(self.name, added, repo_type=_KIND)
        ignored = [each.path_in_repo for each in added if each._should_ignore]
        if ignored:
            raise StoreRefused(
                f"{self.address} must take every file, but its .gitignore leaves {ignored[0]} out; "
                "correct it there"
            )
        return {each.path_in_repo: _sent(each) for each in added}

    def commit(self, change: Change, parent: str) -> str:
        """Make a commit, and return it; what it changes becomes visible at once.

        Args:
            change: what it does.
            parent: the commit that it must follow.

        Raises:
            StoreRefused: another commit has come since the parent.
        """
        landed = False

        def attempt() -> str:
            nonlocal landed
            if landed and (head := self._head()) != parent and self._holds(change, head):
                return head  # it was done, and the answer lost
            landed = True
            return self._commit(change, parent)

        with answering(self.address):
            return patiently(attempt)

    def _commit(self, change: Change, parent: str) -> str:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(path) for path in change.removed]
        operations += [_named(path, sent) for path, sent in change.sent.items()]
        operations += [CommitOperationAdd(path, data) for path, data in change.contents.items()]
        try:
            done = self._api.create_commit(
                self.name,
                operations,
                commit_message=change.message,
                repo_type=_KIND,
                parent_commit=parent,
            )
        except ValueError as error:
            if "README.md" not in str(error):
                raise
            text = " ".join(str(error).split())
            raise ConfigurationError(f"the card must be one that the Hub takes: {text}") from None
        return str(done.oid)

    def _holds(self, change: Change, head: str) -> bool:
        """Whether a commit has just the sizes and digests of what a change adds."""
        there = {each.path: each for each in self._tree(head)}
        return all(
            path in there and there[path].lfs and there[path].lfs.sha256 == sent.sha256
            for path, sent in change.sent.items()
            if sent.mode == "lfs"
        ) and all(
            path in there and self.read(path, head) == data
            for path, data in change.contents.items()
        )

    def _head(self) -> str:
        return str(self._info().sha)

    def _info(self) -> Any:
        return self._api.repo_info(self.name, repo_type=_KIND)

    def _tree(self, head: str) -> Any:
        return self._api.list_repo_tree(self.name, recursive=True, repo_type=_KIND, revision=head)

    @property
    def _api(self) -> Any:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        return HfApi()


def _sent(operation: Any) -> Sent:
    info = operation.upload_info
    return Sent(info.size, info.sha256.hex(), operation._upload_mode)


def _named(path: str, sent: Sent) -> Any:
    """Return the operation of a commit that names a file which was sent before.

    The client keeps what it needs of one in private fields, as it does itself for uploads that
    are taken up again; ``tests/tasks/io/hub`` finds out if they are renamed.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.lfs import UploadInfo

    operation = CommitOperationAdd(path, b"")
    info = UploadInfo(size=sent.size, sample=b"", sha256=bytes.fromhex(sent.sha256))
    operation.upload_info = info
    operation._upload_mode = "lfs"
    operation._is_uploaded = True
    return operation
