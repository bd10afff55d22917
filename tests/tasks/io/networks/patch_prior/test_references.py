"""Reference images: one for all, by the key of an image, or by the JSON beside it."""

import json

import pytest
import torch

from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images.pixels import to_tensor
from tasks.io.networks.patch_prior.references import References
from tasks.io.store import Store


@pytest.fixture
def folder(tmp_path, pixels, write_images):
    images = {"a/0.png": pixels(0), "a/1.png": pixels(1), "brick.png": pixels(2)}
    return write_images(tmp_path / "references", images)


def beside(**fields):
    return {"json": json.dumps(fields).encode()}


def test_one_reference_serves_all(folder, pixels):
    references = References(f"{folder}/brick.png")
    assert references.is_one
    for key in ("a/0", "b/7"):
        assert torch.equal(references.of(key, {}), to_tensor([pixels(2)])[0])


def test_a_reference_by_key_is_that_of_the_key(folder, pixels):
    references = References(f"{folder}/{{key}}.png")
    for number in (0, 1):
        assert torch.equal(references.of(f"a/{number}", {}), to_tensor([pixels(number)])[0])


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [("{texture}.png", {"texture": "brick"}), ("{texture}", {"texture": "brick.png"})],
)
def test_a_reference_by_json_is_the_one_that_a_field_names(folder, pixels, pattern, fields):
    references = References(f"{folder}/{pattern}")
    assert torch.equal(references.of("b/7", beside(**fields)), to_tensor([pixels(2)])[0])


def test_numbers_and_several_names_are_put_together(folder, pixels):
    references = References(f"{folder}/{{series}}/{{number}}.png")
    found = references.of("k", beside(series="a", number=1))
    assert torch.equal(found, to_tensor([pixels(1)])[0])


@pytest.mark.parametrize(
    ("pattern", "sides", "said"),
    [
        ("{key}.png", {}, r"reference 'b/7.png' is not in .*references"),
        ("{texture}.png", {}, "must be named by JSON beside it, got none"),
        ("{texture}.png", beside(other="x"), "by the field 'texture' of the JSON .*got None"),
        ("{texture}.png", beside(texture=True), "a text or a whole number, got True"),
        ("{texture}.png", {"json": b"[1]"}, "by the field 'texture' of the JSON .*got None"),
        ("{texture}.png", beside(texture="../../secret"), "leads outside"),
        ("{texture}", beside(texture="broken.png"), "'broken.png': no image in one of"),
    ],
)
def test_an_image_without_a_reference_is_refused_with_the_reason(folder, pattern, sides, said):
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageRefused, match=said):
        References(f"{folder}/{pattern}").of("b/7", sides)


def test_the_one_reference_must_be_there_and_be_an_image(folder):
    with pytest.raises(ConfigurationError, match=r"must be an image file, got .*none.png', which"):
        References(f"{folder}/none.png").digest()
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(ConfigurationError, match=r"must be an image, got .*: no image in one"):
        References(f"{folder}/broken.png").of("k", {})


def test_a_path_to_which_no_file_fits_is_told(folder):
    with pytest.raises(ConfigurationError, match=r"got .*{key}.jpg', to which no file fits"):
        References(f"{folder}/{{key}}.jpg").digest()


def test_a_changed_reference_has_another_digest_and_other_files_do_not_count(
    folder, pixels, write_images
):
    one, many = References(f"{folder}/brick.png"), References(f"{folder}/a/{{key}}.png")
    before = one.digest(), many.digest()
    write_images(folder, {"a/notes.jpg": pixels(5), "other.png": pixels(6)})
    assert (one.digest(), many.digest()) == before
    write_images(folder, {"a/1.png": pixels(7), "brick.png": pixels(8)})
    assert one.digest() != before[0]
    assert many.digest() != before[1]


def test_a_reference_that_changes_is_read_again(folder, pixels, write_images):
    references = References(f"{folder}/{{key}}.png")
    references.of("a/0", {})
    write_images(folder, {"a/0.png": pixels(9)})
    assert torch.equal(references.of("a/0", {}), to_tensor([pixels(9)])[0])


@pytest.mark.parametrize("place", ["r/{}.png", "r/{key.png", "r/key}.png", "r/{{key}}.png"])
def test_braces_that_stand_for_nothing_are_told(place):
    with pytest.raises(ConfigurationError, match="braces must hold key, or the name of a field"):
        References(place).require_pattern()


@pytest.mark.parametrize("pattern", ["brick.png", "{key}.png"])
def test_references_may_lie_in_a_bucket(folder, bucket, pixels, pattern):
    store = Store(f"{bucket.url}/references")
    for name in ("brick.png", "a/0.png"):
        store.write(name, (folder / name).read_bytes())
    references = References(f"{bucket.url}/references/{pattern}")
    expected = pixels(2 if references.is_one else 0)
    assert torch.equal(references.of("a/0", {}), to_tensor([expected])[0])
    before = references.digest()
    store.write("brick.png" if references.is_one else "a/0.png", (folder / "a/1.png").read_bytes())
    assert References(references.place).digest() != before
