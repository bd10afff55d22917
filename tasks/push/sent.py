"""Records of what was sent to a repository and is in no commit yet, and its small files."""

import hashlib
from collections.abc import Mapping
from functools import partial

from tasks.io.errors import StepMissing
from tasks.io.hub import Repository, Sent
from tasks.io.ledger import Ledger, digest_of
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store
from tasks.jobs import Recipe
from tasks.push.contents import File, changing, facts_of


def records_folder(repository: Repository) -> str:
    """Return the folder of the records of what was sent to a repository, and not committed yet."""
    return f"pushes/{digest_of(_names(repository))[:12]}"


def recipe_of(repository: Repository) -> Recipe:
    """Return what the records of a repository are made from, but for the artifacts."""
    return Recipe("push", _names(repository))


def _names(repository: Repository) -> dict[str, str]:
    """Return what tells a repository from all others: another Hub has not what one was sent."""
    return {"endpoint": repository.endpoint, "address": repository.address}


def sent_of(ledger: Ledger, repository: Repository, files: Mapping[str, File]) -> dict[str, Sent]:
    """Return what was sent of some files.

    Args:
        ledger: of the workspace.
        repository: where to.
        files: by their paths there.

    Raises:
        StepMissing: one was not sent.
    """
    records = list(ledger.survey(records_folder(repository)).all())
    found = dict[str, Sent]()
    for body in side_by_side(partial(facts_of, ledger), records):
        found |= {path: Sent(*sent) for path, sent in body["sent"].items()}
    for path, file in files.items():
        if path not in found or found[path][:2] != (file.size, file.sha256):
            raise StepMissing(f"{path} must have been sent, but was not; run `dotpipe push` again")
    return found


def forget_sent(ledger: Ledger, repository: Repository) -> None:
    """Forget what was sent: it is in a commit, or has to be looked after again."""
    ledger.withdraw(ledger.survey(records_folder(repository)).all())


def read_small(store: Store, file: File) -> bytes:
    """Return a file that goes along with the commit.

    Args:
        store: of the workspace.
        file: as its record tells it.

    Raises:
        StepMissing: it is not what its record tells, or not there.
    """
    try:
        data = store.read(file.source)
    except FileNotFoundError as error:
        raise changing(file.source) from error
    if (len(data), hashlib.sha256(data).hexdigest()) != (file.size, file.sha256):
        raise changing(file.source)
    return data
