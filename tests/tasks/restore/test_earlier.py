"""Images that were restored for the fit before are copied, as long as they would be the same."""

import pytest

import tasks.restore.restore
from dot_kernels.restorers import bicubic
from tasks.io.networks.loaded_restorers import ImageByImage
from tests.support.pictures import images_of


@pytest.fixture
def restored(monkeypatch):
    """Tells how many images were restored since it was asked the last time."""
    seen = []

    def restore(degraded, degradations):
        seen.append(degraded)
        return bicubic(degraded, degradations)

    def count():
        counted = len(seen)
        seen.clear()
        return counted

    monkeypatch.setattr(tasks.restore.restore, "load_restorer", lambda *_: ImageByImage(restore))
    return count


@pytest.fixture
def sharded(tmp_path, steps, photographs, pixels, write_images):
    """A run whose natural images, twelve of their own, are restored for the fit."""
    drawn = {f"n{number:02d}.png": pixels(number) for number in range(12)}
    natural = write_images(tmp_path / "natural", drawn)
    corpora = {"reference": photographs["natural"], "natural": natural}

    def shard(images, name="workspace", sigma=0.1, **sections):
        degrade = [{"kind": "noise", "sigma": sigma}]
        fit = {"images": images, **sections}
        made = {"degrade": degrade, "restore": {"kind": "bicubic"}, "fit": fit}
        run = steps(tmp_path / name, corpora, **made)
        run.shard()
        return run

    return shard


def files(run):
    folder = run.workspace.store.local("datasets/run.source")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_of_a_fit_on_more_images_only_the_new_ones_are_restored(sharded, restored):
    sharded(4)
    assert restored() == 8 + 4
    more = sharded(9)
    assert restored() == 5
    alone = sharded(9, "alone")
    assert restored() == 8 + 9
    assert files(more) == files(alone)
    fewer = sharded(3)
    assert restored() == 0
    assert files(fewer) == files(sharded(3, "few"))


def test_images_of_another_degradation_or_changed_ones_are_restored_again(
    sharded, restored, tmp_path, pixels, write_images
):
    sharded(12)
    restored()
    sharded(12, sigma=0.2)
    assert restored() == 8 + 12
    write_images(tmp_path / "natural", {"n05.png": pixels(99)})
    run = sharded(12, sigma=0.2)
    assert restored() == 3  # of its shard, as the shard is another
    assert len(images_of(run, "run.source")) == 12


@pytest.mark.parametrize("ending", ["tar", "parquet"])
def test_without_the_former_images_all_are_restored(sharded, restored, ending):
    former = sharded(6)
    shards = sorted(former.workspace.store.local("datasets/run.source").glob(f"shard-*.{ending}"))
    for path in shards:
        path.write_bytes(path.read_bytes()[:-1000] if ending == "parquet" else b"")
    restored()
    assert files(sharded(12)) == files(sharded(12, "alone"))
    assert restored() == 12 + 8 + 12
