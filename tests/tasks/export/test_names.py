"""Names of exported files: those of the input, with the ending of what is written."""

import pytest

from tasks.export.names import exported_name


@pytest.mark.parametrize(
    ("source", "extension", "name"),
    [
        ("a/1.png", "png", "a/1.png"),
        ("a/1.PNG", "png", "a/1.PNG"),
        ("a/1.png", "webp", "a/1.webp"),
        ("a/1.JPEG", "jpg", "a/1.JPEG"),
        ("a/1.jfif", "jpg", "a/1.jfif"),
        ("a/1.HIF", "heic", "a/1.HIF"),
        ("a/1.jpg", "png", "a/1.png"),
        ("a.b/1.v2.tif", "png", "a.b/1.v2.png"),
        ("a.b/photo", "png", "a.b/photo.png"),
    ],
)
def test_only_the_ending_changes_and_only_with_the_format(source, extension, name):
    assert exported_name(source, "key", extension) == name


def test_a_tar_is_a_folder():
    name = exported_name("x/01.tar/a/1.jpg", "a/1", "png", tar="x/01.tar")
    assert name == "x/01/a/1.png"


@pytest.mark.parametrize("source", ["../1.png", "/etc/1.png", "a//1.png", "a/./1.png", "a\n.png"])
def test_a_source_that_is_no_path_below_a_folder_names_nothing(source):
    assert exported_name(source, "safe/1", "png") == "safe/1.png"
