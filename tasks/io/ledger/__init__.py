"""What is finished (the ledger), and who is at work on what (claims)."""

from tasks.io.ledger.claims import Claims
from tasks.io.ledger.fingerprints import digest_of, fingerprint, summarised, with_fields
from tasks.io.ledger.ledger import Ledger
from tasks.io.ledger.publication import Publication
from tasks.io.ledger.records import Record, Survey
from tasks.io.ledger.snapshot import Snapshot
from tasks.io.ledger.versions import VERSIONS

__all__ = [
    "VERSIONS",
    "Claims",
    "Ledger",
    "Publication",
    "Record",
    "Snapshot",
    "Survey",
    "digest_of",
    "fingerprint",
    "summarised",
    "with_fields",
]
