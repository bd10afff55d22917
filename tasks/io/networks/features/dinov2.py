"""DINOv2's network (Oquab et al. 2023), built here so that no code has to be downloaded and run.

Axes: b images, t tokens (patches and the class token), d features.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class VisionTransformer(nn.Module):
    """DINOv2's network, from images (b, 3, 224, 224) to their features (b, d).

    Images have the mean and deviation of ImageNet's. Features are the class token after the last
    norm. Widths and depth are those of the weights, and so are the names of the layers.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.mask_token = nn.Parameter(torch.empty(1, width))  # of the training
        self.pos_embed = nn.Parameter(torch.empty(tensors["pos_embed"].shape))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        depth = sum(name.endswith(".norm1.weight") for name in tensors)
        gated = "blocks.0.mlp.w12.weight" in tensors
        hidden = tensors[f"blocks.0.mlp.{'w3' if gated else 'fc2'}.weight"].shape[1]
        self.blocks = nn.Sequential(*(_Block(width, hidden, gated=gated) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (b, d) of normalised images (b, 3, 224, 224)."""
        patches = self.patch_embed["proj"](images)  # (b, d, 16, 16)
        positions = self._positions(patches.shape[-1])
        tokens = patches.flatten(2).mT  # (b, 256, d)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), tokens], dim=1)
        final: Tensor = self.norm(self.blocks(tokens + positions)[:, 0])
        return final

    def _positions(self, side: int) -> Tensor:
        """Return the positions of a square of patches, (1, 1 + side², d).

        They were learned for another side and are interpolated. The tenth that is added to the
        side is the authors': other numbers would not be DINOv2's features.
        """
        learned = round((self.pos_embed.shape[1] - 1) ** 0.5)
        square = self.pos_embed[:, 1:].mT.reshape(1, -1, learned, learned)
        if learned != side:
            scale = (side + 0.1) / learned
            square = nn.functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], square.flatten(2).mT], dim=1)


class _Block(nn.Module):
    """Attention, then a perceptron, each scaled and added to the tokens; heads have 64 features."""

    def __init__(self, width: int, hidden: int, *, gated: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.ls1 = nn.ParameterDict({"gamma": torch.empty(width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        names, inner = (("w12", "w3"), 2 * hidden) if gated else (("fc1", "fc2"), hidden)
        layers = (nn.Linear(width, inner), nn.Linear(hidden, width))
        self.mlp = nn.ModuleDict(dict(zip(names, layers, strict=True)))
        self.ls2 = nn.ParameterDict({"gamma": torch.empty(width)})

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens (b, t, d) after the block."""
        tokens = tokens + self.ls1["gamma"] * self._attend(self.norm1(tokens))
        mixed: Tensor = tokens + self.ls2["gamma"] * self._perceptron(self.norm2(tokens))
        return mixed

    def _attend(self, tokens: Tensor) -> Tensor:
        three: Tensor = self.attn["qkv"](tokens)  # (b, t, 3 d)
        b, t, _ = three.shape
        heads = three.reshape(b, t, 3, -1, 64).permute(2, 0, 3, 1, 4)  # (3, b, heads, t, 64)
        mixed = nn.functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        answer: Tensor = self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        return answer

    def _perceptron(self, tokens: Tensor) -> Tensor:
        if "fc1" in self.mlp:
            inner = nn.functional.gelu(self.mlp["fc1"](tokens))
            answer: Tensor = self.mlp["fc2"](inner)
            return answer
        gate, value = self.mlp["w12"](tokens).chunk(2, dim=-1)
        gated: Tensor = self.mlp["w3"](nn.functional.silu(gate) * value)
        return gated
