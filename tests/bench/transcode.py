"""Check that clips are transcoded faithfully with zero iterations: `python tests/bench/transcode.py CLIP ...`.

Renders each with the defaults and `--iterations 0`, and prints a table that compares output and source.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import vidnst
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe


def row(source: Path, folder: Path) -> str:
    """Transcode a clip and format its row."""
    output = folder / "out.mp4"
    config = vidnst.RenderConfig.model_validate({"optimize": {"iterations": 0}})
    vidnst.render(source, style=[], output=output, config=config, overwrite=True, restart=True)
    before, after = probe(source), probe(output)
    zero = [clip.pts_seconds[0] for clip in (before, after)]
    stamps = zip(before.pts_seconds, after.pts_seconds, strict=True)
    worst = max(abs((first - zero[0]) - (second - zero[1])) for first, second in stamps)
    off = []
    with FrameReader(before) as source_frames, FrameReader(after) as output_frames:
        for one, two in zip(source_frames, output_frames, strict=True):
            off.append(np.abs(one.pixels.astype(np.int16) - two.pixels).mean())
    late = abs(before.duration_seconds - after.duration_seconds)
    cells = (
        source.name,
        f"{before.frame_count} / {after.frame_count}",
        f"{float(worst) * 1000:.3f}",
        f"{float(late) * 1000:.3f}",
        f"{before.audio_codec} / {after.audio_codec}",
        f"{np.mean(off):.2f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write("| clip | frames in / out | worst stamp, ms | duration, ms | audio in / out | colour error |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as temporary:
        for argument in sys.argv[1:]:
            sys.stdout.write(row(Path(argument), Path(temporary)) + "\n")
            sys.stdout.flush()
