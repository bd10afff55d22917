"""A finished run as the pages on Python have it, and what the pages say of it in code."""

import re
import shutil

import pytest
from PIL import Image

from tasks.config.registry import register


@pytest.fixture(scope="session")
def code_of(repository):
    """Returns the blocks of Python of a page, in their order."""

    def blocks(page):
        text = (repository / "infra" / "docs" / page).read_text("utf-8")
        return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    return blocks


@pytest.fixture(scope="session")
def faces(tmp_path_factory, steps, pixels, softened, write_images):
    """A folder with `my-run.yaml`, its finished workspace, and the files that the pages name."""
    folder = tmp_path_factory.mktemp("faces")
    natural = {f"cats/{i}.png": pixels(i) for i in range(5)}
    restored = {name: softened(image) for name, image in natural.items()}
    corpora = {
        "restored": {"path": str(write_images(folder / "restored", restored)), "name": "faces"},
        "reference": write_images(folder / "natural", natural),
    }
    run = steps(folder / "workspace", corpora, name="my-run", shards={"images": 2})
    run.run()
    register(run.config)
    (folder / "my-run.yaml").write_text(run.config.model_dump_json(), "utf-8")
    operator = f"operators/faces/{run.operator}.safetensors"
    shutil.copyfile(run.workspace.store.local(operator), folder / "operator.safetensors")
    Image.fromarray(restored["cats/0.png"]).save(folder / "restored.png")
    return folder
