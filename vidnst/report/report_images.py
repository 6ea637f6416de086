"""Pictures of a run for its report: frames before and after, from wherever they still are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidnst.config.style import parse_style
from vidnst.errors import VidnstError
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number
from vidnst.report.html.report_page import Pair, Thumbnail
from vidnst.runs import Manifest, RunLayout
from vidnst.runs.record import RunRecord
from vidnst.runs.status import frame_file, is_plain

PAIR_PX, PAIR_BYTES = 800, 200_000
SHEET_PX, SHEET_BYTES = 320, 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames a report shows, by their index in the source."""

    pairs: tuple[int, ...]
    sheet: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of a report, as far as they are to be had."""

    pairs: tuple[Pair, ...]
    sheet: Mapping[int, bytes]
    """JPEG files."""
    missing: str
    """Why there are none, or not all; may be empty."""


def read_pictures(
    record: RunRecord, wanted: Wanted, *, start: int, shots: Sequence[Shot], clip: ClipInfo | None = None
) -> Shown:
    """Frames of a run: results from its folder, else from its output; sources as they were rendered.

    Args:
        record: the run.
        wanted: frames of its range.
        start: the first frame of the range.
        shots: of the range.
        clip: the source, where it has been looked at already.
    """
    missing = []
    frames = sorted({*wanted.pairs, *wanted.sheet})
    try:
        results = _results(record, frames, start)
    except (VidnstError, OSError) as error:
        results, missing = {}, [f"Results cannot be shown: {_what(error)}."]
    paired = [index for index in wanted.pairs if index in results]
    try:
        sources = _sources(record, paired, shots, clip) if paired else {}
    except (VidnstError, OSError) as error:
        sources, missing = {}, [*missing, f"The source cannot be shown: {_what(error)}."]
    times = _times(clip)
    pairs = tuple(
        Pair(index, times(index), sources[index], results[index].large, results[index].tall)
        for index in paired
        if index in sources
    )
    sheet = {index: results[index].small for index in wanted.sheet if index in results}
    return Shown(pairs, sheet, " ".join(missing))


def style_pictures(manifest: Manifest) -> tuple[Thumbnail, ...]:
    """The styles of a run; one that is gone has no picture."""
    found = []
    for mark in manifest.look.styles[:12]:
        name = parse_style(f"{mark.path}:1").path.rpartition("/")[2]
        words = [name, *([f"weight {mark.weight:g}"] if mark.weight != 1 else [])]
        words += [f"from {mark.at}"] if mark.at else []
        words += [f"region {mark.region}"] if mark.region else []
        found.append(Thumbnail(", ".join(words), _style(Path(mark.path))))
    return tuple(found)


def _style(path: Path) -> bytes | None:
    from vidnst.media.draw.thumbnails import encode_thumbnail
    from vidnst.media.images import is_image, read_image

    with suppress(VidnstError, OSError):
        if is_image(path):
            return encode_thumbnail(read_image(path), longest_side=SHEET_PX, max_bytes=SHEET_BYTES)
    return None


@dataclass(frozen=True, slots=True)
class _Result:
    """A rendered frame in two sizes, as JPEG files."""

    large: bytes
    small: bytes
    tall: bool


def _both(pixels: Pixels) -> _Result:
    from vidnst.media.draw.thumbnails import encode_thumbnail

    small = encode_thumbnail(pixels, longest_side=SHEET_PX, max_bytes=SHEET_BYTES)
    large = encode_thumbnail(pixels, longest_side=PAIR_PX, max_bytes=PAIR_BYTES)
    return _Result(large, small, tall=pixels.shape[0] > pixels.shape[1])


def _results(record: RunRecord, frames: Iterable[int], start: int) -> dict[int, _Result]:
    from vidnst.media.images import read_image
    from vidnst.media.input.frame_reader import FrameReader
    from vidnst.media.input.probe import probe

    files = {index: frame_file(record.folder, index) for index in frames}
    if any(files.values()):
        return {index: _both(read_image(path)) for index, path in files.items() if path}
    clip = probe(record.request.output)
    with FrameReader(clip) as reader:
        inside = [index for index in files if 0 <= index - start < clip.frame_count]
        return {index: _both(reader.read(index - start).pixels) for index in inside}


def _sources(
    record: RunRecord, frames: Sequence[int], shots: Sequence[Shot], clip: ClipInfo | None
) -> dict[int, bytes]:
    from vidnst.media.draw.thumbnails import encode_thumbnail
    from vidnst.media.images import read_image
    from vidnst.media.input.probe import probe

    before = {index: RunLayout(record.folder).frame(index, "before") for index in frames}
    if all(map(is_plain, before.values())):
        read: Callable[[int], Pixels] = lambda index: read_image(before[index])  # noqa: E731
    else:
        read = _reader(record, shots, clip or probe(record.request.source, fps=record.request.config.input.fps))
    return {index: encode_thumbnail(read(index), longest_side=PAIR_PX, max_bytes=PAIR_BYTES) for index in frames}


def _reader(record: RunRecord, shots: Sequence[Shot], clip: ClipInfo) -> Callable[[int], Pixels]:
    """Reads frames as they were adjusted; each with a decoder of its own where an adjuster looks around."""
    from vidnst.media.adjust.adjustments import Adjuster
    from vidnst.media.input.frame_reader import FrameReader

    plan = record.plan_of(shots[0].start, shots[-1].end) if shots else None
    adjustments = plan.adjustments if plan else None
    size = (record.plan.width, record.plan.height) if record.plan else (clip.width, clip.height)
    if adjustments is None:
        plain = FrameReader(clip, size=size, on_bad_frame="repeat")
        return lambda index: plain.read(index).pixels
    adjuster = Adjuster(adjustments, clip, size)

    def adjusted(index: int) -> Pixels:
        shot = shots[shot_number(shots, index)]
        around = range(max(shot.start, index - adjuster.reach), min(shot.end, index + adjuster.reach + 1))
        with FrameReader(clip, size=adjuster.read_size, on_bad_frame="repeat") as reader:
            near = {number: reader.read(number).pixels for number in around}
        return adjuster(index, shot, near.__getitem__)

    return adjusted


def _times(clip: ClipInfo | None) -> Callable[[int], float | None]:
    if clip is None:
        return lambda index: None
    return lambda index: float(clip.pts_seconds[index] - clip.pts_seconds[0]) if index < clip.frame_count else None


def _what(error: Exception) -> str:
    return error.what if isinstance(error, VidnstError) else str(error)
