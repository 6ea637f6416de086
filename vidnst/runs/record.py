"""A finished or stopped run, read from its folder without its lock."""

from dataclasses import dataclass
from pathlib import Path

from vidnst.runs.layout import RunLayout, locate_run
from vidnst.runs.plan_record import RunPlan
from vidnst.runs.request import Request, load_request
from vidnst.runs.safe_files import is_file


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run folder, as far as measurements and reports read it."""

    folder: Path
    request: Request
    plan: RunPlan | None
    """None where nothing was planned."""

    def plan_of(self, start: int, end: int) -> RunPlan | None:
        """The plan, if it is of the frames `start <= index < end` of the source."""
        plan = self.plan
        return plan if plan is not None and (plan.start, plan.end) == (start, end) else None

    def output_source(self) -> Path | tuple[Path, ...]:
        """What holds the rendered frames: the output, or the files of one that is a sequence of image files."""
        output = self.request.output
        return (self.plan.output_files(output) if self.plan else None) or output

    def frames(self, start: int, end: int) -> list[Path]:
        """The frames of the range as the viewer sees them: all of them, or none where one is missing."""
        layout = RunLayout(self.folder)
        paths = [layout.final_frame(index, self.request.config) for index in range(start, end)]
        return paths if all(map(is_file, paths)) else []


def find_record(path: Path) -> RunRecord | None:
    """The run of a run folder, or of an output with a run folder next to it; None where there is none.

    Raises:
        RunError, ConfigError: it is damaged.
    """
    folder = locate_run(path)
    if folder is None:
        return None
    return RunRecord(folder, load_request(folder, {}), RunPlan.read(folder))
