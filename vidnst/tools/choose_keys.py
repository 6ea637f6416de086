"""Writes the few frames of a clip that are worth painting, so that nearly all of it can follow them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vidnst.config import InputConfig, MotionConfig, RenderConfig
from vidnst.config.timecode import frame_range
from vidnst.errors import CancelledError, OutputError
from vidnst.events import Cancelled, OnEvent, RunFinished, Stage, Warned, ignore
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.media.draw.contact_sheet import SheetTile, draw_table, resize_image
from vidnst.media.images import encode_png, write_image
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.key_files import SHEET_NAME, key_files
from vidnst.media.input.probe import probe_input
from vidnst.media.input.shots import find_shots
from vidnst.media.output.preflight import check_file
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.motion.coverage import Cells, choose_frames, coverage, enlarge, merge, trace
from vidnst.motion.flow import FlowPair, estimate_pair
from vidnst.runs.request_inputs import named_inputs

WANTED_SHARE = 0.95
"""Share of all pixels that must be traced to a key."""
_FLOW_PX = 256
_MOST_CANDIDATES = 48
"""Frames of a shot that are tried as keys, evenly spread."""
_MOST_FRAMES = 300
"""Frames of a shot that are traced at once."""
_TILE_PX = 240
_MOST_NAMED = 8
"""Pictures that a warning names."""
_MISSING = np.array([230, 30, 60], np.float32)
"""Colour over what no key shows."""


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """A frame that is worth painting."""

    frame: int
    path: Path
    covers: float
    """Share of all pixels of the range that can be traced to it."""


@dataclass(frozen=True, slots=True)
class KeyChoices:
    """Frames that are worth painting, as they were written."""

    keys: tuple[KeyChoice, ...]
    coverage: float
    """Share of all pixels that can be traced to one of them."""
    poorest_frame: int
    """The frame of which least can be."""
    poorest_share: float
    sheet: Path


def write_keys(
    source: str | Sequence[str],
    output: Path,
    *,
    config: InputConfig,
    count: int | None = None,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> KeyChoices:
    """Choose frames so that nearly every pixel of every frame can be traced to one along the optical flow; write them.

    Args:
        source: a clip, as for a render.
        output: folder of the frames, at full size, named by their numbers, and of a sheet that shows what each covers.
        config: the range, and how the source is read.
        count: number of frames; None takes as many as cover `WANTED_SHARE`.
        overwrite: replace files that exist.
        on_event: hears of the progress, and of pictures in the folder from before.
        cancelled: asked for each frame; True stops.

    Raises:
        VidnstError: the source cannot be read, or a file cannot be written, as the fitting subclass.
    """
    began = time.monotonic()
    clip = probe_input(source, config)
    start, end = frame_range(clip, config.start, config.end)
    shots = find_shots(clip, start=start, end=end, method=config.shots)
    maps = _traced(clip, shots, config, on_event, cancelled)
    frames = range(start, end)
    chosen = choose_frames(maps, frames, share=WANTED_SHARE, count=count)
    covered: dict[int, Cells] = {}
    for key in chosen:
        merge(covered, maps[key])
    paths = [output / f"{key:04}.png" for key in chosen]
    sheet = output / SHEET_NAME
    inputs = (*clip.paths, *named_inputs(source, (), RenderConfig(input=config)))
    check_spares_inputs((*paths, sheet), inputs, joins=True)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {output} cannot be made: {error.strerror}", "name another") from error
    for path in (*paths, sheet):
        check_file(path, overwrite=overwrite)
    small = _write_frames(clip, config, dict(zip(chosen, paths, strict=True)), _shown_frames(chosen, maps))
    shares = {frame: float(covered[frame].mean()) if frame in covered else 0.0 for frame in frames}
    poorest = min(shares, key=lambda frame: shares[frame])
    total = coverage(covered, frames)
    choices = tuple(KeyChoice(key, path, coverage(maps[key], frames)) for key, path in zip(chosen, paths, strict=True))
    title = f"{len(choices)} frames to paint cover {total:.0%} of {clip.source}; least of frame {poorest}"
    write_image(sheet, _draw_sheet(choices, maps, small, title))
    if count is None and total < WANTED_SHARE:
        on_event(Warned(f"all frames together cover {total:.0%} of the pixels only: the rest is never seen in another"))
    if left := _left_over(output, paths):
        named = ", ".join(left[:_MOST_NAMED]) + (", ..." if len(left) > _MOST_NAMED else "")
        on_event(Warned(f"{output} has other pictures, too, and --keys takes them as keys: {named}"))
    on_event(RunFinished(str(output), len(choices), time.monotonic() - began))
    return KeyChoices(choices, total, poorest, shares[poorest], sheet)


def _left_over(output: Path, written: Sequence[Path]) -> list[str]:
    """Name the pictures in a folder of keys that have not just been written."""
    names = {path.name for path in written}
    return [path.name for path in key_files(output) if path.name not in names]


def _traced(
    clip: ClipInfo, shots: Sequence[Shot], config: InputConfig, on_event: OnEvent, cancelled: Cancelled | None
) -> dict[int, dict[int, Cells]]:
    """Trace all frames to candidates; returns for each candidate what can be."""
    maps: dict[int, dict[int, Cells]] = {}
    done, total = 0, sum(map(len, shots))
    for part in _parts(shots):
        pairs: list[FlowPair] = []
        with FrameReader(clip, size=_flow_size(clip), on_bad_frame=config.on_bad_frame) as reader:
            before: Pixels | None = None
            for index in part.indices:
                if cancelled is not None and cancelled():
                    raise CancelledError("stopped while frames were compared")
                pixels = reader.read(index).pixels
                if before is not None:
                    pairs.append(estimate_pair(pixels, before, MotionConfig(size=_FLOW_PX)))
                before = pixels
                done += 1
                on_event(Stage("studying", done, total))
        step = -(-len(part) // _MOST_CANDIDATES)
        for key in range(part.start + (len(part) - 1) % step // 2, part.end, step):
            maps[key] = {part.start + frame: cells for frame, cells in trace(pairs, key - part.start)}
    return maps


def _parts(shots: Sequence[Shot]) -> Iterator[Shot]:
    """Yield the shots, long ones in parts, whose flows are held in memory."""
    for shot in shots:
        count = -(-len(shot) // _MOST_FRAMES)
        edges = [shot.start + part * len(shot) // count for part in range(count + 1)]
        yield from (Shot(start, end) for start, end in pairwise(edges))


def _flow_size(clip: ClipInfo) -> tuple[int, int]:
    return fit_size(clip.width, clip.height, _FLOW_PX)


def _shown_frames(chosen: Sequence[int], maps: Mapping[int, Mapping[int, Cells]]) -> dict[int, list[int]]:
    """Choose the frames that the sheet shows of each key: the ends of its reach, half the way there, and the key."""
    shown = {}
    for key in chosen:
        first, last = min(maps[key]), max(maps[key])
        shown[key] = [first, (first + key) // 2, key, (key + last) // 2, last]
    return shown


def _write_frames(
    clip: ClipInfo, config: InputConfig, paths: Mapping[int, Path], shown: Mapping[int, Sequence[int]]
) -> list[list[tuple[int, Pixels]]]:
    """Write the frames of keys, and return those that the sheet shows, small, key by key."""
    small: dict[int, Pixels] = {}
    with FrameReader(clip, on_bad_frame=config.on_bad_frame) as reader:
        for frame in sorted({*paths, *(one for row in shown.values() for one in row)}):
            pixels = reader.read(frame).pixels
            width, height = fit_size(clip.width, clip.height, _TILE_PX)
            small[frame] = resize_image(pixels, width, height)
            if frame in paths:
                write_bytes_atomically(paths[frame], encode_png(pixels, bits=16 if pixels.dtype == np.uint16 else 8))
    return [[(frame, small[frame]) for frame in row] for row in shown.values()]


def _draw_sheet(
    choices: Sequence[KeyChoice],
    maps: Mapping[int, Mapping[int, Cells]],
    small: Sequence[Sequence[tuple[int, Pixels]]],
    title: str,
) -> Pixels:
    """A row for each key."""
    rows = [
        [_tile(frame, pixels, choice.frame, maps[choice.frame].get(frame)) for frame, pixels in row]
        for choice, row in zip(choices, small, strict=True)
    ]
    labels = [f"{choice.frame:04}\ncovers {choice.covers:.0%}" for choice in choices]
    return draw_table(rows, rows=labels, title=title).pixels


def _tile(frame: int, pixels: Pixels, key: int, cells: Cells | None) -> SheetTile:
    """A frame, in red where it shows nothing of the key."""
    if cells is None:
        return SheetTile(pixels, f"frame {frame}")
    mask = enlarge(cells, pixels.shape[1], pixels.shape[0])[..., None]
    tinted = pixels * mask + (0.4 * pixels + 0.6 * _MISSING) * (1 - mask)
    caption = f"frame {frame}" + ("" if frame == key else f": {cells.mean():.0%}")
    return SheetTile(np.rint(tinted).astype(np.uint8), caption)
