"""Files of several shards made into one hold what one pass over all images gives."""

import pytest
import torch

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge
from tasks.compact.artifacts import added_up
from tasks.compact.tables import merge_latents, merge_moments
from tasks.fit.measure import WHOLE, image_name
from tasks.io.artifacts.moments import digest_moments, load_moments, save_moments
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.store import Store

KEYS = ("a", "b", "c", "d")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "workspace"))


@pytest.fixture
def images(rng):
    """Moments of four images."""
    return {key: GaussianMoments.of(torch.rand(7, 3, generator=rng)) for key in KEYS}


def save(store, name, images, *, by_image):
    whole = merge(images.values())
    parts = {image_name(key): each for key, each in images.items()} if by_image else {}
    with store.publish(name) as path:
        save_moments({WHOLE: whole, **parts}, path, images=dict.fromkeys(images, "digest"))


@pytest.mark.parametrize("by_image", [True, False])
def test_moments(store, images, tmp_path, by_image):
    for name, keys in (("one", "db"), ("two", "ca")):
        save(store, name, {key: images[key] for key in keys}, by_image=by_image)
    path = tmp_path / "merged"
    digest = merge_moments(store, ["one", "two"], KEYS, path)
    found, facts = load_moments(path)
    assert list(facts["images"]) == list(KEYS)
    at_once = GaussianMoments.zero(3)
    for key in KEYS:
        at_once = at_once + images[key]
    whole = found.pop(WHOLE)
    assert whole.count == 28
    torch.testing.assert_close(whole.scatter, at_once.scatter)
    assert list(found) == ([image_name(key) for key in KEYS] if by_image else [])
    if by_image:  # as one measurement adds them up, to the last bit
        parts = {image_name(key): images[key] for key in KEYS}
        assert digest == digest_moments({WHOLE: at_once, **parts})


def test_latents_of_one_codec_are_kept_and_others_are_not(store, tmp_path):
    for name, keys, encoding in (("one", "db", "x"), ("two", "ca", "x"), ("other", "e", "y")):
        with store.publish(name) as path:
            latents = {key: torch.full((1, 1, 2, 2), float(ord(key))) for key in keys}
            facts = {"images": dict.fromkeys(keys, "digest"), "encoding": encoding}
            save_tensors(latents, path, "latents", **facts)
    assert merge_latents(store, ["one", "two"], tmp_path / "merged")
    latents, facts = load_tensors(tmp_path / "merged", "latents")
    assert list(facts["images"]) == list(KEYS)
    assert {key: float(each.mean()) for key, each in latents.items()} == {k: ord(k) for k in KEYS}
    assert not merge_latents(store, ["one", "other"], tmp_path / "mixed")


def test_records_are_added_up():
    one = {
        "artifact": "x",
        "files": {"x.tar": {}},
        "images": 2,
        "refused": {"too large": 1},
        "laps": {"read": 1.0},
        "seams": {"rms": 3.0, "largest": 5.0, "count": 1},
        "batch_reduced_to": 4,
    }
    other = {
        "images": 3,
        "refused": {"no image": 1, "too large": 1},
        "laps": {"read": 0.5, "write": 2.0},
        "seams": {"rms": 1.0, "largest": 2.0, "count": 3},
        "batch_reduced_to": 8,
        "device": "cpu",
    }
    assert added_up([one, other]) == {
        "images": 5,
        "refused": {"no image": 1, "too large": 2},
        "laps": {"read": 1.5, "write": 2.0},
        "seams": {"rms": pytest.approx(3**0.5), "largest": 5.0, "count": 4},
        "batch_reduced_to": 4,
        "devices": {"cpu": 1},
    }
