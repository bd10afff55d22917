"""Pages and tables."""

from tasks.report.pages import counted, render_table


def test_a_table_is_markdown():
    assert render_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_no_cell_of_a_table_breaks_it():
    assert render_table(["a|b"], [["1\n2"]]) == "| a\\|b |\n| --- |\n| 1 2 |\n"


def test_one_is_singular():
    assert [counted(n, "image") for n in (0, 1, 2, 1234)] == [
        "0 images",
        "1 image",
        "2 images",
        "1,234 images",
    ]
