"""A node of ComfyUI that enhances images by an operator; `infra/docs/python.md` says how to use it.

This file alone goes into the folder `custom_nodes` of a ComfyUI that has dot-pipeline installed.
"""

import os
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import dotpipe


class DeepOptimalTransportNode:
    """Enhances images by a file of `operators/` of a workspace."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "enhance", "image/postprocessing"
    DESCRIPTION = "Moves restored images toward natural ones: alpha 0 all the way, 1 not at all."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple[Any, ...]]]:  # noqa: N802 - ComfyUI's name
        """Return what the node takes; an empty codec is the one that the file names."""
        alpha = {"default": 0.25, "min": -1.0, "max": 2.0, "step": 0.05}
        required = {"image": ("IMAGE",), "operator": ("STRING", {}), "alpha": ("FLOAT", alpha)}
        return {"required": required, "optional": {"codec": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, operator: str, **_: Any) -> tuple[float, ...] | float:  # noqa: N802
        """Return what changes with the operator's file; of a URL, NaN, which is always new."""
        told = None if "://" in operator or not os.path.isfile(operator) else os.stat(operator)  # noqa: PTH113, PTH116
        return float("nan") if told is None else (told.st_mtime, told.st_size)

    def enhance(self, image: Tensor, operator: str, alpha: float, codec: str = "") -> tuple[Tensor]:
        """Return images (b, h, w, 3) in [0, 1] enhanced; a fourth channel, opacity, stays."""
        given = image.clamp(0, 1).movedim(-1, 1)
        pipe = _pipe(operator, codec, self.IS_CHANGED(operator))
        made = pipe(given[:, :3], alpha).images
        return (torch.cat([made, given[:, 3:]], 1).movedim(1, -1),)


@lru_cache(maxsize=4)
def _pipe(operator: str, codec: str, _changed: object) -> "dotpipe.DeepOptimalTransport":
    return dotpipe.DeepOptimalTransport.from_pretrained(operator, codec or None)


NODE_CLASS_MAPPINGS = {"DeepOptimalTransport": DeepOptimalTransportNode}
NODE_DISPLAY_NAME_MAPPINGS = {"DeepOptimalTransport": "Deep Optimal Transport"}
