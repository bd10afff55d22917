"""The node of ComfyUI, loaded from its file alone as ComfyUI loads what is in `custom_nodes`."""

import importlib.util
import math
import shutil
import sys

import pytest
import torch

import dotpipe


@pytest.fixture
def node(repository, tmp_path, monkeypatch):
    """The node's class, found as ComfyUI's `load_custom_node` finds it."""
    source = repository / "infra" / "comfyui" / "deep_optimal_transport.py"
    path = tmp_path / "custom_nodes" / source.name
    path.parent.mkdir()
    shutil.copyfile(source, path)
    name = str(path.with_suffix(""))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    assert module.NODE_DISPLAY_NAME_MAPPINGS.keys() == module.NODE_CLASS_MAPPINGS.keys()
    (found,) = module.NODE_CLASS_MAPPINGS.values()
    return found


def test_a_batch_of_comfyui_is_enhanced_by_an_operators_file(node, finished, rng):
    inputs = node.INPUT_TYPES()
    assert list(inputs["required"]) == ["image", "operator", "alpha"]
    assert inputs["required"]["image"] == ("IMAGE",)
    assert node.RETURN_TYPES == ("IMAGE",)
    file = finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")
    image = torch.rand(3, 20, 24, 3, generator=rng) * 1.2 - 0.1  # nodes before it may overshoot
    (made,) = getattr(node(), node.FUNCTION)(image=image, operator=str(file), alpha=0.25, codec="")
    assert (made.shape, made.dtype) == (image.shape, torch.float32)
    pipe, given = dotpipe.DeepOptimalTransport.from_pretrained(file), image.clamp(0, 1)
    for one, expected in zip(made, given, strict=True):
        torch.testing.assert_close(one, torch.from_numpy(pipe.enhance(expected.numpy(), 0.25)))
    assert (made - given).abs().max() > 0.01


def test_opacity_stays_and_another_operator_in_the_same_file_is_loaded(
    node, finished, rng, tmp_path
):
    source = finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")
    file = tmp_path / "operator.safetensors"
    shutil.copyfile(source, file)
    image = torch.rand(2, 20, 24, 4, generator=rng)
    (made,) = node().enhance(image, str(file), 0.25)
    assert made.shape == image.shape
    assert torch.equal(made[..., 3], image[..., 3])
    (colours,) = node().enhance(image[..., :3], str(file), 0.25)
    assert torch.equal(made[..., :3], colours)
    before = node.IS_CHANGED(operator=str(file), alpha=0.25)
    assert node.IS_CHANGED(operator=str(file), alpha=0.5) == before
    file.write_bytes(b"no operator")
    assert node.IS_CHANGED(operator=str(file), alpha=0.25) != before
    with pytest.raises(dotpipe.DotpipeError, match="an operator must be a whole file"):
        node().enhance(image, str(file), 0.25)
    remote = node.IS_CHANGED(operator="s3://bucket/operator.safetensors")
    assert math.isnan(remote)  # which is never what it was


def test_it_is_a_file_of_forty_lines(repository):
    lines = (repository / "infra" / "comfyui" / "deep_optimal_transport.py").read_text("utf-8")
    assert sum(bool(line.strip()) for line in lines.splitlines()) <= 40
