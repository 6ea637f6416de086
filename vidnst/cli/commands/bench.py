"""The command that says how fast this machine is."""

import json
from pathlib import Path
from typing import Annotated

from vidnst.cli.commands.options import Backbone, Json, Verbose, numbers, option, verbosity

_FRAME, _WHOLE, _REPORT = "One frame", "Whole renders", "Report"


def bench(
    sizes: Annotated[list[str] | None, option(_FRAME, "WIDTHxHEIGHT; repeatable.", "--size")] = None,
    weights: Annotated[str, option(_FRAME, "Weights; their values do not matter for the speed of a frame.")] = "random",
    backbone: Annotated[Backbone, option(_FRAME, "The network that is timed.")] = "vgg19",
    iterations: Annotated[int, option(_FRAME, "Evaluations in each of three rounds at each size.", min=1)] = 10,
    threads: Annotated[int | None, option(_FRAME, "Threads on a CPU; default: all cores.", min=1)] = None,
    loss: Annotated[
        bool,
        option(_FRAME, "Also how soon the defaults are where 300 plain steps of Adam come; slow.", "--loss"),
    ] = False,
    presets: Annotated[
        list[str] | None,
        option(_WHOLE, "Render a clip that is drawn for it with this preset, at each --size; repeatable.", "--preset"),
    ] = None,
    workers: Annotated[
        str | None,
        option(_WHOLE, "Render it with each of these numbers of workers, with the first preset.", metavar="1,2,4"),
    ] = None,
    frames: Annotated[int, option(_WHOLE, "Frames of the clip.", min=2, max=1000)] = 24,
    assignments: Annotated[
        list[str] | None, option(_WHOLE, "Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")
    ] = None,
    against: Annotated[
        Path | None,
        option(_REPORT, "Put an earlier report beside, at its sizes if no --size is given.", "--compare"),
    ] = None,
    output: Annotated[Path | None, option(_REPORT, "Also write the JSON here.", "--output", "-o")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure time and memory of a frame's optimisation, and the share of this machine's arithmetic rate.

    On request also whole renders, loss against time, and ratios to an earlier report.
    """
    verbosity(verbose)
    from vidnst.cli import progress
    from vidnst.cli.tables_bench import show_bench
    from vidnst.errors import OutputError
    from vidnst.tools.bench.report import BenchRequest, measure

    if output is not None and not output.absolute().parent.is_dir():
        raise OutputError(f"there is no folder {output.absolute().parent}", "make it, or choose another place with -o")
    request = BenchRequest(
        sizes=tuple(sizes or ()),
        weights=weights,
        backbone=backbone,
        iterations=iterations,
        threads=threads,
        presets=tuple(presets or ()),
        frames=frames,
        settings=tuple(assignments or ()),
        workers=numbers(workers, "--workers"),
        loss=loss,
        against=against,
    )
    with progress.progress(as_json=False) as on_event:
        report = measure(request, on_event=on_event)
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    show_bench(report, as_json=as_json)
