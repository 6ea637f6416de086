"""Small pictures and random filters for the tests of the style room."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.style.network.random_filters import random_features


@pytest.fixture(scope="session")
def features() -> dict[str, NDArray[np.float32]]:
    """Random filters down to relu5_1."""
    return random_features("relu5_1", seed=7)


@pytest.fixture(scope="session")
def painting() -> NDArray[np.uint8]:
    """`(80, 112, 3)`: diagonal strokes in orange and blue."""
    y, x = np.mgrid[:80, :112]
    stroke = (np.sin((x + 2 * y) / 3.0) > 0)[..., None]
    noise = np.random.default_rng(5).integers(-20, 21, (80, 112, 3))
    picture = np.where(stroke, (230, 120, 30), (20, 50, 140)) + noise
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """`(1, 3, 64, 96)` in [0, 1]: a bright disc over a gradient."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1.5, 1.5, 96), indexing="ij")
    disc = ((x**2 + y**2) < 0.4).float()
    return torch.stack([0.3 + 0.4 * disc, 0.4 + 0.2 * y, 0.5 - 0.2 * x]).clamp(0, 1)[None]
