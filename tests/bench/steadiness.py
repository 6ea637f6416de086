"""Compare how steady renders of the same clip are: `python tests/bench/steadiness.py RUN.vidnst ...`.

Give run folders that kept their frames (`--keep-frames`). For each it prints the warping error in Lai's form (flow from
the source frames, valid pixels only), at neighbouring frames and at a gap of five, the source's own error, and the mean
losses and evaluations, since a frozen or blurred clip games every steadiness number.
"""

import json
import statistics
import sys
from contextlib import closing
from pathlib import Path

from vidnst.frames import Pixels, Shot, unit
from vidnst.media.adjust import Adjuster, Adjustments
from vidnst.media.frame_cache import FrameCache
from vidnst.media.pictures import read_picture
from vidnst.motion.flow import estimate_flow
from vidnst.motion.metrics import warp_error
from vidnst.prepare import recall_request


def error(pictures: list[Pixels], source: list[Pixels], gap: int) -> float:
    """Mean warping error between pictures `gap` frames apart."""
    return statistics.fmean(
        warp_error(
            unit(pictures[late]), unit(pictures[late - gap]), estimate_flow(source[late], source[late - gap], size=1280)
        )
        for late in range(gap, len(source))
    )


def row(folder: Path) -> str:
    """One line of the table."""
    from vidnst.media.probe import probe

    request, plan = recall_request(folder, {}), json.loads((folder / "plan.json").read_text())
    start, end = plan["range"]
    clip = probe(request.source, fps=request.config.input.fps)
    size, shots = tuple(plan["size"]), [Shot(*ends) for ends in plan["shots"]]
    adjustments = Adjustments.from_json(plan["adjustments"]) if "adjustments" in plan else None
    adjuster = None if adjustments is None else Adjuster(adjustments, clip, size)
    with closing(FrameCache(clip, shots, size=size, adjuster=adjuster)) as cache:
        source = [
            cache.get(number, index) for number, shot in enumerate(shots) for index in range(shot.start, shot.end)
        ]
    pictures = [read_picture(folder / "frames" / f"{index:08d}.png") for index in range(start, end)]
    nodes = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    done = [node for node in nodes if node["kind"] == "done"]
    mean = {term: statistics.fmean(node["losses"][term] for node in done) for term in ("style", "content")}
    spent = sum(node["evaluations"] for node in done)
    errors = (error(pictures, source, 1), error(pictures, source, 5), error(source, source, 1))
    cells = [folder.name.removesuffix(".vidnst"), *(f"{value:.5f}" for value in errors)]
    cells += [f"{mean['style']:.4f}", f"{mean['content']:.4f}", str(spent)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write("| run | error | 5-frame gap | source's own | style loss | content loss | evaluations |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for argument in sys.argv[1:]:
        sys.stdout.write(row(Path(argument)) + "\n")
