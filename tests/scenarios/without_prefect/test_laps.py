"""Where tasks say that their time went: what is slow is blamed, and all laps are all the time."""

import time

import pytest

import tasks.enhance.enhance
import tasks.enhance.scoring
import tasks.evaluate.extract
import tasks.evaluate.features.pictures
import tasks.fit.measure
import tasks.restore.degraded
import tasks.restore.restore
import tasks.shard.intake
import tasks.shard.shard
from dot_kernels import PixelCodec, enhancement
from tasks.enhance import rendering
from tasks.enhance.enhance import write_enhanced
from tasks.enhance.outputs import OutputsOfShard
from tasks.evaluate.extract import plan_extraction, write_features
from tasks.fit import encoding
from tasks.fit.measure import write_moments
from tasks.fit.measurement_plan import plan_both_measurements
from tasks.io.networks.features.feature_networks import Extracted, Extractor
from tasks.restore.plan import plan_restoration
from tasks.restore.restoration import Restoration
from tasks.restore.restore import write_restored
from tasks.shard.shard import plan_shards, write_corpus_shard

SLOW_S = 0.05


@pytest.fixture
def project(tmp_path, steps, photographs):
    """A configuration that restores, with one shard of eight images in each data set."""

    def make(**sections):
        corpora = {"reference": photographs["natural"]}
        noise = [{"kind": "noise", "sigma": 0.1}]
        whole = {"degrade": noise, "restore": {"kind": "bicubic"}, "shards": {"images": 8}}
        return steps(tmp_path / "workspace", corpora, **whole, **sections)

    return make


@pytest.fixture
def slow(monkeypatch):
    """Makes every call of a function take its time first."""

    def make(owner, name):
        function = getattr(owner, name)

        def slowly(*args, **kwargs):
            time.sleep(SLOW_S)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, slowly)

    return make


def require_blamed(lap, write, job):
    """Check that the lap has the time that was lost, and that all laps have all of it."""
    start = time.perf_counter()
    outcome = write(job)
    elapsed = time.perf_counter() - start
    assert outcome.seconds[lap] >= SLOW_S
    assert sum(outcome.seconds.values()) == pytest.approx(elapsed, rel=0.05, abs=0.02)
    (record,) = {
        record
        for target in job.targets()[:1]
        for record in job.opened().ledger.records(target.artifact)
    }
    recorded = job.opened().ledger.facts(record)["laps"]
    assert recorded.keys() == outcome.seconds.keys()
    assert all(recorded[part] <= seconds for part, seconds in outcome.seconds.items())


@pytest.mark.parametrize(
    ("owner", "name", "lap"),
    [
        (tasks.enhance.enhance, "load_codec", "load networks"),
        (tasks.enhance.enhance, "load_pictures", "read"),
        (tasks.enhance.enhance, "read_matches", "read"),
        (PixelCodec, "encode", "encode network"),
        (enhancement, "transport_latents", "transport"),
        (PixelCodec, "decode", "decode network"),
        (rendering, "perceive", "metrics"),
        (tasks.enhance.scoring, "score", "metrics"),
        (tasks.enhance.scoring, "encode", "write"),
        (OutputsOfShard, "write", "write"),
    ],
)
def test_the_time_of_an_enhanced_shard_is_told_by_what_took_it(project, slow, owner, name, lap):
    run = project(enhance={"alphas": [0]})
    run.shard()
    run.fit()
    run.match()
    (job,) = run.enhancement_jobs()
    slow(owner, name)
    require_blamed(lap, write_enhanced, job)


@pytest.mark.parametrize(
    ("owner", "name", "lap"),
    [
        (tasks.fit.measure, "load_codec", "load networks"),
        (tasks.fit.measure, "load_pictures", "read"),
        (PixelCodec, "encode", "encode network"),
        (encoding, "patch_moments", "statistics"),
        (tasks.fit.measure, "save_moments", "write"),
    ],
)
def test_the_time_of_a_measured_shard_is_told_by_what_took_it(project, slow, owner, name, lap):
    run = project()
    run.shard()
    run.select()
    job = plan_both_measurements(run.opened)[0].job
    slow(owner, name)
    require_blamed(lap, write_moments, job)


@pytest.mark.parametrize(
    ("owner", "name", "lap"),
    [
        (tasks.evaluate.features.pictures, "load_pictures", "read"),
        (tasks.evaluate.features.pictures, "see", "metrics"),
        (tasks.evaluate.extract, "FeatureWriter", "write"),
    ],
)
def test_the_time_of_extracted_features_is_told_by_what_took_it(
    project, slow, monkeypatch, owner, name, lap
):
    def look(images):
        return Extracted(images.float().mean(dim=(2, 3)), None)

    identity = {"network": "squeezenet", "sha256": "0" * 64}
    monkeypatch.setattr(tasks.evaluate.extract, "extractor_identity", lambda *_: identity)
    monkeypatch.setattr(
        tasks.evaluate.extract, "load_extractor", lambda *_: Extractor(3, None, 1, look)
    )
    run = project(evaluate={"features": "squeezenet"})
    run.shard()
    (unit,) = plan_extraction(run.opened)
    slow(owner, name)
    require_blamed(lap, write_features, unit.job)


@pytest.mark.parametrize(
    ("owner", "name", "lap"),
    [
        (tasks.restore.restore, "load_restorer", "load networks"),
        (tasks.restore.degraded, "read_sides", "read"),
        (tasks.restore.degraded, "degrade", "read"),
        (Restoration, "restore", "restore"),
        (tasks.restore.restore, "encode_lossless", "write"),
        (tasks.restore.restore, "write_shard", "write"),
    ],
)
def test_the_time_of_a_restored_shard_is_told_by_what_took_it(project, slow, owner, name, lap):
    run = project()
    for unit in plan_shards(run.opened, run.config.corpora.reference, "reference"):
        write_corpus_shard(unit.job)
        run.index("reference", {unit.unit: unit.fingerprint})
    (unit,) = plan_restoration(run.opened, "reference", "run")
    slow(owner, name)
    require_blamed(lap, write_restored, unit.job)


@pytest.mark.parametrize(
    ("owner", "name", "lap"),
    [(tasks.shard.intake, "accepted", "read"), (tasks.shard.shard, "write_shard", "write")],
)
def test_the_time_of_a_corpus_shard_is_told_by_what_took_it(project, slow, owner, name, lap):
    run = project()
    corpus = run.config.corpora.reference
    (unit,) = plan_shards(run.opened, corpus, "reference")
    slow(owner, name)
    require_blamed(lap, write_corpus_shard, unit.job)
