"""Captions, classes and JSON beside images: into every tar and export, byte for byte."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from workspaces import plain_pipeline

from tasks.export.manifest import MANIFEST
from tasks.export.plan import Export
from tasks.io.shards import member_name

KEYS = ("a", "b/c 1", "日本/写真.v2", "plain")
IN_TARS = ("a", "b/c 1", "plain")
"""Keys that a tar may have: WebDataset cuts keys at dots."""

KINDS = ("cls", "json", "txt")


def sides_of(key):
    """What stands beside an image; some have all kinds, and one has nothing."""
    sides = {
        "txt": f"a caption of {key}\r\n, with trailing space \n".encode() + b"\xff",
        "cls": b"7\n",
        "json": f'{{"of": "{key}",  "spaced": [1 , 2]}}'.encode(),
    }
    return {"a": sides, "plain": {}}.get(key, {"txt": sides["txt"]})


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def images(pixels, softened):
    """Restored and natural images of every key, as files."""
    return {
        "restored": {key: png(softened(pixels(n))) for n, key in enumerate(KEYS)},
        "natural": {key: png(pixels(n)) for n, key in enumerate(KEYS)},
    }


@pytest.fixture
def folders(tmp_path, images, write_images):
    """Both corpora as folders with what stands beside each image, and with other files."""
    for role, files in images.items():
        named = {f"{key}.png": data for key, data in files.items()}
        named |= {f"{key}.{kind}": d for key in KEYS for kind, d in sides_of(key).items()}
        write_images(tmp_path / role, {**named, "notes.txt": b"of no image", "a.xml": b"<a/>"})
    return {role: tmp_path / role for role in images}


def tar_of(path, files):
    """Writes a tar of images with their sides, most of which stand apart from them."""
    members = [(f"{key}.png", files[key]) for key in IN_TARS]
    beside = [(f"{key}.{kind}", data) for key in IN_TARS for kind, data in sides_of(key).items()]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (members[0], *beside, *members[1:]):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def run_of(steps, tmp_path):
    """Runs corpora as far as an export needs it."""

    def run(corpora, workspace="workspace", **options):
        enhance = {"format": "png", "alphas": [0.5]}
        whole = steps(
            tmp_path / workspace, enhance=enhance, fit={"images": 4}, **corpora, **options
        )
        whole.shard()
        whole.fit()
        whole.enhance()
        return whole

    return run


def roles(paths, **options):
    """Both corpora, with options of the restored one."""
    paths = {role: {"path": str(path)} for role, path in paths.items()}
    return {"corpora": {**paths, "restored": paths["restored"] | options}}


def tars_of(run):
    """The tars of the restored data set, and those that are enhanced."""
    local = run.workspace.store.local()
    return [
        sorted(local.glob("datasets/run/*.tar")),
        sorted(local.glob(f"enhanced/run/{run.operator}/alpha=+0.50/*.tar")),
    ]


def read_by_webdataset(tars):
    import webdataset

    read = webdataset.WebDataset([str(tar) for tar in tars], shardshuffle=False)
    return {
        sample["__key__"]: {kind: sample[kind] for kind in KINDS if kind in sample}
        for sample in read
    }


def exported(run, destination):
    """Files of an export by plain functions, but the manifest."""
    plain_pipeline.export(Export(run.fitted, str(destination), 0.5))
    found = (path for path in Path(destination).rglob("*") if path.is_file())
    return {
        path.relative_to(destination).as_posix(): path.read_bytes()
        for path in found
        if MANIFEST not in path.parts
    }


EXPECTED = {member_name(key, "x").removesuffix(".x"): sides_of(key) for key in KEYS}


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_webdataset_reads_what_stood_beside_images_of_a_folder_in_every_tar(folders, run_of):
    run = run_of(roles(folders, beside=["txt", "cls", "json"]))
    for tars in tars_of(run):
        assert read_by_webdataset(tars) == EXPECTED


@pytest.mark.filterwarnings("ignore")
def test_webdataset_reads_what_stood_beside_images_of_tars_in_every_tar(tmp_path, images, run_of):
    (tmp_path / "tars").mkdir()
    for role, files in images.items():
        tar_of(tmp_path / "tars" / f"{role}-0.tar", files)
    run = run_of(roles({role: tmp_path / "tars" / f"{role}-{{0..0}}.tar" for role in images}))
    for tars in tars_of(run):
        assert read_by_webdataset(tars) == {key: sides_of(key) for key in IN_TARS}
    found = exported(run, tmp_path / "out")
    beside = {f"restored-0/{k}.{kind}": d for k in IN_TARS for kind, d in sides_of(k).items()}
    assert {path: data for path, data in found.items() if not path.endswith(".png")} == beside


@pytest.mark.filterwarnings("ignore")
def test_of_a_folder_nothing_beside_images_is_taken_that_is_not_asked_for(folders, run_of):
    run = run_of(roles(folders))
    for tars in tars_of(run):
        assert read_by_webdataset(tars) == {key: {} for key in EXPECTED}
    run = run_of(roles(folders, beside=["cls"]), "classes")
    for tars in tars_of(run):
        expected = {k: {x: d for x, d in s.items() if x == "cls"} for k, s in EXPECTED.items()}
        assert read_by_webdataset(tars) == expected


def test_an_export_has_them_beside_the_plain_files_and_keeps_them_in_step(
    folders, run_of, tmp_path
):
    corpora = roles(folders, beside=["txt", "json"])
    run, out = run_of(corpora), tmp_path / "out"
    found = exported(run, out)
    wanted = {f"{k}.{kind}": d for k in KEYS for kind, d in sides_of(k).items() if kind != "cls"}
    assert {path: data for path, data in found.items() if not path.endswith(".png")} == wanted
    assert {path for path in found if path.endswith(".png")} == {f"{key}.png" for key in KEYS}
    (out / "a.txt").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (folders["restored"] / "b" / "c 1.txt").unlink()
    (folders["restored"] / "plain.json").write_bytes(b"[]")
    found = exported(run_of(corpora), out)
    wanted = wanted | {"plain.json": b"[]"}
    del wanted["b/c 1.txt"]
    assert {path: data for path, data in found.items() if not path.endswith(".png")} == wanted
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_a_file_beside_that_no_export_wrote_is_not_replaced(folders, run_of, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_bytes(b"of somebody")
    run = run_of(roles(folders, beside=["txt"]))
    with pytest.raises(Exception, match=r"no export wrote must not be replaced, got 'a.txt'"):
        exported(run, out)
    assert (out / "a.txt").read_bytes() == b"of somebody"


def test_a_changed_caption_makes_its_shard_again_and_no_operator(folders, run_of):
    corpora = roles(folders, beside=["txt"])
    options = {"shards": {"images": 2}}
    run = run_of(corpora, **options)
    operator = run.operator
    before = {tar: tar.read_bytes() for tars in tars_of(run) for tar in tars}
    (folders["restored"] / "a.txt").write_bytes(b"another caption")
    run = run_of(corpora, **options)
    assert run.operator == operator
    after = {tar: tar.read_bytes() for tars in tars_of(run) for tar in tars}
    changed = [tar.name for tar in before if before[tar] != after[tar]]
    assert changed == ["shard-000000.tar"] * 2
    assert run.enhance() == []


def test_a_new_option_makes_the_shards_of_a_folder_again_and_nothing_else_of_those_without(
    folders, run_of
):
    for role in folders.values():
        (role / "a.cls").unlink()
    run = run_of(roles(folders))
    stamps = {tar: tar.stat().st_mtime_ns for tar in tars_of(run)[1]}
    run = run_of(roles(folders, beside=["cls"]))  # no image has one
    assert {tar: tar.stat().st_mtime_ns for tar in tars_of(run)[1]} == stamps
