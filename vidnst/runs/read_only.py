"""What a run folder tells without its lock."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidnst.errors import RunError
from vidnst.runs.event_log import read_events

DAMAGES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a value of a damaged record raises."""

_LONGEST_PLAN = 1 << 30


def holds_run(folder: Path) -> bool:
    """Whether the folder holds a run."""
    return (folder / "run.json").is_file()


def mask_path(folder: Path, region: str, index: int) -> Path:
    """Where a run has, or will have, a region's mask of frame `index` of the source, as a PNG."""
    return folder / "masks" / region / f"{index:08d}.png"


def read_plan(folder: Path) -> dict[str, Any] | None:
    """What a run planned, read without its lock; None where it has planned nothing.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / "plan.json"
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LONGEST_PLAN:
            raise ValueError("over 1 GiB")
        plan = json.loads(path.read_bytes())
        if not isinstance(plan, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}", "start afresh with --restart") from error
    return plan


def planned_range(plan: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """The first frame that a run has planned, and the one after the last; None where that is not known."""
    match (plan or {}).get("range"):
        case [int(start), int(end)] if 0 <= start <= end < 1 << 31:
            return start, end
    return None


@contextmanager
def reading_plan(folder: Path) -> Iterator[None]:
    """Turn what goes wrong over a value of `plan.json` into a RunError."""
    try:
        yield
    except DAMAGES as error:
        raise RunError(f"{folder / 'plan.json'} is damaged ({error!r:.200})", "start afresh with --restart") from error


def was_writing(folder: Path, output: Path) -> bool:
    """Whether the run in a folder was ended while it put this output into its place, or before it had finished.

    Then an output that is there is the run's own, or what the run had leave to replace. Read without the lock.

    Raises:
        RunError: the log is damaged.
    """
    writing_to = None
    if holds_run(folder) and (folder / "events.jsonl").is_file():
        for event in read_events(folder / "events.jsonl"):
            if event.get("kind") in ("writing", "unwritten", "finished"):
                writing_to = event.get("output")
    return writing_to == os.path.abspath(output)
