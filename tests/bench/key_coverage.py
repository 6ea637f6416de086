"""Compares ways to tell what a painted key covers: a render's own flows, whole flows between neighbours, sketches.

    python tests/bench/key_coverage.py CLIP --key 0 --frames 48 --size 256 --preset medium

prints for each frame the share of pixels that each way traces to the key, and the means.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from vidnst.config import InputConfig, MotionConfig
from vidnst.frames import Pixels
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.probe import probe_input
from vidnst.motion.coverage import trace
from vidnst.motion.flow import FlowPair, compose_pairs, estimate_pair, target_positions
from vidnst.motion.flow_sketch import SketchPair, trace_sketches

SPACING = 8
"""Frames between keys that are not painted."""


def read_frames(clip: Path, first: int, count: int, longest_px: int) -> list[Pixels]:
    """Read frames of a clip, reduced to a longest side in pixels."""
    info = probe_input(str(clip), InputConfig())
    with FrameReader(info, size=fit_size(info.width, info.height, longest_px)) as reader:
        return [reader.read(index).pixels for index in range(first, first + count)]


def by_render(frames: list[Pixels], steps: list[FlowPair], config: MotionConfig) -> list[float]:
    """Return the share of each frame that the flows of a render's starts trace to the first one."""
    shares, left = [1.0], 0
    within = to_first = steps[0]
    known = np.full(within.forward.valid.shape, 255, np.uint8)
    for frame, step in enumerate(steps, start=1):
        is_next = frame == left + 1
        guess = None if is_next else compose_pairs(step, within)
        within = step if is_next else estimate_pair(frames[frame], frames[left], config, guess=guess)
        if frame - left == SPACING:
            direct = compose_pairs(within, to_first)
            to_first = within if left == 0 else estimate_pair(frames[frame], frames[0], config, guess=direct)
            known, left = to_first.forward.valid, frame
            shares.append(float((known == 255).mean()))
            continue
        x, y = target_positions(within.forward.vectors_px)
        covered = (within.forward.valid == 255) & (cv2.remap(known, x, y, cv2.INTER_LINEAR) >= 128)
        shares.append(float(covered.mean()))
    return shares


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--key", type=int, default=0)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", type=int, default=256, help="longest side of the frames in pixels")
    parser.add_argument("--preset", default="medium", help="of DIS")
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    config = MotionConfig(preset=chosen.preset)
    frames = read_frames(chosen.clip, chosen.key, chosen.frames, chosen.size)
    steps = [estimate_pair(after, before, config) for before, after in pairwise(frames)]
    sketches = {frame: SketchPair.of(step) for frame, step in enumerate(steps, start=1)}
    chain = {frame: float(cells.mean()) for frame, cells in trace(steps, 0)}
    sketched = {frame: float(shares.mean()) for frame, shares in trace_sketches(sketches, 0, range(len(frames)))}
    rows = [
        (share, chain.get(frame, 0.0), sketched.get(frame, 0.0))
        for frame, share in enumerate(by_render(frames, steps, config))
    ]
    lines = ["frame  render  chain  sketch"]
    lines += [f"{frame:5}  " + "  ".join(f"{share:.2f}" for share in row) for frame, row in enumerate(rows, chosen.key)]
    lines.append(" mean  " + "  ".join(f"{share:.3f}" for share in np.mean(rows[1:], axis=0)))
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
