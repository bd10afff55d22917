"""DINOv2's network with random weights, small enough for tests."""

import torch


def vit_tensors(rng, *, gated, width=128, depth=2):
    """Random weights with the names and shapes of DINOv2's."""
    hidden = 40 if gated else 4 * width
    inner = {"w12": (2 * hidden, width), "w3": (width, hidden)}
    shapes = {
        "cls_token": (1, 1, width),
        "mask_token": (1, width),
        "pos_embed": (1, 1 + 37**2, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
    }
    layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    layers |= inner if gated else {"fc1": (hidden, width), "fc2": (width, hidden)}
    for i in range(depth):
        for name, shape in layers.items():
            full = f"blocks.{i}.{name}" if "attn" in name else f"blocks.{i}.mlp.{name}"
            shapes |= {f"{full}.weight": shape, f"{full}.bias": shape[:1]}
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            shapes[f"blocks.{i}.{name}"] = (width,)
        shapes |= {f"blocks.{i}.ls{k}.gamma": (width,) for k in (1, 2)}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
    return {name: torch.randn(shape, generator=rng) / 10 for name, shape in shapes.items()}
