"""`dotpipe codecs CONFIG NAME…`: codecs tried on a few of the user's own images."""

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image

from tests.support.networks.small_autoencoders import small


@pytest.fixture
def asked(monkeypatch):
    """Repositories that a Hub which gives no answer was asked for; its cache has none."""
    asked = []

    def snapshot(repository, **options):
        if not options["local_files_only"]:
            asked.append(repository)
        raise LocalEntryNotFoundError("as the Hub's client says of both")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_codecs_are_tried_and_told_with_a_sheet_of_pictures(dotpipe, project, tmp_path, asked):
    project.configure(
        evaluate={"lpips": None, "features": None},
        transport={"levels": [0, 2]},
        patches={"size": 1},
    )
    small("AutoencoderTiny").save_pretrained(tmp_path / "mine")
    path = tmp_path / "sheet.png"
    small("AutoencoderDC").save_pretrained(tmp_path / "broken")
    next((tmp_path / "broken").glob("*.safetensors")).write_bytes(b"{}")
    mine = tmp_path / "mine"
    words = (project.file, "pixel", "taesd", "taesd3", mine, mine, tmp_path / "broken")
    code, out, err = dotpipe("codecs", *words, "--images", 4, "--sheet", path)
    assert code == 0, err
    assert "│ mine" in out
    assert "mine + levels" in out
    assert "Levels of mine: the fit takes" in " ".join(out.split())
    assert "pixel was not tried: no transport can be fitted with pixel" in " ".join(out.split())
    assert "Fitted on 4 pairs, measured on 4 others" in out
    assert f"pictures: {path}" in out
    assert "broken was not tried: " in out
    assert "taesd was not tried: the weights 'madebyollin/taesd' at " in " ".join(out.split())
    assert " ".join(out.split()).count("the hub, which has just given no answer for others") == 1
    assert asked == ["madebyollin/taesd"]
    with Image.open(path) as page:
        assert page.width > 1000
    assert not project.workspace.exists()


def test_a_codec_that_is_not_known_is_told_before_any_image_is_read(dotpipe, project):
    code, _, err = dotpipe("codecs", project.file, "pixel", "nonsense")
    assert code == 1
    assert "a codec must be pixel, taesd, taesd3, taef2, sd, plug-in:NAME, or a folder" in err
    assert "dashboard" not in err


@pytest.mark.parametrize("name", ["nowhere/sheet.png", "."])
def test_a_sheet_that_cannot_be_written_is_told_before_any_image_is_read(
    dotpipe, project, tmp_path, name
):
    code, _, err = dotpipe("codecs", project.file, "pixel", "--sheet", tmp_path / name)
    assert code == 1
    assert "--sheet must name a file that can be written" in err
    assert "dashboard" not in err


def test_two_folders_of_one_name_keep_their_paths():
    from flows.cli.trials.codecs import _shortened

    assert _shortened(["taesd", "a/vae", "b/vae/", "c/kl"]) == {
        "taesd": "taesd",
        "a/vae": "a/vae",
        "b/vae/": "b/vae/",
        "c/kl": "kl",
    }
