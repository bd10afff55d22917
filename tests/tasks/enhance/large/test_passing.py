"""Large images have the images and numbers that the pass over small ones gives."""

from itertools import product

import pytest
import torch

from dot_kernels import PixelCodec, TiledCodec
