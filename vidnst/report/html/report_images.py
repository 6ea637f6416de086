"""The images of a report: frames of source and result, from wherever they still are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidnst.config.style import parse_style
from vidnst.errors import VidnstError
from vidnst.frames import ClipInfo, Pixels, Shot, shot_number
from vidnst.media.adjust.adjustments import Adjuster
from vidnst.media.draw.thumbnails import encode_thumbnail
from vidnst.media.images import read_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.image_files import is_image
from vidnst.media.input.probe import probe, probe_input
from vidnst.media.scene_light import written_transform
from vidnst.report.html.report_page import Pair, Thumbnail
from vidnst.runs import Manifest, RunLayout
from vidnst.runs.record import RunRecord
from vidnst.runs.safe_files import is_file

_PAIR_PX, _PAIR_BYTES = 800, 200_000
_SHEET_PX, _SHEET_BYTES = 320, 20_000
_MAX_STYLES = 12


@dataclass(frozen=True, slots=True)
class ShownFrames:
    """The frames that a report shows, by their index in the source."""

    pairs: tuple[int, ...]
    sheet: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReportImages:
    """The images of a report, as far as they are available."""

    pairs: tuple[Pair, ...]
    sheet: Mapping[int, bytes]
    """JPEG files."""
    missing: str
    """The reason why some images, or all, are missing; empty if none is."""


def read_images(
    record: RunRecord, shown: ShownFrames, *, shots: Sequence[Shot], clip: ClipInfo | None = None
) -> ReportImages:
    """Read frames of a run: results from its folder, else from its output; sources as they were rendered.

    Args:
        record: the run.
        shown: frames of its range.
        shots: the shots of the range.
        clip: the source, if it has been probed already.
    """
    missing = []
    frames = sorted({*shown.pairs, *shown.sheet})
    try:
        results = _read_results(record, frames, shots[0].start)
    except (VidnstError, OSError) as error:
        results, missing = {}, [f"Results cannot be shown: {_reason(error)}."]
    paired = [index for index in shown.pairs if index in results]
    try:
        sources = _read_sources(record, paired, shots, clip) if paired else {}
    except (VidnstError, OSError) as error:
        sources, missing = {}, [*missing, f"The source cannot be shown: {_reason(error)}."]
    times = _times(clip)
    pairs = tuple(
        Pair(index, times(index), sources[index], results[index].large, results[index].tall)
        for index in paired
        if index in sources
    )
    sheet = {index: results[index].small for index in shown.sheet if index in results}
    return ReportImages(pairs, sheet, " ".join(missing))


def read_style_images(manifest: Manifest) -> tuple[Thumbnail, ...]:
    """Read the style images of a run; one that is missing has no image."""
    thumbnails = []
    for style in manifest.look.styles[:_MAX_STYLES]:
        name = parse_style(f"{style.path}:1").path.rpartition("/")[2]
        words = [name, *([f"weight {style.weight:g}"] if style.weight != 1 else [])]
        words += [f"from {style.at}"] if style.at else []
        words += [f"region {style.region}"] if style.region else []
        thumbnails.append(Thumbnail(", ".join(words), _read_style(Path(style.path))))
    return tuple(thumbnails)


def _read_style(path: Path) -> bytes | None:
    with suppress(VidnstError, OSError):
        if is_image(path):
            return encode_thumbnail(read_image(path), longest_side=_SHEET_PX, max_bytes=_SHEET_BYTES)
    return None


@dataclass(frozen=True, slots=True)
class _Result:
    """A rendered frame as JPEG files in two sizes."""

    large: bytes
    small: bytes
    tall: bool


def _encode_result(pixels: Pixels) -> _Result:
    small = encode_thumbnail(pixels, longest_side=_SHEET_PX, max_bytes=_SHEET_BYTES)
    large = encode_thumbnail(pixels, longest_side=_PAIR_PX, max_bytes=_PAIR_BYTES)
    return _Result(large, small, tall=pixels.shape[0] > pixels.shape[1])


def _read_results(record: RunRecord, frames: Iterable[int], start: int) -> dict[int, _Result]:
    layout = RunLayout(record.folder)
    files = {index: layout.find_frame(index) for index in frames}
    if any(files.values()):
        return {index: _encode_result(read_image(path)) for index, path in files.items() if path}
    clip = probe(record.output_source(), transform=written_transform(record.request.config.input.transform))
    with FrameReader(clip) as reader:
        within = [index for index in files if 0 <= index - start < clip.frame_count]
        return {index: _encode_result(reader.read(index - start).pixels) for index in within}


def _read_sources(
    record: RunRecord, frames: Sequence[int], shots: Sequence[Shot], clip: ClipInfo | None
) -> dict[int, bytes]:
    filtered = {index: RunLayout(record.folder).frame(index, "before") for index in frames}
    if all(map(is_file, filtered.values())):
        read: Callable[[int], Pixels] = lambda index: read_image(filtered[index])  # noqa: E731
    else:
        read = _open_source(record, shots, clip or probe_input(record.request.source, record.request.config.input))
    return {index: encode_thumbnail(read(index), longest_side=_PAIR_PX, max_bytes=_PAIR_BYTES) for index in frames}


def _open_source(record: RunRecord, shots: Sequence[Shot], clip: ClipInfo) -> Callable[[int], Pixels]:
    """Open the source for reading frames as they were adjusted, each with its neighbours where these are needed."""
    adjustments = record.plan.adjustments if record.plan else None
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


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, VidnstError) else str(error)
