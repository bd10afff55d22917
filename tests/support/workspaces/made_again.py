"""What a run makes again after a change, told by the ledger before and after."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from flows.backfill import backfill

REPORT = "reports/tiny/*/report"
LATEST = "reports/tiny/latest"
SUMMARY = "reports/tiny/*/fidelity"
OPERATOR = "operators/tiny/*"
MOMENTS = "moments/*/*/*"
SELECTION = "moments/tiny/selection-*"
TARS = "enhanced/*"
METRICS = "metrics/*"
FIDELITY = "reports/tiny/*/signals/*"
OF_ALPHAS = {
    f"{folder}/{signal}*"
    for folder in ("metrics/tiny/*", "reports/tiny/*/signals")
    for signal in ("alpha", "curve")
}
AFTER_THE_FIT = {TARS, METRICS, FIDELITY, SUMMARY, REPORT, LATEST}


@dataclass
class Redone:
    """Artifacts whose record is new or written again; names of operators and the like as *."""

    made: set[str]
    known: set[str]

    def expected(self, patterns):
        return {name for name in self.known if any(fnmatchcase(name, p) for p in patterns)}


def run_again(project, change, **sections):
    """Change something, run, and tell what was redone."""
    before = project.versions()
    change(project)
    backfill(project.configure(**sections))
    records = project.records()
    made = [r for r in records if before.get(r.path) != project.versions()[r.path]]
    artifacts = [record.artifact for record in records]
    assert len(set(artifacts)) == len(artifacts), "an artifact has two records"
    require_that_only_what_was_redone_was_written(project, before, made)
    return Redone({anonymous(r.artifact) for r in made}, {anonymous(a) for a in artifacts})


def require_that_only_what_was_redone_was_written(project, before, made):
    records = project.records()
    theirs = {file for record in made for file in records[record]["files"]}
    theirs |= {record.path for record in made} | {"configurations/tiny.json"}
    written = {name for name, seen in project.versions().items() if before.get(name) != seen}
    assert written <= theirs


def anonymous(artifact):
    return re.sub(r"(?<=/)[0-9a-f]{16}(?=/|$)", "*", artifact)
