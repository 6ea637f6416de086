"""What the page shows: all runs and batches below some folders, looked at again at most once a second."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidnst.errors import VidnstError
from vidnst.runs.discovery import RunListing, look_at
from vidnst.runs.layout import RunLayout
from vidnst.runs.status import Watcher, is_plain

_FRESH_SECONDS = 1.0
_MOST_RUNS = 500
_ORDER = ("running", "failed", "damaged", "stopped", "waiting", "finished")


class Snapshot:
    """Looks at runs for any number of threads.

    Args:
        folders: run folders, folders with runs in them, or state folders of batches.

    Raises:
        RunError: one of them is not there.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folder.absolute() for folder in folders)
        for folder in self._folders:
            look_at(folder)
        self._watcher = Watcher()
        self._lock = threading.Lock()
        self._runs: dict[str, Path] = {}
        self._told: dict[str, Any] = {}
        self._at = float("-inf")

    def told(self) -> dict[str, Any]:
        """All runs and batches, as JSON values."""
        with self._lock:
            if time.monotonic() - self._at > _FRESH_SECONDS:
                self._told = self._look()
                self._at = time.monotonic()
            return self._told

    def run(self, key: str) -> Path | None:
        """The run folder that a key stands for."""
        if key not in self._runs:
            self.told()
        return self._runs.get(key)

    def _look(self) -> dict[str, Any]:
        places = [self._place(folder) for folder in self._folders]
        found = list(dict.fromkeys(run for place in places for run in place.runs))
        self._watcher.forget(found)
        self._runs = {run_key(run): run for run in found[:_MOST_RUNS]}
        runs = [{"id": key, **self._status(run)} for key, run in self._runs.items()]
        runs.sort(key=lambda run: (_ORDER.index(run["state"]), -run["updated"]))
        batches = [asdict(batch) for place in places for batch in place.batches]
        errors = [error for place in places for error in place.errors]
        if len(found) > _MOST_RUNS:
            errors.append(f"only {_MOST_RUNS} of {len(found)} runs are shown")
        return {"time": time.time(), "runs": runs, "batches": batches, "errors": errors}

    def _status(self, run: Path) -> dict[str, Any]:
        return self._watcher.look(run).to_dict() | {"measure": is_plain(RunLayout(run).measure)}

    def _place(self, folder: Path) -> RunListing:
        try:
            return look_at(folder)
        except (VidnstError, OSError) as error:
            return RunListing((), errors=(str(error) if isinstance(error, VidnstError) else f"{folder}: {error}",))


def run_key(run: Path) -> str:
    """A short name of a run that is no path."""
    return hashlib.sha256(str(run).encode(errors="surrogateescape")).hexdigest()[:16]
