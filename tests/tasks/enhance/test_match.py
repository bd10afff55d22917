"""Ground truth by key, whatever the shards of the two corpora."""

import os
from unicodedata import normalize

import numpy as np
import pytest

from tasks.enhance.match import plan_matches, read_matches
from tasks.io.errors import CorpusError

BLANK = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def matched(tmp_path, steps, write_images):
    """Shards and matches corpora with these file names."""

    def match(restored, reference, images=3):
        corpora = {
            "restored": write_images(tmp_path / "restored", dict.fromkeys(restored, BLANK)),
            "reference": write_images(tmp_path / "reference", dict.fromkeys(reference, BLANK)),
        }
        limits = {"images": images, "max_bad_fraction": 1}
        run = steps(tmp_path / "workspace", corpora, shards=limits)
        run.shard()
        run.match()
        return run

    return match


def matches(run):
    shards = run.workspace.shards("run")
    return {
        key: member
        for shard in shards
        for key, member in read_matches(run.workspace, "run", "reference", shard).items()
    }


def test_keys_are_matched_across_different_shards_and_extensions(matched):
    restored = [f"{name}.png" for name in "bdfhjln"]
    run = matched(restored, [f"{name}.bmp" for name in "abcdefgh"])
    assert list(matches(run)) == ["b", "d", "f", "h"]
    assert matches(run)["h"].file == "datasets/reference/shard-000002.tar"


def test_every_key_finds_its_reference_however_many_shards(matched):
    names = [f"{number:02d}.png" for number in range(13)]
    assert len(matches(matched(names, names, images=2))) == 13


def test_names_match_in_whichever_form_a_system_writes_their_letters(matched, tmp_path):
    words = ["a", "cafe\u0301", "e\u0301te\u0301", "u\u0308ber/o\u0308l", "z"]
    macos = [f"{word}.png" for word in words]
    run = matched([normalize("NFC", name) for name in macos], macos, images=2)
    assert list(matches(run)) == sorted(normalize("NFC", word) for word in words)
    index = run.workspace.shard_index("reference", "shard-000000").to_pylist()
    assert {row["source"] for row in index} < {*macos}  # names stay as they were


def test_a_refused_name_that_sorts_elsewhere_hides_no_match(matched, tmp_path):
    (tmp_path / "reference").mkdir()
    with open(os.fsencode(tmp_path / "reference") + b"/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"any")
    run = matched(["a.png", "y.png", "z.png"], ["a.png", "z.png", "y.png"], images=4)
    assert list(matches(run)) == ["a", "y", "z"]


def test_a_shard_of_refused_references_only_is_passed_over(matched, tmp_path):
    (tmp_path / "reference").mkdir()
    for name in "bc":
        (tmp_path / "reference" / f"{name}.png").touch()
    run = matched(["a.png", "d.png"], ["a.png", "d.png"], images=1)
    assert list(matches(run)) == ["a", "d"]


def test_no_key_in_common_is_told_with_examples_and_remedies(matched):
    with pytest.raises(CorpusError) as caught:
        matched(["x_restored.png"], ["x.png"])
    text = str(caught.value)
    assert "got none in common: 'x' against 'x_restored'" in text
    assert (
        "rename the files, give `strip` where names end differently, or leave out corpora.reference"
        in text
    )


def test_matches_are_made_once_and_again_when_the_reference_changes(matched, tmp_path):
    run = matched(["a.png", "b.png"], ["a.png"])
    assert plan_matches(run.opened) is None
    (tmp_path / "restored" / "a.png").rename(tmp_path / "reference" / "b.png")
    run.shard()
    assert plan_matches(run.opened).by_shard.keys() == {"shard-000000"}
    run.match()
    assert list(matches(run)) == ["b"]
