"""Choosing images: in pairs where there are, the same sample however it is sharded."""

import numpy as np
import pytest

from tasks.fit.select import ENOUGH_PAIRS, SelectJob, draw_selection
from tasks.io.errors import CorpusError
from tasks.jobs import Target


def job(pairing="auto", images=1000, seed=0):
    return SelectJob(
        workspace="unused",
        target=Target(artifact="moments/x/selection", fingerprint="f"),
        source_dataset="restored",
        target_dataset="natural",
        images=images,
        pairing=pairing,
        seed=seed,
    )


def listing(keys, per_shard=4):
    """A corpus as the index lists it: keys in order, so many to a shard."""
    ordered = sorted(keys)
    return lambda: iter(
        [(key, f"shard-{number // per_shard:06d}") for number, key in enumerate(ordered)]
    )


def names(count, prefix="k"):
    return [f"{prefix}{number:03d}" for number in range(count)]


def chosen(by_shard):
    return [key for keys in by_shard.values() for key in keys]


@pytest.mark.parametrize(
    ("source", "target", "pairing"),
    [
        (names(30), names(30), "paired"),
        (names(300), names(3), "paired"),  # every natural image has a restored version
        (names(ENOUGH_PAIRS), names(200), "paired"),
        (names(ENOUGH_PAIRS - 1), names(200), "unpaired"),
        (names(30), names(30, "other"), "unpaired"),
    ],
)
def test_auto_pairs_where_all_or_enough_natural_keys_are_restored(source, target, pairing):
    assert draw_selection(listing(source), listing(target), job()).pairing == pairing


def test_a_paired_choice_has_the_same_keys_on_both_sides():
    selection = draw_selection(listing(names(40)), listing(names(90)[20:]), job(images=7))
    assert selection.pairs == 20
    assert chosen(selection.source) == chosen(selection.target)
    assert selection.images == 7
    assert set(chosen(selection.source)) <= set(names(40)[20:])


def test_paired_takes_few_pairs_when_told_to():
    selection = draw_selection(listing(names(2)), listing(names(200)), job("paired"))
    assert (selection.pairing, chosen(selection.target)) == ("paired", names(2))


def test_an_unpaired_choice_has_no_key_on_both_sides():
    selection = draw_selection(listing(names(30)), listing(names(50)), job("unpaired", images=40))
    sources, targets = set(chosen(selection.source)), set(chosen(selection.target))
    assert selection.pairing == "unpaired"
    assert not sources & targets
    assert sources | targets == set(names(50))
    assert {len(sources), len(targets)} <= {24, 25, 26}


@pytest.mark.parametrize("seed", range(20))
def test_as_many_as_are_wanted_are_drawn_where_there_are_so_many(seed):
    rng = np.random.default_rng(seed)
    source, target = (set(rng.choice(names(60), rng.integers(20, 60), False)) for _ in "st")
    selection = draw_selection(listing(source), listing(target), job("unpaired", 10, seed))
    sources, targets = set(chosen(selection.source)), set(chosen(selection.target))
    assert sources <= source
    assert targets <= target
    assert not sources & targets
    assert len(sources) == len(targets) == 10


def test_a_single_image_is_too_few_for_an_unpaired_choice():
    with pytest.raises(CorpusError, match="different images on both sides, got one image alone"):
        draw_selection(listing(names(1)), listing(names(1)), job("unpaired"))


def test_pairs_that_are_asked_for_and_not_there_are_told_with_examples():
    with pytest.raises(CorpusError, match=r"must share keys .* 'a000' against 'b000'"):
        draw_selection(listing(names(5, "a")), listing(names(5, "b")), job("paired"))


@pytest.mark.parametrize(("source", "target", "missing"), [(0, 3, "restored"), (3, 0, "natural")])
def test_a_side_without_one_accepted_image_is_told(source, target, missing):
    with pytest.raises(CorpusError, match=f"needs images on both sides, got none of {missing}"):
        draw_selection(listing(names(source)), listing(names(target, "t")), job())


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_the_sample_does_not_depend_on_sharding(pairing):
    choices = [
        draw_selection(listing(names(50), each), listing(names(60), each), job(pairing, images=9))
        for each in (1, 7, 100)
    ]
    for other in choices[1:]:
        assert chosen(other.source) == chosen(choices[0].source)
        assert chosen(other.target) == chosen(choices[0].target)


def test_a_key_is_drawn_alike_in_every_corpus():
    few = draw_selection(listing(names(50)), listing(names(50, "other")), job(images=10))
    more = draw_selection(
        listing(names(50) + names(50, "z")), listing(names(9)), job("unpaired", images=10)
    )
    kept = [key for key in chosen(more.source) if key in names(50)[9:]]
    assert set(kept) <= set(chosen(few.source))


def test_another_seed_draws_another_sample():
    samples = {
        tuple(
            chosen(
                draw_selection(
                    listing(names(50)), listing(names(50)), job(images=5, seed=seed)
                ).source
            )
        )
        for seed in range(5)
    }
    assert len(samples) == 5


@pytest.mark.parametrize("seed", range(20))
def test_pairs_are_the_intersection_of_keys(seed):
    rng = np.random.default_rng(seed)
    source, target = (
        {"".join(rng.choice(list("a-./é日"), 3)) for _ in range(rng.integers(1, 40))} for _ in "st"
    )
    assert draw_selection(listing(source), listing(target), job()).pairs == len(source & target)


def test_a_selection_is_written_once_and_read_back(steps, photographs, tmp_path):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"]}
    run = steps(tmp_path, corpora, fit={"images": 5})
    run.shard()
    first = run.select()
    assert first.pairing == "paired"
    assert first.images == 5
    assert run.select() == first
    again = steps(tmp_path, corpora, fit={"images": 5, "seed": 1})
    assert again.select() != first


def test_refused_images_are_not_chosen(steps, photographs, tmp_path, write_images):
    natural = {"a/bad.png": b"", "a/0.png": np.zeros((8, 8, 3), np.uint8)}
    corpora = {
        "restored": photographs["restored"],
        "natural": write_images(tmp_path / "natural", natural),
    }
    run = steps(tmp_path / "workspace", corpora, shards={"images": 3, "max_bad_fraction": 1})
    run.shard()
    assert chosen(run.select().target) == ["a/0"]
