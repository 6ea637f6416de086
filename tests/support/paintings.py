"""What the tests of proof, evolve and compare share: a small clip, paintings, and settings that are quick."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config

Picture = NDArray[np.uint8]


def quick(**optimize: Any) -> RenderConfig:
    """Random filters, two shallow layers, one thread: the same bytes whoever computes."""
    return build_config(
        {
            "model": {"weights": "random"},
            "losses": {"style_layers": {"relu1_1": 1.0, "relu2_1": 1.0}, "content_layers": {"relu2_1": 1.0}},
            "optimize": {"iterations": 12, **optimize},
            "farm": {"executor": "inline", "threads": 1, "workers": 1},
            "output": {"measure": False},
        }
    )


def photo(seed: int = 0, width: int = 96, height: int = 64) -> Picture:
    """`(height, width, 3)` of soft blobs."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def painting(seed: int) -> Picture:
    """`(64, 64, 3)` of flat squares."""
    noise = np.random.default_rng(100 + seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(noise, np.ones((8, 8, 1), np.uint8))


def write_picture(path: Path, pixels: NDArray[Any]) -> Path:
    """Write RGB pixels."""
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


def read_picture(path: Path) -> Picture:
    """RGB pixels of a file."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def places_of(part: Picture, sheet: Picture) -> list[tuple[int, int]]:
    """y and x of every place where a sheet shows exactly these pixels."""
    height, width = part.shape[:2]
    rows, columns = sheet.shape[0] - height + 1, sheet.shape[1] - width + 1
    corners = [(0, 0), (height - 1, 0), (0, width - 1), (height - 1, width - 1), (height // 2, width // 3)]
    like = np.ones((rows, columns), bool)
    for y, x in corners:
        like &= (sheet[y : y + rows, x : x + columns] == part[y, x]).all(axis=2)
    found = [(int(y), int(x)) for y, x in zip(*np.nonzero(like), strict=True)]
    return [(y, x) for y, x in found if np.array_equal(sheet[y : y + height, x : x + width], part)]
