"""The command that writes the frames worth painting."""

from pathlib import Path
from typing import Annotated

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.tables.results import write_keys


def keys(
    source: opt.Source,
    output: Annotated[
        Path, opt.out("Folder of the frames and of a sheet that shows what each covers.", "--output", "-o")
    ] = Path("keys"),
    count: Annotated[
        int | None, opt.clip("Number of frames; default: as many as 95 % of all pixels follow.", min=1)
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    fps: opt.Fps = None,
    overwrite: opt.Overwrite = False,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Write the few frames of SOURCE that are worth painting, for `vidnst render --keys`."""
    from vidnst.config import InputConfig
    from vidnst.config.loader import load_config
    from vidnst.tools import choose_keys as tool

    settings = {"input.start": start, "input.end": end, "input.fps": fps}
    config: InputConfig = load_config(options=settings).input
    sources: str | list[str] = source[0] if len(source) == 1 else source
    with progress.running(as_json=as_json) as (on_event, cancelled):
        choices = tool.write_keys(
            sources, output, config=config, count=count, overwrite=overwrite, on_event=on_event, cancelled=cancelled
        )
    write_keys(choices, as_json=as_json)
