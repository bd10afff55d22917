"""The transport operator: choose images, measure their latents, solve."""
