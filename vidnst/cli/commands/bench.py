"""The command `bench`, which measures the speed of this machine."""

import json
from pathlib import Path
from typing import Annotated

from vidnst.cli import progress
from vidnst.cli.commands import options as opt
from vidnst.cli.tables.bench import write_bench

_FRAME, _WHOLE, _REPORT = "One frame", "Whole renders", "Report"


def bench(
    sizes: Annotated[list[str] | None, opt.option(_FRAME, "WIDTHxHEIGHT; repeatable.", "--size")] = None,
    weights: Annotated[str, opt.option(_FRAME, "Weights; their values do not affect the speed of a frame.")] = "random",
    backbone: Annotated[opt.Backbone, opt.option(_FRAME, "The network to time.")] = "vgg19",
    iterations: Annotated[int, opt.option(_FRAME, "Evaluations in each of three rounds per size.", min=1)] = 10,
    threads: Annotated[int | None, opt.option(_FRAME, "CPU threads; default: all cores.", min=1)] = None,
    loss: Annotated[
        bool,
        opt.option(
            _FRAME, "Also time how soon the defaults reach the loss of 300 plain steps of Adam; slow.", "--loss"
        ),
    ] = False,
    presets: Annotated[
        list[str] | None,
        opt.option(_WHOLE, "Render a synthetic clip with this preset, at each --size; repeatable.", "--preset"),
    ] = None,
    workers: Annotated[
        str | None,
        opt.option(_WHOLE, "Render it with the first preset and each of these numbers of workers.", metavar="1,2,4"),
    ] = None,
    frames: Annotated[int, opt.option(_WHOLE, "Frames of the clip.", min=2, max=1000)] = 24,
    assignments: Annotated[
        list[str] | None, opt.option(_WHOLE, "Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")
    ] = None,
    against: Annotated[
        Path | None,
        opt.option(_REPORT, "Compare with an earlier report, at its sizes if no --size is given.", "--compare"),
    ] = None,
    output: Annotated[Path | None, opt.option(_REPORT, "Also write the JSON here.", "--output", "-o")] = None,
    as_json: opt.Json = False,
    verbose: opt.Verbose = False,
) -> None:
    """Measure time and memory of a frame's optimisation, and its share of this machine's arithmetic rate.

    Optionally also whole renders, loss over time, and ratios to an earlier report.
    """
    from vidnst.config.loader import load_config
    from vidnst.runs.request_inputs import named_inputs
    from vidnst.tools.bench.report import BenchRequest, run_bench

    named = named_inputs((), (), load_config(assignments=assignments or ()))
    opt.check_report(output, [weights, *([] if against is None else [against]), *named])
    request = BenchRequest(
        sizes=tuple(sizes or ()),
        weights=weights,
        backbone=backbone,
        iterations=iterations,
        threads=threads,
        presets=tuple(presets or ()),
        frames=frames,
        settings=tuple(assignments or ()),
        workers=opt.parse_integers(workers, "--workers"),
        loss=loss,
        against=against,
    )
    with progress.showing_progress(as_json=False) as on_event:
        report = run_bench(request, on_event=on_event)
    if output is not None:
        output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    write_bench(report, as_json=as_json)
