"""Keeps each shot painted with one memory mode, even if memory runs short halfway through it.

A worker that runs out of memory falls back to a mode that needs less. The shot continues with that mode, the log
records it, and frames that were painted with another mode are forgotten with their dependents and painted again in the
same run. Modes only become more frugal, so the rounds end.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any

from vidnst.config import RenderConfig
from vidnst.events import OnEvent, Warned
from vidnst.farm.jobs import Stylized
from vidnst.farm.plan import Node, StateId
from vidnst.runs import RunLog, RunStore
from vidnst.runs.redo import with_dependents
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode, fallback_modes


class ShotMemory:
    """The memory mode of each shot of a run, over all its sessions.

    Args:
        config: the render's settings.
        store: its run folder.
        on_event: hears of every shot that changes to a more frugal mode.
    """

    def __init__(self, config: RenderConfig, store: RunStore, on_event: OnEvent) -> None:
        self._modes = fallback_modes(config, smaller=True)
        self._store = store
        self._on_event = on_event
        self._mode_of: dict[int, MemoryMode] = {}
        self._painted_mode: dict[int, MemoryMode] = {}
        """The pixel-relevant mode of the frames that are painted and kept, for each shot."""
        self._uneven: set[int] = set()
        self._read()

    def mode_of(self, shot: int) -> MemoryMode:
        """Return the mode of a shot."""
        return self._mode_of.get(shot, self._modes[0])

    def is_uneven(self, shot: int) -> bool:
        """Return True if a shot has frames of different modes, so that all that is painted now is painted again."""
        return shot in self._uneven

    def note_result(self, node: Node, result: Stylized) -> dict[str, Any]:
        """Learn from a result, and return the facts for its line in the log."""
        if self._rank(result.memory_mode) > self._rank(self.mode_of(node.shot)):
            self._fall_back(node.shot, result)
        mode = result.memory_mode.pixel_relevant
        if self._painted_mode.setdefault(node.shot, mode) != mode:
            self._uneven.add(node.shot)
        return {"memory_mode": _to_json(result.memory_mode)} if result.memory_mode != self._modes[0] else {}

    def even_out(self, plans: Iterable[Iterable[Node]], *, without: Collection[int] = ()) -> set[int]:
        """Forget the states that differ from the most frugal ones of their shot, and their dependents.

        Args:
            plans: the plans of the run's shots, each in its order.
            without: shots that stay as they are for now.

        Returns:
            Shots with forgotten states, and shots that were left unfinished because they are uneven.
        """
        other_modes = self._recorded_modes() if self._store.begun else {}
        self._painted_mode.clear()
        again = set(self._uneven.difference(without))
        for plan in plans:
            states = (node for node in plan if isinstance(node.id, StateId))
            first = next(states, None)
            if first is None or first.shot in without:
                continue
            nodes = chain((first,), states)
            if (
                not other_modes and self.mode_of(first.shot) == self._modes[0]
            ):  # the usual case; it makes no list of a long plan
                if self._store.begun and any(map(self._store.finished, nodes)):
                    self._painted_mode[first.shot] = self._modes[0].pixel_relevant
            elif self._even_out(list(nodes), other_modes):
                again.add(first.shot)
        self._uneven.clear()
        return again

    def _even_out(self, nodes: list[Node], other_modes: Mapping[str, MemoryMode | None]) -> bool:
        shot = nodes[0].shot
        known = {
            node.id: other_modes.get(str(node.id), self._modes[0])
            for node in nodes
            if isinstance(node.id, StateId) and (str(node.id) in other_modes or self._store.finished(node))
        }
        frugal = max(
            (self.mode_of(shot), *(memory_mode for memory_mode in known.values() if memory_mode)), key=self._rank
        )
        self._mode_of[shot] = frugal
        different = {
            state
            for state, memory_mode in known.items()
            if memory_mode is None or memory_mode.pixel_relevant != frugal.pixel_relevant
        }
        gone = with_dependents(nodes, different) & known.keys()
        if len(gone) < len(known):
            self._painted_mode[shot] = frugal.pixel_relevant
        if not gone:
            return False
        frames = {state.frame for state in gone}
        # The different states last: while they exist, a later session finds out what must be painted again.
        for part in (gone - different, different):
            self._store.forget(part, frames=frames)
        self._store.forget_finished(())
        return True

    def _fall_back(self, shot: int, result: Stylized) -> None:
        self._mode_of[shot] = result.memory_mode
        why, mode = result.shortage, result.memory_mode
        self._store.record("memory_mode", durable=True, shot=shot, memory_mode=_to_json(mode), why=why)
        text = f"memory runs short in shot {shot + 1} ({why}): all of it is painted with {mode.describe()}"
        self._on_event(Warned(text))

    def _rank(self, memory_mode: MemoryMode) -> int:
        return self._modes.index(memory_mode)

    def _parsed(self, value: object) -> MemoryMode | None:
        """Return the mode that a value in the log means; None if it is none of the modes."""
        return next((memory_mode for memory_mode in self._modes if _to_json(memory_mode) == value), None)

    def _read(self) -> None:
        for shot, values in RunLog.read(self._store.folder).shot_memory_modes.items():
            parsed = (memory_mode for value in values if (memory_mode := self._parsed(value)) is not None)
            self._mode_of[shot] = max((self._modes[0], *parsed), key=self._rank)

    def _recorded_modes(self) -> dict[str, MemoryMode | None]:
        """Return the modes of finished nodes that saved memory, by node name."""
        recorded = RunLog.read(self._store.folder).node_memory_modes
        return {name: self._parsed(value) for name, value in recorded.items()}


def _to_json(memory_mode: MemoryMode) -> dict[str, Any]:
    """Return the fields that differ from the defaults, as JSON values."""
    usual = asdict(NO_SAVINGS)
    return {name: value for name, value in asdict(memory_mode).items() if value != usual[name]}
