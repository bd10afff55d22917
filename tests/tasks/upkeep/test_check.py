"""What stands in the way of a run is said before it, all at once, and nothing is made."""

from types import SimpleNamespace

import pytest

from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE
from tasks.upkeep import check_corpora
from tasks.upkeep.check import check, require_ready
from tasks.upkeep.forecasts.room import in_bytes


@pytest.fixture
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture
def offline(monkeypatch):
    """A machine without weights and without internet."""

    def missing(*_):
        raise WeightsMissing("the weights cannot be fetched; put them there")

    for name in ("load_codec", "fetch_lpips", "fetch_extractor", "fetch_judge"):
        monkeypatch.setattr(f"tasks.upkeep.check_networks.{name}", missing)


def found(run):
    return {each.what: each for each in check(run.config)}


def test_where_all_is_there_all_is_good_and_nothing_is_left_behind(tmp_path, steps, corpora):
    run = steps(tmp_path / "a" / "workspace", corpora)
    checked = found(run)
    assert {each.state for each in checked.values()} == {"good"}
    assert checked["images of run"].said == "8 images, of 17×21, 32×24 pixels"
    assert checked["keys of reference"].said.startswith("8 of the first 8 restored images have")
    assert [*tmp_path.iterdir()] == []
    assert require_ready(run.config) == []


def test_everything_that_would_fail_is_said_at_once(tmp_path, steps, photographs, offline):
    other = {"restored": photographs["restored"], "reference": photographs["natural"] / "a"}
    run = steps(
        tmp_path / "workspace",
        other | {"natural": tmp_path / "nowhere"},
        codec=STABLE_DIFFUSION_VAE.model_dump(),
    )
    with pytest.raises(ConfigurationError) as failed:
        require_ready(run.config)
    first, *lines = str(failed.value).splitlines()
    assert first == "3 things must be mended before a run:"
    assert len(lines) == 3
    assert "- the weights cannot be fetched; put them there" in lines
    assert any("a corpus must be a folder, " in line for line in lines)
    assert any("got none in common: '0' against 'a/0'" in line for line in lines)


def test_one_failure_is_one_sentence(tmp_path, steps, corpora):
    run = steps(tmp_path / "workspace", corpora | {"natural": tmp_path / "nowhere"})
    with pytest.raises(ConfigurationError, match=r"^a corpus must be a folder, .*nowhere"):
        require_ready(run.config)


def test_a_metric_whose_weights_are_missing_is_no_failure(tmp_path, steps, corpora, offline):
    evaluate = {"lpips": "alex", "features": "squeezenet", "curve": None}
    judges = {"niqe": True, "dists": True, "clip_iqa": True}
    run = steps(tmp_path / "workspace", corpora, evaluate=evaluate | judges)
    for name in ("LPIPS", "squeezenet", "NIQE", "DISTS", "CLIP-IQA"):
        assert found(run)[f"weights of {name}"].state == "poor"
    assert require_ready(run.config) == ["the weights cannot be fetched; put them there"]


def test_a_finished_run_needs_no_networks(finished, offline, monkeypatch):
    config = finished.config.model_copy(update={"codec": STABLE_DIFFUSION_VAE})
    monkeypatch.setattr("tasks.upkeep.check.is_finished", lambda *_: True)
    assert require_ready(config) == []


def test_a_workspace_that_cannot_be_written_to_is_told(tmp_path, steps, corpora):
    (tmp_path / "workspace").write_text("a file in its place")
    with pytest.raises(ConfigurationError, match=r"workspace.*(Not a directory|File exists)"):
        require_ready(steps(tmp_path / "workspace", corpora).config)


def test_a_disk_without_room_for_a_first_run_is_told(tmp_path, steps, corpora, monkeypatch):
    run = steps(tmp_path / "workspace", corpora)
    monkeypatch.setattr("tasks.upkeep.check.disk_usage", lambda _: SimpleNamespace(free=10_000))
    room = found(run)["room"]
    assert room.state == "bad"
    assert "where 10.0 kB are free; make room" in room.said


def test_how_much_room_is_needed_is_told_before_a_first_run_only(finished):
    assert "room" not in found(finished)


def test_restored_images_of_another_size_than_their_references_are_told(
    tmp_path, steps, pixels, write_images
):
    images = {f"{i}.png": pixels(i) for i in range(3)}
    small = {name: image[::2, ::2] for name, image in images.items()}
    corpora = {
        "restored": write_images(tmp_path / "restored", small),
        "reference": write_images(tmp_path / "reference", images),
    }
    (said,) = require_ready(steps(tmp_path / "workspace", corpora).config)
    assert "0.png has 16×12 pixels and its reference 32×24" in said


@pytest.mark.parametrize(("damaged", "state"), [(8, "bad"), (2, "poor"), (0, "good")])
def test_images_that_are_refused_are_told(tmp_path, steps, pixels, write_images, damaged, state):
    images = {f"{i}.png": b"no image" if i < damaged else pixels(i) for i in range(8)}
    folder = write_images(tmp_path / "images", images)
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    checked = found(run)["images of run"]
    assert checked.state == state
    assert (f"{damaged} of 8 that were opened are not, as 0.png" in checked.said) == (damaged > 0)


@pytest.mark.parametrize(
    ("alphas", "odd"), [([0, 0.5, 1], ""), ([2], "2"), ([-0.25, 0, 1.5], "-0.25, 1.5")]
)
def test_alphas_that_are_seldom_meant_are_told(tmp_path, steps, corpora, alphas, odd):
    run = steps(tmp_path / "workspace", corpora, enhance={"alphas": alphas})
    assert [said.partition(", outside")[0] for said in require_ready(run.config)] == (
        [f"enhance.alphas has {odd}"] if odd else []
    )


def test_a_format_whose_library_is_not_installed_is_told(tmp_path, steps, corpora, monkeypatch):
    monkeypatch.setattr("tasks.io.images.writers.encoding.find_spec", lambda _: None)
    run = steps(tmp_path / "jxl", corpora, enhance={"format": "jxl"})
    with pytest.raises(ConfigurationError, match="format jxl must have the library imagecodecs"):
        require_ready(run.config)
    for name in ("avif", "keep", "tiff"):
        require_ready(steps(tmp_path / name, corpora, enhance={"format": name}).config)


@pytest.mark.parametrize(("count", "state"), [(1, "bad"), (8, "bad"), (9, "poor"), (70, "good")])
def test_too_few_patches_are_told_before_anything_is_sharded(
    tmp_path, steps, pixels, write_images, count, state
):
    images = {f"{number}.png": pixels(number, 16, 16) for number in range(count)}
    folders = {role: write_images(tmp_path / role, images) for role in ("restored", "natural")}
    codec = {"kind": "pixel", "factor": 8}  # 192 dimensions, 4 patches an image
    run = steps(tmp_path / "workspace", folders, codec=codec)
    checked = found(run)["images of natural"]
    assert checked.state == state
    told = "'natural' must hold more patches than the 192 dimensions of a patch for the fit"
    assert checked.said.startswith(told) == (count < 70)
    assert ("if none is larger than the" in checked.said) == (count == 9)


def test_a_shared_key_is_found_however_late_it_comes(tmp_path, steps, write_images, monkeypatch):
    monkeypatch.setattr(check_corpora, "FIRST", 2)
    restored = {f"{i:02d}.png": b"" for i in range(20)}
    corpora = {
        "restored": write_images(tmp_path / "restored", restored),
        "reference": write_images(tmp_path / "reference", {"17.png": b"", "50.png": b""}),
    }
    config = steps(tmp_path / "workspace", corpora).config
    looks = [
        check_corpora.look_at(config, name, corpus)
        for name, corpus in sorted(config.given_datasets().items(), reverse=True)
    ]
    assert [look.is_all for look in looks] == [False, True]
    state, said = check_corpora.shared_keys("reference", *looks)
    assert (state, said) == (None, "1 of the first 18 restored images have their key in reference")
    assert check_corpora.shared_keys("reference", *looks) == (state, said)  # listed again


def test_before_a_run_corpora_that_were_sharded_before_are_not_listed_again(
    finished, monkeypatch, tmp_path
):
    monkeypatch.setattr("tasks.upkeep.check.look_at", lambda *_: pytest.fail("listed a corpus"))
    assert require_ready(finished.config) == []
    gone = finished.config.model_dump()
    gone["corpora"]["restored"]["path"] = str(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"a corpus must be a folder, .*gone"):
        require_ready(type(finished.config).model_validate(gone))


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (("_x4", ""), "`strip: _x4` beside the path of corpora.restored"),
        (("", "_gt"), "`strip: _gt` beside the path of corpora.reference"),
    ],
)
def test_no_key_in_common_is_told_at_the_start_with_the_end(
    tmp_path, steps, write_images, pixels, ends, told
):
    corpora = {
        role: write_images(tmp_path / role, {f"{i}{end}.png": pixels(i) for i in range(3)})
        for role, end in zip(("restored", "reference"), ends, strict=True)
    }
    run = steps(tmp_path / "w", corpora)
    with pytest.raises(ConfigurationError) as refusal:
        require_ready(run.config)
    assert told in str(refusal.value)
    assert not (tmp_path / "w").exists()


def test_keys_with_nothing_in_common_are_told_without_an_end(tmp_path, steps, write_images, pixels):
    corpora = {
        role: write_images(tmp_path / role, {f"{role}{i}.png": pixels(i) for i in range(3)})
        for role in ("restored", "reference")
    }
    with pytest.raises(
        ConfigurationError, match="'reference0' against 'restored0'; rename the files"
    ):
        require_ready(steps(tmp_path / "w", corpora).config)


def test_a_paired_fit_asks_for_keys_that_natural_images_share(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"] / "a"}
    run = steps(tmp_path / "workspace", corpora, fit={"pairing": "paired"})
    with pytest.raises(ConfigurationError, match=r"natural must share keys.*pairing: unpaired"):
        require_ready(run.config)


@pytest.mark.parametrize(
    ("size", "told"), [(999, "999 B"), (1_234_567, "1.2 MB"), (2.5e15, "2500.0 TB")]
)
def test_a_size_has_a_unit(size, told):
    assert in_bytes(size) == told
