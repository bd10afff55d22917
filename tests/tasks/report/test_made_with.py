"""What the report says of the tiles that images were made in."""

from tasks.report.made_with import seams_in_words


def test_seams_of_blended_tiles_are_told_over_all_shards():
    records = [
        {"seams": {"rms": 1.0, "largest": 4.0, "count": 300}},
        {"images": 3},
        {"seams": {"rms": 3.0, "largest": 9.6, "count": 100}},
    ]
    (sentence,) = seams_in_words(records)
    assert "differed by 1.7 of 255 levels (root mean square), and by 10 at most" in sentence


def test_nothing_is_told_of_seams_where_no_tile_was_blended():
    assert seams_in_words([{"images": 3}, {}]) == []
