"""Whether an earlier run has finished a job, without a look into its source or its styles: they may be gone."""

import os
from dataclasses import replace

from vidnst.config.loader import build_config
from vidnst.config.style import Style, parse_style
from vidnst.rendering.batch.job_file import ClipSpec
from vidnst.runs import Manifest, RunLog, RunPlan, holds_run
from vidnst.runs.request import Request


def finished_frames(spec: ClipSpec) -> int | None:
    """How many frames a job has whose output an earlier run has finished, just as the file asks for it; else None.

    The source's bytes are not compared: a source that was replaced under its name needs a new output.
    """
    request = spec.request
    folder, output = request.folder, request.output
    filled = output.is_file() or (output.is_dir() and any(output.iterdir()))
    if not filled or not holds_run(folder) or not RunLog.read(folder).complete:
        return None
    if not _same(Manifest.read(folder), request):
        return None
    plan = RunPlan.read(folder)
    return 0 if plan is None else plan.end - plan.start


def _same(manifest: Manifest, request: Request) -> bool:
    """Whether a run is of this request, as far as can be told without looking into its files."""
    was = [(mark.path, mark.weight, mark.at, mark.shots, mark.region) for mark in manifest.look.styles]
    now = [(text.path, text.weight, text.at, text.shots, text.region) for text in map(_parsed, request.styles)]
    return (
        was == now
        and manifest.sources == (os.path.abspath(str(request.source)),)
        and build_config(manifest.config).look() == request.config.look()
    )


def _parsed(text: str) -> Style:
    """The parts of a style's text, with its absolute path."""
    parsed = parse_style(text)
    return replace(parsed, path=os.path.abspath(parsed.path))
