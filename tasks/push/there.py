"""What is in a repository before a push: its files, and which of them pushes have put there."""

from dataclasses import dataclass
from functools import cached_property

from tasks.io.errors import ConfigurationError
from tasks.io.hub import Repository, State
from tasks.push.card import CARD
from tasks.push.contents import File
from tasks.push.manifest import MANIFEST, Pushed, PushedFile


@dataclass(frozen=True)
class There:
    """The state of a repository, and what pushes say of it."""

    address: str
    state: State
    pushed: Pushed
    card: str | None
    """The card as it is; None where there is none."""

    @classmethod
    def of(cls, repository: Repository, run: str) -> "There":
        """Look at a repository.

        Args:
            repository: where.
            run: tells the workspace and data set that are pushed.

        Raises:
            ConfigurationError: another run has been pushed there, or its card is no text.
        """
        state, address = repository.state(), repository.address
        head, pushed, card = state.head, Pushed(run=run), None
        if head is not None and MANIFEST in state.files:
            pushed = Pushed.parse(repository.read(MANIFEST, head), address)
        if head is not None and CARD in state.files:
            card = _decoded(repository.read(CARD, head), address)
        if pushed.run != run:
            raise ConfigurationError(
                f"{address} must hold this run or nothing of another, got another workspace's or "
                "another data set's; name another repository, or, if that is this workspace, "
                f"moved, remove what pushes put there, {MANIFEST} last"
            )
        return cls(address, state, pushed, card)

    def require_private(self) -> None:
        """Check that nobody but its owners sees the repository, if it is there.

        Raises:
            ConfigurationError: everybody does.
        """
        if self.state.head is not None and not self.state.private:
            raise ConfigurationError(
                f"--private must name a repository that is private or not there yet, but "
                f"{self.address} is public; make it private in its settings on the Hub, name "
                "another, or leave --private out"
            )

    def has(self, path: str, file: PushedFile | File) -> bool:
        """Whether a file of this content is at a path, as far as the Hub or a push tells it."""
        stored = self.state.files.get(path)
        if stored is None or stored.size != file.size:
            return False
        if stored.sha256 is not None:
            return stored.sha256 == file.sha256
        ours = self._files.get(path)
        return ours is not None and (ours.sha256, ours.blob) == (file.sha256, stored.blob)

    def described(self, file: File) -> PushedFile:
        """Return what a push says of a file; of a small one all of it only if it is there."""
        stored = self.state.files.get(file.path)
        is_small = stored is not None and stored.sha256 is None and self.has(file.path, file)
        blob = stored.blob if stored is not None and is_small else None
        return PushedFile(size=file.size, sha256=file.sha256, blob=blob)

    def has_below(self, folder: str) -> bool:
        """Whether there is a file in a folder that a push has put there."""
        return any(path.startswith(folder) and self.has(path, f) for path, f in self._files.items())

    def require_ours(self, path: str) -> None:
        """Check that a push has put the file at a path there, if one is there.

        Raises:
            ConfigurationError: somebody else has.
        """
        ours = self._files.get(path)
        if path in self.state.files and (ours is None or not self.has(path, ours)):
            raise ConfigurationError(
                f"a file that no push put there must not be replaced, got {path} in "
                f"{self.address}; move it away there, or name another repository"
            )

    def too_much(self, wanted: set[str]) -> list[str]:
        """Return the paths of files that pushes have put there and that are not wanted any more."""
        return sorted(
            path for path, f in self._files.items() if path not in wanted and self.has(path, f)
        )

    @cached_property
    def _files(self) -> dict[str, PushedFile]:
        return self.pushed.files()


def _decoded(card: bytes, address: str) -> str:
    """Return the text of a card.

    Raises:
        ConfigurationError: it is not in UTF-8, so to write it anew would spoil it.
    """
    try:
        return card.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the card, {CARD}, in {address} must be in UTF-8, but its byte {error.start} is not; "
            "correct it on the Hub"
        ) from error
