"""What a file of jobs would have rendered, without rendering it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vidnst.errors import VidnstError
from vidnst.rendering.batch.job_file import ClipSpec, read_jobs
from vidnst.rendering.dry_run import outline
from vidnst.runs.request import Request


def list_jobs(path: Path) -> list[dict[str, Any]]:
    """Every job of a file as JSON values, in its order; one that could not be rendered says why under `error`.

    Raises:
        ConfigError: the file is wrong, with the place.
    """
    return [_row(clip) for clip in read_jobs(path).clips]


def somewhere(request: Request) -> Request:
    """The request with its output where a folder is already: the batch makes the folders that are not there."""
    home = next(folder for folder in request.output.parents if folder.is_dir())
    return replace(request, output=home / request.output.name, work_dir=request.folder)


def _row(clip: ClipSpec) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": clip.name,
        "entry": clip.entry,
        "source": clip.source,
        "styles": list(map(str, clip.request.styles)),
        "preset": clip.preset,
        "priority": clip.priority,
        "output": str(clip.request.output),
        "run_folder": str(clip.request.folder),
        "frames": None,
        "nodes": None,
        "evaluations": None,
        "error": None,
    }
    try:
        plan = outline(somewhere(clip.request))
    except VidnstError as error:
        return row | {"error": str(error)}
    return row | {
        "frames": plan["frames"],
        "nodes": sum(plan["nodes"].values()),
        "evaluations": plan["evaluations"],
    }
