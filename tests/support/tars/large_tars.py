"""A run over large tars of tiny images, by plain functions, and what it has made."""

import io
from dataclasses import dataclass
from pathlib import Path

import polars
from PIL import Image
from tars.odd_tars import tar_of
from task_fixtures import Steps, draw_pixels, soften
from workspaces.brief_report import write_brief_report
from workspaces.plain_pipeline import do

from tasks.config.registry import register
from tasks.pipeline import whole_pipeline
from tasks.report.report import plan_report
from tasks.upkeep.cleaning.waste import clean, find_waste
from tasks.upkeep.verify import verify


def png(number):
    """Bytes of a small restored image; the number tells it from others."""
    out = io.BytesIO()
    Image.fromarray(soften(draw_pixels(number))).save(out, "PNG")
    return out.getvalue()


def members_of(numbers):
    """An image and a caption for each number."""
    pairs = ((f"{n:03d}.{end}", d) for n in numbers for end, d in (("png", png(n)), ("txt", b"c")))
    return list(pairs)


@dataclass
class LargeTars:
    """A run over tars, those above 15 kB of which are cut into parts of three images."""

    folder: Path
    steps: Steps

    @property
    def workspace(self):
        return self.steps.workspace

    def write(self, name, members, data=b""):
        """Write a tar of members, and what comes behind it; or nothing but that."""
        path = self.folder / "in" / f"{name}.tar"
        path.write_bytes((tar_of(members) if members is not None else b"") + data)
        return path

    def run(self):
        """Do all that is missing but the report."""
        register(self.steps.config)
        do(self.steps.opened, lambda step: not step.repeats and step.verb != "report")

    def finish(self):
        """Do all that is missing, and write a report in a sentence."""
        self.run()
        _, job = plan_report(self.steps.fitted)
        if job is not None:
            write_brief_report(job)

    def missing(self):
        """What a run would have to do but the report."""
        return [
            f"{step.name} {unit.unit}"
            for step in whole_pipeline(self.steps.opened)
            if step.verb != "report"
            for unit in step.units()
            if unit.job is not None
        ]

    def shards(self):
        """The keys of each shard's accepted images, by its tar or part."""
        catalogue, found = self.workspace.catalogue("run"), {}
        for entry in catalogue.shards:
            rows = catalogue.table(entry, ["key", "status"]).to_pylist()
            found[entry.tar] = [row["key"] for row in rows if row["status"] == "ok"]
        return found

    def reasons(self):
        """The reasons of all refused rows, by their key."""
        catalogue = self.workspace.catalogue("run")
        tables = [catalogue.table(entry, ["key", "reason"]) for entry in catalogue.shards]
        rows = [row for table in tables for row in table.to_pylist()]
        return {row["key"]: row["reason"] for row in rows if row["reason"]}

    def enhanced(self):
        """The keys of the images that were enhanced, in order."""
        folder = f"enhanced/run/{self.steps.operator}/alpha=+0.00"
        root = self.workspace.store.local(folder)
        tables = [polars.read_parquet(path) for path in root.glob("shard-*.parquet")]
        return sorted(key for table in tables for key in table["key"])

    def waste(self):
        """Artifacts and files that `gc` would remove, and its doubts."""
        waste = find_waste([self.steps.config], self.workspace)
        return [record.artifact for record in waste.records], waste.files, waste.doubts

    def clean(self):
        clean(self.steps.config)

    def damage(self):
        return [each for each in verify(self.workspace.ledger) if each.damage]

    def made(self):
        """Digests of all artifacts, by their names."""
        return {r.artifact: r.digest for r in self.workspace.ledger.survey("").all()}

    def files(self):
        """Bytes of all files but records."""
        root = self.workspace.store.local()
        paths = (path for path in root.rglob("*") if path.is_file())
        named = {path.relative_to(root).as_posix(): path for path in paths}
        return {n: p.read_bytes() for n, p in named.items() if n.startswith(FOLDERS)}


FOLDERS = ("datasets/", "moments/", "operators/", "enhanced/", "metrics/", "reports/")
