"""What the run folder of a finished render tells about it, read without its lock."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidnst.errors import RunError
from vidnst.frames import Shot
from vidnst.runs import DAMAGES, holds_run, read_events, read_plan
from vidnst.runs.request import Request, recall_request, run_folder_of

if TYPE_CHECKING:  # it brings cv2
    from vidnst.media.adjust.adjustments import Adjustments
    from vidnst.media.effects.colour_transfer import ColourSample

LOSSES = ("content", "style")
"""Terms that stand beside the steadiness of a clip."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run folder, as far as a measurement reads it."""

    folder: Path
    request: Request
    plan: dict[str, Any] | None

    def shots(self, start: int, end: int) -> list[Shot] | None:
        """The planned shots; None where another range, or nothing, was planned.

        Raises:
            RunError: the plan is damaged.
        """
        if not self._covers(start, end) or self.plan is None:
            return None
        try:
            shots = [Shot(int(first), int(stop)) for first, stop in self.plan["shots"]]
            if [start, *(shot.end for shot in shots)] != [*(shot.start for shot in shots), end]:
                raise ValueError("its shots do not cover its range")
            return shots
        except DAMAGES as error:
            raise self._damaged(error) from error

    def adjustments(self, start: int, end: int) -> "Adjustments | None":
        """What was done to the source's frames before they were rendered; None for nothing, or another range.

        Raises:
            RunError: the plan is damaged.
        """
        if self.plan is None or "adjustments" not in self.plan or not self._covers(start, end):
            return None
        from vidnst.media.adjust.adjustments import Adjustments

        try:
            found = Adjustments.from_json(self.plan["adjustments"])
            if found.start != start or len(found.frames) != end - start:
                raise ValueError("its adjustments are not of its frames")
            return found
        except DAMAGES as error:
            raise self._damaged(error) from error

    @property
    def colours(self) -> "ColourSample | None":
        """The source's colours, where the run gave them to its style pictures.

        Raises:
            RunError: the plan is damaged.
        """
        if self.plan is None or "colours" not in self.plan:
            return None
        from vidnst.media.effects.colour_transfer import ColourSample

        try:
            return ColourSample.from_json(self.plan["colours"])
        except DAMAGES as error:
            raise self._damaged(error) from error

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels of rendered frames; None where nothing was planned."""
        match (self.plan or {}).get("size"):
            case [int(width), int(height)] if 0 < width < 1 << 20 and 0 < height < 1 << 20:
                return width, height
        return None

    def _covers(self, start: int, end: int) -> bool:
        if self.plan is None:
            return False
        if not isinstance(self.plan.get("range"), list):
            raise self._damaged(ValueError("it has no range"))
        return list(self.plan["range"]) == [start, end]

    def _damaged(self, error: Exception) -> RunError:
        return RunError(
            f"{self.folder / 'plan.json'} is damaged ({error!r})", "give --source, and move the run folder away"
        )

    def frames(self, start: int, end: int) -> list[Path]:
        """The frames of the range that were kept, as the viewer sees them, all of them or none."""
        folder = self.folder / ("finished" if self.request.config.finishes else "frames")
        paths = [folder / f"{index:08d}.png" for index in range(start, end)]
        return paths if all(path.is_file() for path in paths) else []


def find_record(output: Path) -> RunRecord | None:
    """The run folder of an output: itself, or the one beside it; None where there is none.

    Raises:
        RunError, ConfigError: it is damaged.
    """
    whole = Path(os.path.abspath(output))
    folder = whole if holds_run(whole) else run_folder_of(whole) if whole.name else whole
    if not holds_run(folder):
        return None
    return RunRecord(folder, recall_request(folder, {}), read_plan(folder))


def read_losses(folder: Path) -> tuple[dict[int, dict[str, float]], int]:
    """Style and content loss of each finished frame by a run's log, and the evaluations of all its nodes.

    Where a node was done again, the last time counts.
    """
    log = folder / "events.jsonl"
    losses: dict[int, dict[str, float]] = {}
    evaluations: dict[str, int] = {}
    for event in read_events(log) if log.is_file() else ():
        node, terms = str(event.get("node")), event.get("losses")
        frame = node.partition(".")[0]
        if event.get("kind") != "done" or not (frame.isdecimal() and len(frame) < 10) or not isinstance(terms, Mapping):
            continue
        spent = event.get("evaluations")
        evaluations[node] = spent if isinstance(spent, int) else 0
        if event.get("final"):
            values = {name: terms.get(name) for name in LOSSES}
            losses[int(frame)] = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return losses, sum(evaluations.values())
