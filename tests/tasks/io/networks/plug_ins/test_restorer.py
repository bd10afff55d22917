"""A plug-in as a restorer: identified, loaded once, pinned, and looked at."""

import pytest
import torch

from dot_kernels.degradations import Downscale
from tasks.config import Config, load_config
from tasks.io.errors import ConfigurationError, WeightsMissing, can_heal
from tasks.io.networks.plug_ins.restorer import PlugInRestorer, pinned_restorer
from tasks.io.networks.restorers import load_restorer, restorer_identity
from tests.support.standins.packages_on_path import as_editable, installed, project

CODE = """
import torch

class Make:
    made = 0

    def __init__(self, device, gain=1.0, weights=None):
        Make.made += 1
        self.gain, self.weights = gain, weights and weights.read_text()

    def __call__(self, images):
        return images * self.gain
"""


def spec(**told):
    return PlugInRestorer(kind="plug-in", entry="gain", **told)


@pytest.fixture
def bring(tmp_path):
    def bring(code=CODE, version="1.0"):
        return installed(tmp_path / "site", project("restorer", "gain:Make", version), code)

    return bring


def test_its_identity_follows_from_version_options_and_files(bring, tmp_path):
    weights = tmp_path / "weights"
    weights.write_text("one")
    with bring():
        plain = restorer_identity(spec())
        assert plain == {
            "kind": "plug-in",
            "entry": "gain",
            "package": "dotpipe-gain",
            "version": "1.0",
        }
        assert restorer_identity(spec(name="of-mine")) == plain
        assert restorer_identity(spec(options={"gain": 2})) == {**plain, "options": {"gain": 2}}
        first = restorer_identity(spec(files={"weights": str(weights)}))
        weights.write_text("another")
        assert restorer_identity(spec(files={"weights": str(weights)})) != first
        weights.unlink()
        with pytest.raises(WeightsMissing, match=r"restore.files.weights names the file"):
            restorer_identity(spec(files={"weights": str(weights)}))
    with bring(version="1.1"):
        assert restorer_identity(spec()) == {**plain, "version": "1.1"}


def test_it_is_made_once_and_again_when_a_file_changes(bring, tmp_path):
    weights = tmp_path / "weights"
    weights.write_text("one")
    told = spec(files={"weights": str(weights)})
    with bring():
        made = [load_restorer(told, "cpu").function for _ in range(3)]
        assert {id(each) for each in made} == {id(made[0])}
        assert made[0].weights == "one"
        weights.write_text("another")
        assert load_restorer(told, "cpu").function.weights == "another"


def test_its_output_is_clipped_and_its_input_unchanged(bring):
    images = torch.rand(2, 3, 8, 8)
    before = images.clone()
    in_place = CODE.replace("images * self.gain", "images.mul_(self.gain)")
    assert in_place != CODE
    with bring(in_place):
        restorer = load_restorer(spec(options={"gain": 3}), "cpu")
        made = restorer.restore(images, [], ["a", "b"], lambda _: None)
    torch.testing.assert_close(made, (3 * before).clamp(0, 1))
    torch.testing.assert_close(images, before)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("images[:1]", r"got the shape \(1, 3, 64, 64\)"),
        (
            "images.repeat_interleave(2, 2)",
            r"two of \(3, 64, 64\), got the shape \(2, 3, 128, 64\)",
        ),
        ("images / 0 * 0", "all of it finite, got NaN or infinity"),
        ("images.numpy()", "got its output is no tensor but ndarray"),
        ("images['a']", "got (TypeError|IndexError|ValueError)"),
        ("{}[0]", "got KeyError: 0"),
    ],
)
def test_what_makes_no_image_of_the_right_size_is_told_before_any_image(bring, result, said):
    code = f"def Make(device):\n    return lambda images: {result}"
    with bring(code), pytest.raises(ConfigurationError, match=said) as caught:
        load_restorer(spec(), "cpu").require_fitting([])
    assert str(caught.value).startswith("restorer 'gain' must make of 2 images")


def test_it_must_enlarge_by_what_was_reduced(bring):
    halved, said = [Downscale(kind="downscale", factor=2)], r"two of \(3, 128, 128\), got the shape"
    with bring(), pytest.raises(ConfigurationError, match=said):
        load_restorer(spec(), "cpu").require_fitting(halved)
    code = (
        "def Make(device):\n    return lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)"
    )
    with bring(code):
        load_restorer(spec(), "cpu").require_fitting(halved)


def test_what_is_no_function_is_told(bring):
    said = "must return a function of images, got int"
    with (
        bring("def Make(device):\n    return 3"),
        pytest.raises(ConfigurationError, match=said),
    ):
        load_restorer(spec(), "cpu")


def test_a_worker_with_another_version_or_none_fails_in_a_sentence_and_for_good(bring):
    with bring():
        sent = pinned_restorer(spec())
        assert sent.version == "1.0"
        assert restorer_identity(sent) == restorer_identity(spec())
    with (
        bring(version="1.1"),
        pytest.raises(ConfigurationError, match=r"of version 1\.0") as caught,
    ):
        load_restorer(sent, "cpu")
    assert not can_heal(caught.value)
    with pytest.raises(ConfigurationError, match="on every machine that runs tasks") as caught:
        load_restorer(sent, "cpu")
    assert not can_heal(caught.value)


def test_words_for_switches_are_booleans_at_any_depth(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "workspace: w\ncorpora: {degraded: {path: d}, natural: {path: n}}\n"
        "restore: {kind: plug-in, entry: gain, options: "
        "{tta: false, inner: {flips: [True, 'no', 1], name: falsely}}}\n"
    )
    options = load_config(tmp_path / "run.yaml").restore.options
    assert repr(options) == repr(
        {"tta": False, "inner": {"flips": [True, "no", 1], "name": "falsely"}}
    )


def test_a_worker_with_another_source_of_an_editable_package_refuses(bring, tmp_path):
    def edited(code):
        return as_editable(bring(code), tmp_path / "site")

    with edited(CODE):
        sent = pinned_restorer(spec())
        assert sent.version.startswith("1.0@")
        assert load_restorer(sent, "cpu").name == "gain"
    with bring():  # the same files, installed
        assert load_restorer(sent, "cpu").name == "gain"
    with (
        edited(CODE + "\n# another"),
        pytest.raises(
            ConfigurationError, match=r"be of the source files .* others of 'gain'"
        ) as caught,
    ):
        load_restorer(sent, "cpu")
    assert not can_heal(caught.value)


def test_relative_files_count_from_the_folder_of_the_configuration(tmp_path):
    config = Config.model_validate(
        {
            "name": "run",
            "workspace": "w",
            "corpora": {"degraded": {"path": "d"}, "natural": {"path": "n"}},
            "restore": {"kind": "plug-in", "entry": "gain", "files": {"weights": "w.pth"}},
            "codec": {"kind": "plug-in", "entry": "c", "files": {"weights": "c.pth"}},
        }
    ).anchored(tmp_path)
    assert config.restore.files == {"weights": str(tmp_path / "w.pth")}
    assert config.codec.files == {"weights": str(tmp_path / "c.pth")}
