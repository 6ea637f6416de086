"""Which pixels of a clip can be traced to which frame, and the few frames that most can be traced to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow, FlowPair, compose

Cells: TypeAlias = NDArray[np.bool_]
"""`(h, w)`, coarse: True where a frame can be traced to a key."""

CELLS_ACROSS = 32
"""Cells along the longest side."""
_LEAST_SHARE = 0.02
"""Share of a frame below which a key is not traced any farther."""
_FARTHEST = 240
"""Frames to which a key is traced on either side."""


def trace(pairs: Sequence[FlowPair], key: int) -> Iterator[tuple[int, Cells]]:
    """Yield the frames of a shot of which something can be traced to a key, each with what can be.

    Args:
        pairs: the flows between neighbours, from the later frame of each two to the earlier one and back.
        key: number of the key in the shot.
    """
    yield key, np.ones(_cells_size(pairs[0].forward) if pairs else (1, 1), bool)
    after = ((frame, pairs[frame - 1].forward) for frame in range(key + 1, len(pairs) + 1))
    before = ((frame, pairs[frame].backward) for frame in range(key - 1, -1, -1))
    for steps in (after, before):
        flow: Flow | None = None
        for frame, step in steps:
            flow = step if flow is None else compose(step, flow)
            cells = _to_cells(flow)
            if cells.mean() < _LEAST_SHARE or abs(frame - key) > _FARTHEST:
                break
            yield frame, cells


def choose_frames(
    maps: Mapping[int, Mapping[int, Cells]], frames: Sequence[int], *, share: float, count: int | None = None
) -> list[int]:
    """Choose the keys that most of a clip can be traced to, one after the other, each adding as much as it can.

    Args:
        maps: for each candidate the frames that can be traced to it.
        frames: all frames of the clip.
        share: share of all pixels at which to stop.
        count: exact number of keys, if there are as many candidates; None stops at the share.

    Returns:
        The keys, ascending.
    """
    covered: dict[int, Cells] = {}
    chosen: list[int] = []

    def gain(key: int) -> float:
        return sum(float((cells & ~covered[f] if f in covered else cells).mean()) for f, cells in maps[key].items())

    while len(chosen) < len(maps):
        if len(chosen) == count or (count is None and coverage(covered, frames) >= share):
            break
        best = max((key for key in maps if key not in chosen), key=gain)
        if count is None and gain(best) <= 0:
            break
        chosen.append(best)
        merge(covered, maps[best])
    return sorted(chosen)


def merge(covered: dict[int, Cells], more: Mapping[int, Cells]) -> None:
    """Add what a key covers to what others do."""
    for frame, cells in more.items():
        covered[frame] = covered[frame] | cells if frame in covered else cells


def coverage(covered: Mapping[int, Cells], frames: Sequence[int]) -> float:
    """Return the share of all pixels of some frames that is covered."""
    return sum(float(covered[frame].mean()) for frame in frames if frame in covered) / len(frames)


def enlarge(cells: Cells, width: int, height: int) -> NDArray[np.float32]:
    """Enlarge cells to `(height, width)`, 1 where they are True and smooth between them."""
    return np.asarray(cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _cells_size(flow: Flow) -> tuple[int, int]:
    height, width = flow.valid.shape
    scale = min(1.0, CELLS_ACROSS / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _to_cells(flow: Flow) -> Cells:
    height, width = _cells_size(flow)
    shares = cv2.resize(flow.valid, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shares >= 128, bool)
