"""Enhanced images as files of their own: under their keys, and as safe as in tars."""

import pyarrow.parquet as pq
import pytest

from tasks.config import Config
from tasks.enhance.enhance import write_enhanced
from tasks.export.export import write_exported
from tasks.export.plan import Export
from tasks.io.errors import CorpusError, ShardDamaged
from tasks.io.shards import members_of, read_index, read_members, read_sides
from tasks.pipeline import is_finished
from tasks.upkeep.cleaning.waste import clean
from tasks.upkeep.forget import forget
from tasks.upkeep.verify import verify

NAMES = ["a/0.png", "a/1.jpg", "b/2.x.PNG", "b/c/3.png", "shard-000001.png", "5.png"]
ALPHAS = [0.0, 0.5]


@pytest.fixture
def corpora(tmp_path, write_images, pixels, softened):
    """Six natural and restored images in folders, of which one has a caption."""
    clean_images = {name: pixels(i) for i, name in enumerate(NAMES)}
    write_images(tmp_path / "natural", clean_images)
    write_images(tmp_path / "restored", {n: softened(i) for n, i in clean_images.items()})
    (tmp_path / "restored/a/0.txt").write_bytes(b"a caption\n")
    return {
        "natural": tmp_path / "natural",
        "restored": {"path": str(tmp_path / "restored"), "beside": ["txt"]},
        "reference": tmp_path / "natural",
    }


@pytest.fixture
def run_of(tmp_path, steps, corpora):
    """Runs the whole job over these images, in shards of three."""

    def run(workspace="w", images=3, **enhance):
        sections = {"enhance": {"format": "png", "alphas": ALPHAS, "outputs": "files", **enhance}}
        sections |= {"fit": {"refit_beyond": 1e9}}  # one operator, whatever images come and go
        whole = steps(tmp_path / workspace, corpora, shards={"images": images}, **sections)
        whole.run()
        return whole

    return run


def folder_of(run, alpha=0.5):
    return f"enhanced/run/{run.operator}/alpha={alpha:+.2f}"


def files_of(run, alpha=0.5):
    """Files of the enhanced images at an alpha, by their paths below the folder of images."""
    root = run.workspace.store.local(f"{folder_of(run, alpha)}/images")
    return {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}


def pictures_of(run):
    """Bytes of the enhanced images by key, and of what stands beside them, as readers find them."""
    store, found, sides = run.workspace.store, {}, {}
    for shard in run.workspace.shards("run"):
        members = members_of(read_index(store, f"{folder_of(run)}/{shard}.parquet"), folder_of(run))
        found |= {member.key: data for member, data in read_members(store, members)}
        sides |= read_sides(store, members)
    return found, sides


def metrics_of(run):
    folder = run.workspace.store.local(f"metrics/run/{run.operator}/alpha+0.50")
    columns = ["key", "shard", "psnr", "ssim", "lpips"]
    return [pq.read_table(path, columns=columns).to_pylist() for path in sorted(folder.iterdir())]


def test_files_bear_the_keys_and_hold_what_the_tars_would(run_of):
    files, tars = run_of(), run_of("tars", outputs="tars")
    found = {name: path.read_bytes() for name, path in files_of(files).items()}
    assert set(found) == {
        *("a/0.png", "a/0.txt", "a/1.png", "b/2.x.png", "b/c/3.png", "shard-000001.png", "5.png")
    }
    assert not list(files.workspace.store.local(folder_of(files)).glob("*.tar"))
    assert pictures_of(files) == pictures_of(tars)
    assert metrics_of(files) == metrics_of(tars)
    assert found["a/0.txt"] == b"a caption\n"


def test_the_second_run_makes_nothing(run_of):
    run = run_of()
    assert is_finished(run.config)
    assert run.enhancement_jobs() == []


def changed(run, **enhance):
    tree = run.config.model_dump()
    tree["enhance"] |= enhance
    return type(run)(Config.model_validate(tree))


@pytest.mark.parametrize("other", [{"outputs": "tars"}, {"format": "webp"}])
def test_former_files_go_when_others_take_their_place(run_of, other):
    run = run_of()
    before = set(files_of(run))
    again = changed(run, **other)
    again.run()
    if "format" in other:
        assert {name.replace(".webp", ".png") for name in files_of(again)} == before
    else:
        assert files_of(again) == {}
        back = changed(run)
        back.run()
        assert set(files_of(back)) == before


def test_a_damaged_or_lost_file_is_found(run_of):
    run = run_of()
    files_of(run)["a/1.png"].write_bytes(b"x")
    files_of(run)["b/c/3.png"].unlink()
    damage = [sentence for each in verify(run.workspace.ledger) for sentence in each.damage]
    assert len(damage) == 2
    with pytest.raises(ShardDamaged, match=r"images/a/1\.png must hold"):
        pictures_of(run)


def test_an_image_that_has_moved_to_another_shard_is_not_lost(run_of, corpora):
    run = run_of()
    natural, restored = (corpora["natural"], corpora["natural"].parent / "restored")
    kept = {folder: (folder / "5.png").read_bytes() for folder in (natural, restored)}
    (owner,) = run.workspace.catalogue("run").holding("5")
    for folder in kept:
        (folder / "5.png").unlink()
    run.shard()  # and the run is cut short here: the enhanced shard still has the image
    for folder, data in kept.items():
        (folder / "5.png").write_bytes(data)
    run.shard()
    (now,) = run.workspace.catalogue("run").holding("5")
    assert now.shard != owner.shard
    run.fit()
    run.match()
    for job in sorted(run.enhancement_jobs(), key=lambda job: job.shard != now.shard):
        write_enhanced(job)
    assert "5.png" in files_of(run)
    assert "5" in pictures_of(run)[0]
    assert [d for each in verify(run.workspace.ledger) for d in each.damage] == []


def test_an_image_that_left_the_corpus_leaves_no_file(run_of, corpora):
    run = run_of()
    for folder in (corpora["natural"], corpora["natural"].parent / "restored"):
        (folder / "5.png").unlink()
    run.run()
    assert "5.png" not in files_of(run)


def test_a_forgotten_image_goes_with_its_files_and_others_come_back(run_of):
    run = run_of()
    stray = run.workspace.store.local(f"{folder_of(run)}/images/a/0.webp")
    stray.write_bytes(b"of a run that was killed")
    forget([run.config], ["a/0"], run.workspace)
    root = run.workspace.store.local()
    assert not [p for p in root.rglob("*") if p.is_file() and p.stem == "0"]
    run.run()
    assert {"5.png", "shard-000001.png"} <= set(files_of(run))
    assert "a/0.png" not in files_of(run)


def test_a_clean_up_keeps_files_of_records_and_removes_others(run_of):
    run = run_of()
    stray = run.workspace.store.local(f"{folder_of(run)}/images/b/left.png")
    stray.write_bytes(b"of a run that was killed")
    before = set(files_of(run)) - {"b/left.png"}
    waste = clean(run.config)
    assert set(files_of(run)) == before
    assert list(waste.folders) == [f"{folder_of(run)}/images"]


def test_they_can_be_exported(run_of, tmp_path):
    run = run_of()
    planned = Export(run.fitted, str(tmp_path / "out"), 0.5)
    units = planned.units()
    planned.prepare(units)
    for unit in units:
        write_exported(unit.job)
    planned.finish()
    made = {
        p.relative_to(tmp_path / "out").as_posix(): p.read_bytes()
        for p in (tmp_path / "out").rglob("*.*")
        if p.is_file() and ".dotpipe-export" not in p.parts
    }
    assert made["b/2.x.PNG"] == files_of(run)["b/2.x.png"].read_bytes()
    assert made["a/0.txt"] == b"a caption\n"
    assert len(made) == len(NAMES) + 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["w.jpg", "w.png/x.jpg"], "w.png/x must not lie in .* got w.png, where w goes; rename it"),
        ([f"a/{'é' * 125}n.png"], "must have a name of at most 250 bytes .*, got one of 251;"),
    ],
)
def test_images_that_cannot_be_files_are_refused_before_any_network_is_loaded(
    run_of, corpora, pixels, write_images, monkeypatch, names, said
):
    for folder in (corpora["natural"], corpora["natural"].parent / "restored"):
        write_images(folder, {name: pixels(9) for name in names})
    with monkeypatch.context() as patch:
        patch.setattr("tasks.enhance.enhance.load_networks", None)
        with pytest.raises(CorpusError, match=said):
            run_of(images=9)
    run_of("tars", images=9, outputs="tars")


def test_a_name_may_be_as_long_as_a_disk_takes_it(run_of, corpora, pixels, write_images):
    name = "n" * 250
    for folder in (corpora["natural"], corpora["natural"].parent / "restored"):
        write_images(folder, {f"{name}.png": pixels(9), "w.txt/x.jpg": pixels(8)})
    assert {f"{name}.png", "w.txt/x.png"} <= set(files_of(run_of(images=9)))
