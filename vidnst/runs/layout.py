"""The names in a run folder: where everything lies, and which names, and which output, are a run's own.

run.json       what the run is of; written first, so a folder without it is no run
plan.json      what was planned: range, size, shots, times
events.jsonl   what happened, one JSON object per line
measure.json   how steady the result is; written at the end
report.html    all that is known about the run, to look at; written at the end
state/         <frame>.<pass>.npy, uint16: what warm starts read; deleted when nobody will read it
frames/        <frame, 8 digits>.png: what was rendered, and what the viewer will see where nothing follows
before/        <frame, 8 digits>.png: source frames after the filters that come first, where there are any
finished/      <frame, 8 digits>.png: what the viewer will see, where rendered frames are worked on further
masks/         <region>/<frame, 8 digits>.png: masks that follow what moves, made before anything is rendered
lock           held by the process that works here
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidnst.config import RenderConfig
from vidnst.errors import RunError
from vidnst.farm.plan import NodeId
from vidnst.files.file_names import derived_name
from vidnst.files.part_files import is_part_name
from vidnst.runs.safe_files import is_file

_SUFFIX = ".vidnst"
MANIFEST, PLAN, LOG, MEASURE, REPORT = "run.json", "plan.json", "events.jsonl", "measure.json", "report.html"
RECORDS = (MANIFEST, PLAN, LOG, MEASURE, REPORT)
LOCK = "lock"
MASKS = "masks"
FOLDERS = ("state", "frames", MASKS, "before", "finished")
"""The folders of states and frames."""
OWN_NAMES = frozenset({*RECORDS, LOCK, *FOLDERS})
"""The names that a run gives in its folder."""

FrameFolder = Literal["frames", "before", "finished"]


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The paths in a run folder, of files and folders that need not exist."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """The file of a `Manifest`."""
        return self.folder / MANIFEST

    @property
    def plan(self) -> Path:
        """The file of a `RunPlan`."""
        return self.folder / PLAN

    @property
    def log(self) -> Path:
        """The event log."""
        return self.folder / LOG

    @property
    def measure(self) -> Path:
        """The measurement of the finished frames."""
        return self.folder / MEASURE

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / REPORT

    @property
    def lock(self) -> Path:
        """The file that stands for the exclusive use of the folder."""
        return self.folder / LOCK

    @property
    def states(self) -> Path:
        """The folder of states."""
        return self.folder / "state"

    @property
    def frames(self) -> Path:
        """The folder of rendered frames."""
        return self.folder / "frames"

    @property
    def finished(self) -> Path:
        """The folder of rendered frames that were worked on further."""
        return self.folder / "finished"

    def state(self, node: NodeId) -> Path:
        """The state that a node left."""
        return self.states / state_name(node)

    def frame(self, index: int, folder: FrameFolder = "frames") -> Path:
        """Frame `index` of the source as a PNG: as it was rendered, or as `folder` has it."""
        return self.folder / folder / frame_name(index)

    def final_frame(self, index: int, config: RenderConfig) -> Path:
        """Frame `index` of the source as the viewer sees it, in a run with these settings."""
        return self.frame(index, "finished" if config.finishes else "frames")

    def find_frame(self, index: int) -> Path | None:
        """Frame `index` of the source as the viewer sees it, else as it was rendered; None where neither is a file."""
        return next(filter(is_file, (self.frame(index, "finished"), self.frame(index))), None)

    def mask(self, region: str, index: int) -> Path:
        """A region's mask of frame `index` of the source, as a PNG."""
        return self.folder / MASKS / region / frame_name(index)


def frame_name(index: int) -> str:
    """The file name of frame `index` of the source."""
    return f"{index:08d}.png"


def state_name(node: NodeId) -> str:
    """The file name of a node's state."""
    return f"{node}.npy"


def holds_run(folder: Path) -> bool:
    """True if the folder holds a run, be it one whose record is refused later since it is no file of its own."""
    return os.path.lexists(RunLayout(folder).manifest)


def check_run(folder: Path) -> None:
    """Make sure that a folder holds a run.

    Raises:
        RunError: it does not.
    """
    if not holds_run(folder):
        reason = f"it has no {MANIFEST}" if os.path.lexists(folder) else "it does not exist"
        remedy = f"give the folder that a render has made, OUTPUT{_SUFFIX}; `vidnst status .` lists them"
        raise RunError(f"{folder} is no run folder: {reason}", remedy)


def is_named_as_run(path: Path) -> bool:
    """True if a path has the name of a run folder, not of an output."""
    return path.suffix == _SUFFIX


def run_folder_of(output: Path) -> Path:
    """The run folder that belongs to an output: next to it, named after it."""
    return output.with_name(derived_name(output.name, suffix=_SUFFIX))


def owns_output(folder: Path, output: Path) -> bool:
    """True if an output lies next to a run folder that is named after it, so that the run may replace it."""
    expected, folder = run_folder_of(Path(os.path.abspath(output))), Path(os.path.abspath(folder))
    same_place = os.path.realpath(expected.parent) == os.path.realpath(folder.parent)
    return same_place and expected.name == folder.name


def continue_command(verb: str, folder: Path, output: Path) -> str:
    """The command line that resumes or retries a run, with what confirms an output that the run does not own."""
    confirmed = "" if owns_output(folder, output) else " --overwrite"
    return f"vidnst {verb} {shlex.quote(str(folder))}{confirmed}"


def locate_run(path: Path) -> Path | None:
    """The run folder that a user means by a path: the path itself, or the run folder of the output that it names.

    None where neither holds a run.
    """
    path = Path(os.path.abspath(path))
    candidates = (path, run_folder_of(path)) if path.name else (path,)
    return next((folder for folder in candidates if holds_run(folder)), None)


def run_name(folder: Path) -> str:
    """The name of a run for users: its output's."""
    return folder.name.removesuffix(_SUFFIX) or str(folder)


def foreign_names(folder: Path) -> list[str]:
    """The names in a folder that no run gave: all of them where neither a record nor a lock tells of a run.

    A folder called `frames` may be anybody's. What a killed process of ours left lies next to its lock.

    Raises:
        OSError: the folder cannot be read.
    """
    is_ours = holds_run(folder) or os.path.lexists(RunLayout(folder).lock)
    names = sorted(os.listdir(folder))
    return [name for name in names if not (is_ours and (name in OWN_NAMES or is_part_name(name)))]
