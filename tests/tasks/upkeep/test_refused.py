"""Refused and unscored images are named, each once, with the reason."""

import pytest

from tasks.io.errors import TooManyBadImages
from tasks.upkeep.refused import NAMED, LostImage, list_refused, list_unscored, named

NO_IMAGE = "no image in one of the formats JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL"


@pytest.fixture(scope="module")
def run(tmp_path_factory, steps, pixels, write_images):
    folder = tmp_path_factory.mktemp("refused")
    images = {f"{i}.png": pixels(i) for i in range(8)}
    truncated = write_images(folder / "whole", images) / "5.png"
    half = truncated.read_bytes()[: truncated.stat().st_size // 2]
    restored = images | {"2.png": b"no image", "4.png": b"", "5.png": half}
    whole = steps(
        folder / "workspace",
        {
            "restored": write_images(folder / "restored", restored),
            "reference": write_images(folder / "reference", dict([*images.items()][:7])),
        },
        shards={"images": 3, "max_bad_fraction": 0.5},
    )
    whole.run()
    return whole


def test_list_refused_are_named_by_file_with_shard_and_reason(run):
    found = [*list_refused(run.config)]
    assert found[:2] == [
        LostImage("2.png", "run", "shard-000000", "refused", NO_IMAGE),
        LostImage("4.png", "run", "shard-000001", "refused", "empty file"),
    ]
    assert [(each.image.partition(".")[0], each.shard) for each in found[2:]] == [
        ("5", "shard-000001")  # its header was right: what failed is decoding all of it
    ]
    assert all(each.reason for each in found)


def test_list_unscored_are_named_too(run):
    (found,) = list_unscored(run.config)
    assert found[:4] == ("7", "run", "shard-000002", "unscored")
    assert found.reason.startswith("no reference: its key")


def test_only_some_shards_are_looked_at(run):
    found = list_refused(run.config, {("run", "shard-000000")})
    assert [each.image for each in found] == ["2.png"]


def test_of_a_workspace_in_which_nothing_was_done_none_is_named(tmp_path, run, steps):
    tree = run.config.model_dump() | {"workspace": str(tmp_path)}
    config = type(run.config).model_validate(tree)
    assert [*list_refused(config), *list_unscored(config)] == []


def test_they_are_named_too_where_there_are_too_many_to_go_on(tmp_path, run, steps):
    corpora = {
        "restored": run.config.corpora.restored.path,
        "natural": run.config.corpora.reference.path,
    }
    stuck = steps(tmp_path, corpora, shards={"max_bad_fraction": 0.1})
    with pytest.raises(TooManyBadImages, match="`dotpipe refused CONFIG` names them"):
        stuck.shard()
    assert [each.image for each in list_refused(stuck.config)] == ["2.png", "4.png"]


def test_a_sentence_names_the_first_few_and_counts_the_others():
    images = [
        LostImage(f"{i}.png", "run", "shard-000000", "refused", "empty file") for i in range(9)
    ]
    text = named(iter(images), 9)
    assert text.count("(empty file)") == NAMED
    assert text.startswith("0.png (empty file), 1.png")
    assert text.endswith(" and 4 more")
    assert named(iter(images)).endswith("4.png (empty file) and others")
    assert named(images[:1], 1) == "0.png (empty file)"
    assert named(images[:5]).endswith("4.png (empty file)")
    assert named([], 3) == ""
