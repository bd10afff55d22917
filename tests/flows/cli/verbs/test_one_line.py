"""One line that enhances a folder into a folder: what it writes down, and what it refuses."""

import re
import shutil
from contextlib import nullcontext

import pytest
import yaml
from workspaces.plain_pipeline import do

from flows.cli.line import Line
from flows.cli.one_line import configuration_of
from flows.cli.verbs import enhance as command
from flows.cli.verbs.enhance import with_alpha
from tasks.config import Run, load_config
from tasks.direct.known_codecs import KNOWN_CODECS
from tasks.export.export import write_exported
from tasks.export.plan import Export
from tasks.fit.operators import fitted
from tasks.io.errors import ConfigurationError, CorpusError
from tasks.io.workspace import MARK
from tasks.pipeline import is_finished


@pytest.fixture
def images(tmp_path, photographs):
    """A folder with restored and natural images, in which the line is written."""
    for role in ("restored", "natural"):
        shutil.copytree(photographs[role], tmp_path / role)
    return tmp_path


@pytest.fixture
def line(images):
    """What a line asks for: the folders, and whatever is said otherwise."""

    def asked(**options):
        known = {"restored": images / "restored", "natural": images / "natural"}
        known = {**known, "out": images / "out", "codec": "pixel", **options}
        texts = {name: str(known[name]) if name in known else None for name in NAMES}
        dials = {name: known.get(name) for name in ("alpha", "low_share")}
        return Line(**texts, **dials, choose=known.get("choose", ()))

    return asked


NAMES = ("restored", "natural", "reference", "out", "codec", "weights", "strip", "format")


def test_the_configuration_lies_in_the_workspace_beside_the_folder_to_fill(line, images):
    file = configuration_of(line(alpha=0.5))
    assert file == images / "out.dotpipe" / "enhance.yaml"
    config = load_config(file)
    assert (config.name, config.workspace) == ("out", str(images / "out.dotpipe"))
    assert config.corpora.restored.path == str(images / "restored")
    assert config.corpora.natural.path == str(images / "natural")
    assert config.corpora.reference is None
    assert config.enhance.alphas == (0.5,)
    assert (config.enhance.format, config.patch_size) == ("keep", 1)
    assert not (images / "out").exists()


def test_without_a_codec_it_is_a_small_one_by_its_name(line):
    config = load_config(configuration_of(line(codec="taesd3")))
    assert config.codec == KNOWN_CODECS["taesd3"]


def test_an_end_of_names_is_taken_off_the_restored_ones(line):
    config = load_config(configuration_of(line(strip="_net")))
    assert config.corpora.restored.strip == "_net"
    assert config.corpora.natural.strip is None


def test_the_same_line_uses_what_was_edited_since(line):
    file = configuration_of(line())
    (file.parent / MARK).touch()
    file.write_text(file.read_text() + "compute: {batch: 2}\n")
    assert configuration_of(line()) == file
    assert load_config(file).compute.batch == 2


def test_a_line_by_which_nothing_was_made_may_be_corrected(line, images):
    shutil.move(images / "restored", images / "others")
    with pytest.raises(CorpusError, match="must be a folder"):
        configuration_of(line())
    assert not (images / "out.dotpipe").exists()
    configuration_of(line(restored=images / "others"))
    shutil.copytree(images / "others", images / "third")
    file = configuration_of(line(restored=images / "third"))
    assert load_config(file).corpora.restored.path == str(images / "third")


def test_what_was_edited_before_anything_was_made_is_kept(line, images):
    file = configuration_of(line())
    file.write_text(file.read_text() + "compute: {batch: 2}\n")
    assert load_config(configuration_of(line())).compute.batch == 2
    with pytest.raises(ConfigurationError, match="--natural must be as in"):
        configuration_of(line(natural=images / "restored" / "a"))


def test_the_share_of_low_frequencies_can_be_said_and_is_kept(line):
    assert load_config(configuration_of(line())).enhance.share_of_low_frequencies == 0
    file = configuration_of(line(low_share=1.0))  # nothing was made yet
    (file.parent / MARK).touch()
    for again in (line(), line(low_share=1.0)):
        assert load_config(configuration_of(again)).enhance.share_of_low_frequencies == 1
    assert line(low_share=0.0).options()[-1] == "--low-share"
    with pytest.raises(ConfigurationError, match="low_share"):
        configuration_of(line(low_share=1.5))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"restored": "others"}, "RESTORED must be as in "),
        ({"natural": "others"}, "--natural must be as in "),
        ({"reference": "others"}, "--reference must be as in "),
        ({"codec": "sd"}, "--codec must be as in "),
        ({"strip": "_net"}, "--strip must be as in "),
        ({"low_share": 1.0}, "--low-share must be as in .*, got 1 against 0"),
    ],
)
def test_other_images_or_another_codec_do_not_go_into_the_same_folder(
    line, images, options, sentence
):
    file = configuration_of(line())
    (file.parent / MARK).touch()
    shutil.copytree(images / "natural", images / "others")
    options = {n: images / "others" if v == "others" else v for n, v in options.items()}
    with pytest.raises(ConfigurationError, match=f"{sentence}.* or name another --out"):
        configuration_of(line(**options))


@pytest.mark.parametrize("out", ["restored", "restored/x", "natural/x", "."])
def test_the_folder_to_fill_lies_apart_from_the_images(line, images, out):
    with pytest.raises(ConfigurationError, match="must lie apart from the images that are read"):
        configuration_of(line(out=images / out))
    assert not list(images.glob("*.dotpipe"))


def test_a_broken_rule_is_told_in_a_sentence(line):
    with pytest.raises(ConfigurationError, match="alphas name folders by two decimals"):
        configuration_of(line(alpha=0.123))


@pytest.mark.parametrize("out", ["natural", "reference", "_", "Bilder, neu", "x" * 100])
def test_a_folder_of_any_name_gives_the_run_a_name(line, images, out):
    assert load_config(configuration_of(line(out=images / "made" / out))).name


@pytest.mark.parametrize(
    "section",
    [
        "enhance: {alphas: [0.25], format: png}  # mine\n",
        "enhance:\n  alphas: [0.25]  # mine\n  format: png\n",
        "enhance:\n  # mine\n  alphas:\n  - 0.25\n  format: png\n",
        "enhance:\n  # mine\n  format: png\n  alphas:\n    - 0.25\n",
    ],
)
def test_an_alpha_is_added_and_the_rest_of_the_file_stays(tmp_path, section):
    file = tmp_path / "enhance.yaml"
    file.write_text(f"name: x\n{section}patches: {{size: 1}}\n")
    text = with_alpha(file, (0.25,), 0.5)
    assert yaml.safe_load(text) == yaml.safe_load(file.read_text()) | {
        "enhance": {"alphas": [0.25, 0.5], "format": "png"}
    }
    assert "# mine\n" in text


def test_alphas_keep_all_their_digits(tmp_path):
    file = tmp_path / "enhance.yaml"
    file.write_text("enhance:\n  alphas: [0.3333333333333333]\n")
    text = with_alpha(file, (1 / 3,), 0.12345678)
    assert yaml.safe_load(text) == {"enhance": {"alphas": [1 / 3, 0.12345678]}}


def test_a_file_that_does_not_say_its_alphas_is_told(tmp_path):
    file = tmp_path / "enhance.yaml"
    file.write_text("name: x\n")
    with pytest.raises(ConfigurationError, match=r"must say which alphas are written, for 0.5"):
        with_alpha(file, (0.0,), 0.5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pics"], "'pics' must be a YAML file, or images that come with --natural"),
        (["pics", "--natural", "n"], "got --natural; write `dotpipe enhance RESTORED"),
        (["pics", "--out", "o"], "got --out; write `dotpipe enhance RESTORED"),
        (["mine.yaml", "--out", "o"], "--out goes with a folder of images, got the config"),
        (["mine.yml", "--alpha", "0"], "--alpha goes with a folder of images, got the config"),
        (["none.yaml"], "configuration must be a readable file, got 'none.yaml'"),
        (
            ["p", "--natural", "n", "--out", "o", "--alpha", "0", "--choose", "min-psnr=27"],
            "alpha must be given or chosen, got both --alpha and --choose",
        ),
        (
            ["p", "--natural", "n", "--out", "o", "--choose", "min-psnr=27"],
            "--choose needs --reference",
        ),
        (
            ["p", "--reference", "n", "--out", "o", "--choose", "psnr"],
            "with a number, as min-psnr=27, got 'psnr'",
        ),
        (
            ["p", "--natural", "n", "--out", "o", "--codec", "vae"],
            "a codec must be pixel, taesd, taesd3, taef2, sd, plug-in:NAME, or a folder",
        ),
        (["p", "--natural", "n", "--out", "o"], "must be a folder, or a prefix of a bucket"),
    ],
)
def test_a_line_that_is_not_whole_is_told(dotpipe, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    code, _, err = dotpipe("enhance", *words)
    assert code == 1
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


def test_what_must_be_mended_in_the_configuration_of_a_line_comes_with_its_path(line, images):
    (images / "truth").mkdir()
    for number, path in enumerate(sorted((images / "natural").rglob("*.*"))):
        shutil.copy(path, images / "truth" / f"other{number}{path.suffix}")
    asked = line(reference=images / "truth")
    with pytest.raises(ConfigurationError) as told:
        command.enhance_folder(asked)
    assert "must share keys" in str(told.value)
    assert str(images / "out.dotpipe" / "enhance.yaml") in str(told.value)


def test_a_yaml_file_of_any_name_is_a_configuration(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(command, "_do_step", done.append)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings").touch()
    for source in ("settings", "a.yaml", "b.YML"):
        command.enhance(source)
    assert [str(each) for each in done] == ["settings", "a.yaml", "b.YML"]


# The whole line, by plain functions in the place of flows


@pytest.fixture
def plainly(monkeypatch):
    """Have the command do its work without Prefect; returns what it did, by name."""
    done = []

    def run(config):
        if is_finished(config):
            return None
        done.append("run")
        do(Run.of(config), lambda step: not step.repeats)
        return []

    def export(config, destination, alpha):
        planned = Export(fitted(Run.of(config)), destination, alpha)
        units = planned.units()
        if planned.is_done(units):
            return "nothing to write"
        done.append(f"export {alpha:g}")
        planned.prepare(units)
        for unit in units:
            write_exported(unit.job)
        planned.finish()
        return "wrote them"

    monkeypatch.setattr(command, "do_missing", run)
    monkeypatch.setattr(command, "write_files", export)
    monkeypatch.setattr(command, "watched", lambda *_, **__: nullcontext())
    return done


@pytest.fixture
def enhanced(plainly, dotpipe, images, monkeypatch):
    """Runs the line over the images; returns what was done and what was printed."""
    monkeypatch.chdir(images)
    monkeypatch.setenv("TORCH_HOME", str(images / "none"))

    def run(*options):
        plainly.clear()
        folders = ("--natural", "natural", "--out", "out")
        code, out, err = dotpipe("enhance", "restored", *folders, *options)
        assert code == 0, err
        return list(plainly), out

    return run


def quick(images):
    """Ask for small patches and no network of a metric, in the file that was written."""
    file = images / "out.dotpipe" / "enhance.yaml"
    text = file.read_text().replace("factor: 8", "factor: 2")
    file.write_text(text + "evaluate: {lpips: null, niqe: false, features: null}\n")


def written(images):
    return {path.relative_to(images / "out").as_posix() for path in images.glob("out/[a-z]/*")}


def test_files_come_out_under_the_names_that_went_in_and_nothing_is_done_twice(
    enhanced, line, images
):
    (file,) = {configuration_of(line())}
    (file.parent / MARK).touch()
    quick(images)
    done, told = enhanced()
    assert done == ["run", "export 0.25"]
    given = {p.relative_to(images / "restored").as_posix() for p in images.glob("restored/?/*")}
    assert written(images) == given
    assert "report: " in told
    assert f"wrote them; everything else is in {images / 'out.dotpipe'}" in told
    assert "warning" not in told  # natural and restored images have the same names
    assert enhanced()[0] == []
    assert enhanced("--alpha", "0.5")[0] == ["run", "export 0.5"]
    assert load_config(file).enhance.alphas == (0.25, 0.5)


def test_of_few_images_of_other_things_it_is_told_how_little_the_map_does(enhanced, line, images):
    (images / "natural").rename(images / "others")
    shutil.copytree(images / "others", images / "natural" / "of-other-things")
    (configuration_of(line()).parent / MARK).touch()
    quick(images)
    _, told = enhanced()
    assert re.search(r"^\d+ % of what the map changes was taken back", told, re.MULTILINE)
    assert "--max-change N" in told


def test_alpha_is_chosen_by_a_bound_and_written(enhanced, line, images):
    shutil.copytree(images / "natural", images / "truth")
    options = {"reference": images / "truth", "choose": ("min-psnr=20",)}
    file = configuration_of(line(**options))
    (file.parent / MARK).touch()
    quick(images)
    choice = ("--reference", "truth", "--choose", "min-psnr=20")
    done, told = enhanced(*choice)
    assert told.startswith("alpha ")
    alphas = load_config(file).enhance.alphas
    assert alphas[0] == 0
    assert done == (["run"] * len(alphas)) + [f"export {alphas[-1]:g}"]
    assert enhanced(*choice)[0] == []
