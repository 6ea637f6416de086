"""What nodes leave in a run folder: states that others read, and finished frames."""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import RunError
from vidnst.farm.plan import Node, NodeId, StateId
from vidnst.runs.atomic_files import remove_parts, write_together, writing


@dataclass(frozen=True, slots=True)
class DoneRecord:
    """What the log is to say of a node that is finished."""

    node: Node
    worker: str
    """Who finished it."""
    attempt: int
    """In which attempt, from 1."""
    losses: Mapping[str, float]
    """Final value of each term."""
    evaluations: int
    """Of the loss."""
    seconds: float
    """Of computing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON values."""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the log."""
        return {
            "node": str(self.node.id),
            "final": self.node.final,
            "attempt": self.attempt,
            "worker": self.worker,
            "losses": self.losses,
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 6),
            **self.facts,
        }


class NodeFiles:
    """The folders `state` and `frames` of a run that this process has locked. One thread at a time."""

    def __init__(self, run: Path) -> None:
        self._run = run
        with writing(run):
            for name in ("state", "frames"):
                (run / name).mkdir(exist_ok=True)
                remove_parts(run / name)
        self._states = {entry.name for entry in os.scandir(run / "state")}
        self._frames = {entry.name for entry in os.scandir(run / "frames")}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._states or self._frames)

    def frame_path(self, index: int) -> Path:
        """Where frame `index` of the source is, or will be, as a PNG."""
        return self._run / "frames" / f"{index:08d}.png"

    def state_path(self, state: StateId) -> Path:
        """Where a state is, or will be."""
        return self._run / "state" / f"{state}.npy"

    def write(
        self,
        states: Mapping[StateId, NDArray[np.uint16]],
        frames: Mapping[int, Callable[[Path], object]],
        threads: Executor | None,
    ) -> None:
        """See `RunStore.write`."""
        for pixels in states.values():
            if pixels.dtype != np.uint16 or pixels.ndim != 3:
                raise ValueError(f"a state is (H, W, 3) uint16, got {pixels.shape} {pixels.dtype}")
        kept = {self.state_path(state): partial(_save, pixels=pixels) for state, pixels in states.items()}
        shown = {self.frame_path(index): write for index, write in frames.items()}
        write_together({**kept, **shown}, threads=threads)
        self._states.update(path.name for path in kept)
        self._frames.update(path.name for path in shown)

    def has_state(self, state: NodeId) -> bool:
        """Whether the state can be read back; never for a flow."""
        return f"{state}.npy" in self._states

    def has_frame(self, index: int) -> bool:
        """Whether the frame is there."""
        return self.frame_path(index).name in self._frames

    def read_state(self, state: StateId, *, width: int, height: int) -> NDArray[np.uint16]:
        """See `RunStore.read_state`."""
        path = self.state_path(state)
        try:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: its size is checked before it is read
            if pixels.shape != (height, width, 3) or pixels.dtype != np.uint16:
                raise ValueError(f"it holds {pixels.shape} {pixels.dtype}")
        except Exception as error:  # numpy fails in a dozen ways on a header that it did not write
            raise RunError(
                f"the state {path} cannot be read: {error}",
                "delete that file and give the same command again; what depends on it is rendered anew",
            ) from error
        return np.array(pixels)

    def release(self, nodes: Iterable[NodeId]) -> None:
        """See `RunStore.release`."""
        for name in self._states.intersection(f"{node}.npy" for node in nodes):
            self._states.remove(name)
            with writing(self._run):
                (self._run / "state" / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Take note that all of it is deleted."""
        self._states.clear()
        self._frames.clear()


def _save(part: Path, *, pixels: NDArray[np.uint16]) -> None:
    with part.open("wb") as file:
        np.save(file, pixels, allow_pickle=False)
