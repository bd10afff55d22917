"""The transport operator: two data sets go in, and the map between their latents comes out.

Images are selected, the moments of their latent patches measured, and the operator is solved
from these moments, unless the one in use is still near enough.
"""
