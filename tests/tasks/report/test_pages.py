"""Pages, tables and thumbnails."""

import numpy as np
import pytest

from tasks.report.pages import counted, render_table, thumbnail


def test_a_table_is_markdown():
    assert render_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_no_cell_of_a_table_breaks_it():
    assert render_table(["a|b"], [["1\n2"]]) == "| a\\|b |\n| --- |\n| 1 2 |\n"


@pytest.mark.parametrize(
    ("shape", "size"), [((400, 1000), (320, 128)), ((20, 30), (30, 20)), ((3000, 8), (1, 320))]
)
def test_a_thumbnail_is_an_address_that_holds_a_small_picture(shape, size):
    found = thumbnail(np.zeros((*shape, 3), np.uint8))
    assert found.address.startswith("data:image/webp;base64,")
    assert len(found.address) < 2000
    assert (found.width, found.height) == size


def test_one_is_singular():
    assert [counted(n, "image") for n in (0, 1, 2, 1234)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,234 images",
    ]
