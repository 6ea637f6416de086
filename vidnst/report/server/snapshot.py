"""The status of all runs and batches in some folders, read at most once a second."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidnst.errors import VidnstError
from vidnst.report.server.played_output import playable
from vidnst.report.server.run_list import group_runs
from vidnst.runs.discovery import RunListing, find_runs
from vidnst.runs.layout import RunLayout
from vidnst.runs.safe_files import is_file
from vidnst.runs.status import RunMonitor

_MAX_AGE_SECONDS = 1.0
_MAX_RUNS = 500
_STATE_ORDER = ("failed", "damaged", "running", "stopped", "waiting", "finished")


class Snapshot:
    """A cached view of runs and batches, for any thread.

    Args:
        folders: run folders, folders with runs in them, or state folders of batches.

    Raises:
        RunError: one of them is missing.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folder.absolute() for folder in folders)
        for folder in self._folders:
            find_runs(folder)
        self._monitor = RunMonitor()
        self._lock = threading.Lock()
        self._runs: dict[str, Path] = {}
        self._values: dict[str, Any] = {}
        self._read_at = float("-inf")

    def to_dict(self) -> dict[str, Any]:
        """All runs and batches as JSON values."""
        with self._lock:
            if time.monotonic() - self._read_at > _MAX_AGE_SECONDS:
                self._values = self._read()
                self._read_at = time.monotonic()
            return self._values

    def run(self, key: str) -> Path | None:
        """The run folder for a key of `run_key`; None if there is no such run."""
        if key not in self._runs:
            self.to_dict()
        return self._runs.get(key)

    def _read(self) -> dict[str, Any]:
        listings = [_find_runs(folder) for folder in self._folders]
        folders = list(dict.fromkeys(run for listing in listings for run in listing.runs))
        self._monitor.keep_only(folders)
        self._runs = {run_key(run): run for run in folders[:_MAX_RUNS]}
        runs = [{"id": key, **self._status(run)} for key, run in self._runs.items()]
        runs.sort(key=lambda run: (_STATE_ORDER.index(run["state"]), -run["updated"]))
        found = [batch for listing in listings for batch in listing.batches]
        batches = [asdict(batch) for batch in found]
        groups = group_runs(runs, found, {run: key for key, run in self._runs.items()})
        errors = [error for listing in listings for error in listing.errors]
        if len(folders) > _MAX_RUNS:
            errors.append(f"only {_MAX_RUNS} of {len(folders)} runs are shown")
        return {"time": time.time(), "runs": runs, "batches": batches, "groups": groups, "errors": errors}

    def _status(self, run: Path) -> dict[str, Any]:
        status = self._monitor.status(run)
        output = playable(run, Path(status.output)) if status.state == "finished" and status.output else None
        plays = None if output is None else output.kind
        return status.to_dict() | {"measure": is_file(RunLayout(run).measure), "plays": plays}


def _find_runs(folder: Path) -> RunListing:
    try:
        return find_runs(folder)
    except (VidnstError, OSError) as error:
        return RunListing((), errors=(str(error) if isinstance(error, VidnstError) else f"{folder}: {error}",))


def run_key(run: Path) -> str:
    """A short key for a run that gives away no path."""
    return hashlib.sha256(str(run).encode(errors="surrogateescape")).hexdigest()[:16]
