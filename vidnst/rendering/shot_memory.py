"""How frugally each shot of a run is painted: all of it alike, also where memory ran short halfway through."""

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
    """What is done to save memory in each shot of a run, now and in earlier sessions of it.

    A shot goes on with what its last frame needed. What was painted of it otherwise shows, so it is made again, with
    what depends on it; and while that is known to come, no more of the shot is painted.

    Args:
        on_event: hears of every shot that needs to save more than it did.
    """

    def __init__(self, config: RenderConfig, store: RunStore, on_event: OnEvent) -> None:
        self._ladder = fallback_modes(config, smaller=True)
        self._store = store
        self._on_event = on_event
        self._of: dict[int, MemoryMode] = {}
        self._paints: dict[int, MemoryMode] = {}
        """Of the first frame of a shot that is made and kept."""
        self._spoilt: set[int] = set()
        self._read()

    def of(self, shot: int) -> MemoryMode:
        """What is done in a shot."""
        return self._of.get(shot, self._ladder[0])

    def spoilt(self, shot: int) -> bool:
        """Whether a shot's frames are painted unlike, so that whatever is painted now will be painted again."""
        return shot in self._spoilt

    def take(self, node: Node, result: Stylized) -> dict[str, Any]:
        """Learn from a result; what its record is to say about it."""
        if self._rank(result.memory_mode) > self._rank(self.of(node.shot)):
            self._climb(node.shot, result)
        paints = result.memory_mode.pixel_relevant
        if self._paints.setdefault(node.shot, paints) != paints:
            self._spoilt.add(node.shot)
        return {"memory_mode": _plain(result.memory_mode)} if result.memory_mode != self._ladder[0] else {}

    def even_out(self, plans: Iterable[Iterable[Node]], *, without: Collection[int] = ()) -> set[int]:
        """Have the run forget what is painted unlike the most frugal part of its shot, and what depends on that.

        Args:
            plans: of the run's shots, each in its order.
            without: shots that are to stay as they are for now.

        Returns:
            Shots of which something is forgotten, and shots that were left off since it will be.
        """
        unusual = self._unusual() if self._store.begun else {}
        self._paints.clear()
        again = set(self._spoilt.difference(without))
        for plan in plans:
            states = (node for node in plan if isinstance(node.id, StateId))
            first = next(states, None)
            if first is None or first.shot in without:
                continue
            nodes = chain((first,), states)
            if not unusual and self.of(first.shot) == self._ladder[0]:  # nearly always: no list of a long plan then
                if self._store.begun and any(map(self._store.finished, nodes)):
                    self._paints[first.shot] = self._ladder[0].pixel_relevant
            elif self._even_out(list(nodes), unusual):
                again.add(first.shot)
        self._spoilt.clear()
        return again

    def _even_out(self, nodes: list[Node], unusual: Mapping[str, MemoryMode | None]) -> bool:
        shot = nodes[0].shot
        usual = self._ladder[0]
        known = {
            node.id: unusual.get(str(node.id), usual)
            for node in nodes
            if isinstance(node.id, StateId) and (str(node.id) in unusual or self._store.finished(node))
        }
        most = max((self.of(shot), *(memory_mode for memory_mode in known.values() if memory_mode)), key=self._rank)
        self._of[shot] = most
        unlike = {
            state
            for state, memory_mode in known.items()
            if memory_mode is None or memory_mode.pixel_relevant != most.pixel_relevant
        }
        gone = with_dependents(nodes, unlike) & known.keys()
        if len(gone) < len(known):
            self._paints[shot] = most.pixel_relevant
        if not gone:
            return False
        frames = {state.frame for state in gone}
        # These last: while they are there, a later session finds that something is to be made again, and what.
        for part in (gone - unlike, unlike):
            self._store.forget(part, frames=frames)
        self._store.forget_finished(())
        return True

    def _climb(self, shot: int, result: Stylized) -> None:
        self._of[shot] = result.memory_mode
        why, saved = result.shortage, result.memory_mode
        self._store.record("memory_mode", durable=True, shot=shot, memory_mode=_plain(saved), why=why)
        text = f"memory runs short in shot {shot + 1} ({why}): all of it is painted with {saved.describe()}"
        self._on_event(Warned(text))

    def _rank(self, memory_mode: MemoryMode) -> int:
        return self._ladder.index(memory_mode)

    def _parsed(self, value: object) -> MemoryMode | None:
        """One of the ways that there are, out of a log; None for what is none of them."""
        return next((memory_mode for memory_mode in self._ladder if _plain(memory_mode) == value), None)

    def _read(self) -> None:
        for shot, values in RunLog.read(self._store.folder).shot_memory_modes.items():
            parsed = (memory_mode for value in values if (memory_mode := self._parsed(value)) is not None)
            self._of[shot] = max((self._ladder[0], *parsed), key=self._rank)

    def _unusual(self) -> dict[str, MemoryMode | None]:
        """How those nodes were painted, by name, that are made and for which memory was saved."""
        recorded = RunLog.read(self._store.folder).node_memory_modes
        return {name: self._parsed(value) for name, value in recorded.items()}


def _plain(memory_mode: MemoryMode) -> dict[str, Any]:
    """What is not as usual, as JSON values."""
    usual = asdict(NO_SAVINGS)
    return {name: value for name, value in asdict(memory_mode).items() if value != usual[name]}
