"""Near-duplicates of data sets: whatever file they are in, told before the fit, and listed."""

import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image

NAMES = ("astronaut", "coffee", "chelsea", "rocket")


@pytest.fixture
def doubled(project):
    """Four photographs to fit on, one of them twice, and one among the references too."""
    for path in (project.folder / "natural").iterdir():
        path.unlink()
    for name in NAMES:
        image = Image.fromarray(getattr(skimage.data, name)()[:256, :256])
        image.save(project.folder / f"natural/{name}.png")
    Image.fromarray(skimage.data.coffee()[:256, :256]).resize((96, 96)).save(
        project.folder / "natural/again.jpg", quality=70
    )
    Image.fromarray(skimage.data.rocket()[:256, :256]).save(project.folder / "reference/a/x.png")
    return project


@pytest.mark.parametrize("name", ["nowhere/pairs.parquet", "."])
def test_a_table_that_cannot_be_written_is_told_before_any_image_is_read(
    dotpipe, project, tmp_path, name
):
    code, out, err = dotpipe("duplicates", project.file, "--out", tmp_path / name)
    assert (code, out) == (1, "")
    assert "--out must name a file that can be written" in err  # and not that there are no shards


def test_they_are_told_before_the_fit_and_listed_by_a_command(doubled, dotpipe, server):
    doubled.configure(fit={"images": 5})
    for verb in ("shard", "restore"):
        assert dotpipe(verb, doubled.file)[0] == 0
    code, _, err = dotpipe("fit", doubled.file)
    assert code == 0, err
    told = " ".join(err.split())
    assert (
        "2 of 5 images of the fit show nearly the same as another of them: again and coffee" in told
    )
    assert told.index("again and coffee") < told.index("measure latent patches: ended")
    _, _, err = dotpipe("fit", doubled.file)
    assert "nearly the same" not in err

    table = doubled.folder / "pairs.parquet"
    code, out, err = dotpipe("duplicates", doubled.file, "--out", table)
    assert code == 0, err
    said = " ".join(out.split())
    assert "2 of 5 images of natural show nearly the same as another of them: again" in said
    assert "under other keys, show nearly the same: 1, rocket and a/x" in said
    rows = {(row["key"], row["other_key"]): row for row in pq.read_table(table).to_pylist()}
    assert rows[("again", "coffee")]["differing_bits"] <= 8
    across = rows[("rocket", "a/x")]
    assert (across["dataset"], across["other_dataset"]) == ("natural", "reference")
    assert across["differing_bits"] == 0
