"""The card: made of the run's own record, read by `datasets`, and safe to edit."""

import json

import pytest
import yaml

from tasks.io.errors import ConfigurationError
from tasks.push.card import BEGIN, END
from tasks.push.card_text import described


@pytest.fixture
def faces(hub):
    """Gives the repository on the Hub."""
    return lambda: hub.repositories["org/faces"]


def card(repository):
    return repository.files["README.md"].decode()


def head(repository):
    return yaml.safe_load(card(repository).split("---\n")[1])


def test_the_card_says_what_how_and_the_numbers_of_the_report(own, push, faces):
    push(own, 0.5)
    text, operator = card(faces()), own.operator
    store, folder = own.workspace.store, f"reports/run/{operator}"
    report = store.read(f"{folder}/report.md").decode()
    table = [line for line in report.split("## Operator")[0].splitlines() if line.startswith("|")]
    assert len(table) > 8
    assert all(line in text for line in table)
    made = json.loads(store.read(f"{folder}/run.json"))["made_with"]
    for words in (
        f"operator: `{operator}`",
        "codec: pixel (factor `2`)",
        "## Papers",
        "NeurIPS 2023",
        f"dot-pipeline {made['dot-pipeline']}",
        f"torch {made['packages']['torch']}",
        "residual decoding",
        "`dotpipe run run.yaml`",
        "](report/curve.png)",
        "enhanced/alpha=+0.50/*.tar",
        'load_dataset("org/faces", "metrics"',
    ):
        assert words in text
    assert "enhanced/alpha=+0.00" not in text


def test_the_head_has_the_parts_the_size_and_a_licence_to_fill_in(own, push, faces):
    push(own)
    found = head(faces())
    assert [each["config_name"] for each in found["configs"]] == ["metrics", "results"]
    assert found["size_categories"] == ["n<1K"]
    assert found["license"] == "unknown"
    assert "To fill in" in card(faces()).split(END)[1]
    assert "to fill in" in card(faces()).split("---\n")[1]


def test_datasets_loads_every_part_and_the_images(own, push, hub, tmp_path, monkeypatch):
    import datasets
    from huggingface_hub import snapshot_download

    push(own, 0.5)
    folder = snapshot_download("org/faces", repo_type="dataset", local_dir=tmp_path / "down")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    cache = {"cache_dir": str(tmp_path / "cache"), "split": "train"}
    metrics = datasets.load_dataset(folder, "metrics", **cache)
    signals = {(row["signal"], row["alpha"]) for row in metrics}
    assert {("enhanced", 0.5), ("enhanced", 0.0), ("input", None)} <= signals
    assert len(metrics) == 8 * len(signals)
    assert len(datasets.load_dataset(folder, "results", **cache)) == len(signals)
    assert datasets.get_dataset_config_names(folder) == ["metrics", "results"]
    tars = f"{folder}/enhanced/alpha=+0.50/*.tar"
    images = datasets.load_dataset("webdataset", data_files=tars, streaming=True, **cache)
    assert {row["__key__"]: row["webp"].size for row in images}["a/0"] == (32, 24)


def test_what_a_person_has_written_stays_and_ours_is_written_anew(own, push, faces):
    push(own, 0.5)
    text = card(faces()).replace("license: unknown", "license: cc-by-4.0")
    text = text.replace("# run, enhanced", "# Faces of people, enhanced")
    text = text.replace("## Licence", "## Of the licence\n\nGiven by their owners.\n\n## More")
    text = text.replace(
        "- config_name: results",
        "- config_name: mine\n  data_files: a/*.csv\n- config_name: results",
    )
    text = text.replace("NeurIPS 2023", "NeurIPS 1823")  # between the marks
    faces().edit(**{"README.md": text.encode()})
    push(own, 0.0)
    now = card(faces())
    assert head(faces())["license"] == "cc-by-4.0"
    assert [each["config_name"] for each in head(faces())["configs"]] == [
        "metrics",
        "results",
        "mine",
    ]
    before, after = now.split(BEGIN)[0], now.split(END)[1]
    assert "# Faces of people, enhanced" in before
    assert after == text.split(END)[1]
    assert "Given by their owners." in after
    assert "NeurIPS 2023" in now
    assert "enhanced/alpha=+0.00/*.tar" in now


def test_a_card_without_our_part_keeps_its_text_before_it(own, plan, push, faces):
    plan(own, 0.5)
    faces().edit(**{"README.md": b"---\nlicense: mit\n---\n# Mine\n\nBy hand.\n"})
    push(own, 0.5)
    text = card(faces())
    assert text.index("By hand.") < text.index(BEGIN) < text.index(END)
    assert head(faces())["license"] == "mit"
    assert "To fill in" not in text


def test_a_card_that_is_no_text_stops_the_push_and_stays(own, plan, push, faces):
    plan(own, 0.5)
    faces().edit(**{"README.md": b"# Caf\xe9\n"})
    with pytest.raises(ConfigurationError, match=r"README.md, in hf://\S+ must be in UTF-8, but"):
        push(own, 0.5)
    assert faces().files["README.md"] == b"# Caf\xe9\n"


def test_a_card_that_lost_one_of_its_marks_stops_the_push_before_anything_is_sent(
    own, push, hub, faces
):
    push(own, 0.5)
    sent = hub.count("PUT")
    faces().edit(**{"README.md": card(faces()).replace(END, "").encode()})
    with pytest.raises(
        ConfigurationError, match=r"must have both marks .* got 1 of the first and 0"
    ):
        push(own, 0.0)
    assert hub.count("PUT") == sent


def test_a_card_says_nothing_of_where_weights_and_images_lay(own):
    report = f"reports/run/{own.operator}/run.json"
    record = json.loads(own.workspace.store.read(report))
    digest = "d" * 64
    record["fit"]["codec"] = {"kind": "autoencoder-tiny", "sha256": ["c" * 64, digest]}
    record["config"]["restore"] = {"kind": "spandrel", "weights": "/secret/x.pth", "tile": 512}
    record["config"]["degrade"] = [{"kind": "noise", "sigma": 50.0}, {"kind": "jpeg", "quality": 9}]
    text = described(record, "org/faces", {"alpha 0": "a/*.tar"}, ("metrics",), has_map=True)
    assert f"codec: autoencoder-tiny (weights with sha256 `{digest}`)" in text
    assert "restored by: spandrel (tile 512)" in text
    assert "degraded by: noise (sigma 50.0), then jpeg (quality 9)" in text
    assert "report/map.png" in text
    assert "/" not in text.split("codec: ")[1].split("\n")[0].replace("`/", "")
    assert "secret" not in text
    hub = {"kind": "autoencoder", "weights": "org/vae", "revision": "f" * 40}
    record["fit"]["codec"] = hub
    text = described(record, "org/faces", {"alpha 0": "a/*.tar"}, ("metrics",), has_map=False)
    assert f"autoencoder (revision `{'f' * 40}`, weights `org/vae`)" in text
