"""What the page on Python shows runs from top to bottom, and its names are those of the library."""

import re
import subprocess
import sys

from PIL import Image

import dotpipe

LAST = "print(len(worst), 'worst, means of more than 3:', means.num_rows > 3)"
"""What is asked when the page has run."""


def test_the_page_runs_from_top_to_bottom(faces, code_of, tmp_path):
    """In a process of its own, as torch's loader forks it."""
    program = tmp_path / "page.py"
    program.write_text("\n".join([*code_of("python.md"), LAST]), "utf-8")
    done = subprocess.run(
        [sys.executable, program], cwd=faces, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "<run 'my-run': 5 images at alpha 0, 0.5, 1 in " in told
    assert "cats/4 (24, 32, 3) uint8 8 0" in told
    assert "torch.Size([1, 24, 32, 3])" in told  # the last pair
    copies = sorted(path.name for path in (faces / "copies" / "cats").iterdir())
    assert copies == ["0.webp", "1.webp"]
    assert "3 worst, means of more than 3: True" in told
    for number, mode in enumerate(("RGB", "L")):
        with Image.open(faces / f"enhanced-{number}.png") as image:
            assert image.mode == mode
    assert "torch.Size([8, 3, 64, 64]) {'factor': 2, 'kind': 'pixel'}" in told


def test_the_page_names_all_that_is_stable(repository):
    page = (repository / "infra" / "docs" / "python.md").read_text("utf-8")
    stable = (
        page.partition("## What is stable")[2].partition("\n\n")[2].partition(". The changelog")[0]
    )
    assert set(re.findall(r"`(\w+)`", stable)) == set(dotpipe.__all__)
    for found in (dotpipe.Picture, dotpipe.File):
        fields = getattr(found, "_fields", None) or found.__dataclass_fields__
        assert [name for name in fields if f"`{name}`" not in page] == []
    for found in (dotpipe.FinishedRun, dotpipe.DeepOptimalTransport):
        public = {n for n in vars(found) if not n.startswith("_")} - {
            "of",
            "file",
            "seed",
            "device",
        }
        assert {n for n in public if not re.search(rf"[`.]{n}\b", page)} <= {
            "name",
            "workspace",
            "is_stochastic",
        }
