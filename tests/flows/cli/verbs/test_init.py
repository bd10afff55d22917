"""`dotpipe init --codec NAME`: a section that works, and the patches that suit it."""

import pytest
import yaml

from flows.cli.session import tell_large_patches
from flows.cli.verbs.init import Codec
from tasks.config import Config, load_config
from tasks.direct.known_codecs import KNOWN_CODECS
from tasks.io.networks.codecs import Autoencoder


@pytest.mark.parametrize("name", KNOWN_CODECS)
def test_a_codec_by_name_is_written_with_its_weights_and_their_revision(dotpipe, tmp_path, name):
    file = tmp_path / "mine.yaml"
    assert dotpipe("init", file, "--codec", name)[0] == 0
    codec = load_config(file).codec
    assert codec == KNOWN_CODECS[name]
    if isinstance(codec, Autoencoder):
        assert codec.revision
        assert codec.sha256


def test_the_rest_of_the_configuration_is_the_template(dotpipe, tmp_path):
    dotpipe("init", tmp_path / "template.yaml")
    dotpipe("init", tmp_path / "mine.yaml", "--codec", "pixel")
    template, mine = (
        yaml.safe_load((tmp_path / name).read_text("utf-8"))
        for name in ("template.yaml", "mine.yaml")
    )
    assert mine == template | {"codec": {"kind": "pixel", "factor": 8}}


def test_a_folder_of_weights_is_a_codec_of_the_kind_that_it_says(dotpipe, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    dotpipe("init", tmp_path / "mine.yaml", "--codec", folder)
    codec = load_config(tmp_path / "mine.yaml").codec
    assert codec == Autoencoder(kind="autoencoder-tiny", weights=str(folder))


@pytest.mark.parametrize("text", [None, "{", "[]", '{"_class_name": "UNet2DModel"}'])
def test_what_is_no_codec_is_told_with_the_names_that_are_known(dotpipe, tmp_path, text):
    folder = tmp_path / "other"
    folder.mkdir()
    if text is not None:
        (folder / "config.json").write_text(text)
    code, _, err = dotpipe("init", tmp_path / "mine.yaml", "--codec", folder)
    assert code == 1
    assert f"a codec must be {', '.join(KNOWN_CODECS)}, plug-in:NAME, or a folder" in err
    assert not (tmp_path / "mine.yaml").exists()


def test_the_help_has_the_names():
    for name in KNOWN_CODECS:
        assert name in Codec.__metadata__[0].help


@pytest.fixture
def configured():
    def config(**sections):
        corpora = {role: {"path": f"/{role}"} for role in ("restored", "natural")}
        return Config.model_validate(
            {"name": "n", "workspace": "/w", "corpora": corpora, **sections}
        )

    return config


@pytest.mark.parametrize(
    ("codec", "patches", "size"),
    [
        ({"kind": "pixel"}, {}, 1),
        ({"kind": "pixel"}, {"size": 2}, 2),
        ({"kind": "autoencoder-tiny", "weights": "w"}, {}, 3),
        ({"kind": "autoencoder-tiny", "weights": "w"}, {"size": 1}, 1),
    ],
)
def test_the_patch_size_is_what_suits_the_codec_unless_it_is_given(
    configured, codec, patches, size
):
    assert configured(codec=codec, patches=patches).patch_size == size


def test_large_patches_are_warned_of_with_what_to_write(configured, capsys):
    tell_large_patches(configured(codec={"kind": "pixel"}, patches={"size": 3}))
    told = capsys.readouterr().err
    assert told == (
        "warning: patches have 1,728 dimensions, more than 1,024: the moments of every image take "
        "24 MB, and the fit takes minutes to hours; write patches.size: 2, unless you mean it\n"
    )
    tell_large_patches(configured(codec={"kind": "pixel", "factor": 32}))
    assert "write a smaller codec.factor, as 8, unless" in capsys.readouterr().err


def test_large_patches_of_a_network_in_a_folder_are_warned_of_too(configured, capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"latent_channels": 16, "block_out_channels": [8]}')
    codec = {"kind": "autoencoder-tiny", "weights": str(tmp_path)}
    tell_large_patches(configured(codec=codec, patches={"size": 9}))
    assert "patches have 1,296 dimensions" in (told := capsys.readouterr().err)
    assert "write patches.size: 8, unless" in told


@pytest.mark.parametrize(
    "codec", [{"kind": "pixel"}, {"kind": "autoencoder-tiny", "weights": "/none"}]
)
def test_other_patches_are_not_warned_of(configured, capsys, codec):
    tell_large_patches(configured(codec=codec))
    assert capsys.readouterr().err == ""
