"""What is done, who is at work on what, and the fingerprints that tell."""

from tasks.io.ledger.claims import Claims
from tasks.io.ledger.fingerprints import digest_of, fingerprint, summarised
from tasks.io.ledger.ledger import Ledger, Publication, Record, Snapshot, Survey

__all__ = [
    "Claims",
    "Ledger",
    "Publication",
    "Record",
    "Snapshot",
    "Survey",
    "digest_of",
    "fingerprint",
    "summarised",
]
