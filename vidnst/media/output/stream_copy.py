"""ffmpeg's options that copy a source's subtitles, attachments, cover art and data, cut to the rendered range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo
from vidnst.media.input.stream_facts import StreamInfo, StreamKind
from vidnst.media.output.kept_streams import StreamDecision

_LEAD_SECONDS = 60
"""How long before the range reading begins, so that a subtitle is found that appeared earlier and still shows."""
_LETTERS: Mapping[StreamKind, str] = MappingProxyType(
    {StreamKind.VIDEO: "v", StreamKind.SUBTITLE: "s", StreamKind.DATA: "d", StreamKind.ATTACHMENT: "t"}
)
_QUICKTIME_LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "deu": "ger",
        "fre": "fra",
        "nld": "dut",
        "swe": "sve",
        "ell": "gre",
        "isl": "ice",
        "zho": "chi",
        "sqi": "alb",
        "ron": "rum",
        "slk": "slo",
    }
)
"""Languages that QuickTime's table has by their other code of ISO 639-2."""
_COVER_FILES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"mjpeg": (".jpg", "image/jpeg"), "png": (".png", "image/png")}
)
_COVER_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class CopiedRange:
    """The part of a source that is copied, and where it comes to lie."""

    begin: Fraction
    """The time that becomes `at`, in seconds on the file's clock."""
    end: Fraction | None = None
    """End of the part; None is that of the file."""
    at: Fraction = Fraction(0)
    """Time in the output of the first rendered frame, in seconds."""

    @property
    def stop(self) -> Fraction | None:
        """End of the part in the output."""
        return None if self.end is None else self.at + self.end - self.begin


def copy_input(path: Path, info: ContainerInfo, part: CopiedRange) -> list[str]:
    """Return the options of an input of ffmpeg that has the source's streams at their times in the output."""
    skipped = max(Fraction(0), part.begin - info.start_seconds - _LEAD_SECONDS)
    # With -ss, also of 0, ffmpeg counts from the start of the file, which it does not do with all recordings.
    options = ["-ss", _decimal(skipped)]
    if part.stop is not None:
        options += ["-t", _decimal(part.stop)]
    offset = part.at - part.begin + info.start_seconds + skipped
    return [*options, "-itsoffset", _decimal(offset), *info.input_options, "-i", ffmpeg.file_url(path)]


def copy_maps(kept: Sequence[StreamDecision], number: int, suffix: str) -> list[str]:
    """Return the options that select the streams of input `number`, in this order; attached covers are none."""
    mapped = [decision.stream.index for decision in kept if not is_attached(decision, suffix)]
    return [word for index in mapped for word in ("-map", f"{number}:{index}")]


def is_attached(decision: StreamDecision, suffix: str) -> bool:
    """Return whether a stream is cover art that becomes an attachment, as in Matroska."""
    return decision.stream.is_cover and suffix == ".mkv"


def extract_covers(path: Path, kept: Sequence[StreamDecision], suffix: str, folder: Path) -> dict[int, Path]:
    """Write the cover art that becomes attachments into a folder.

    Returns:
        The files by the streams' indices; one that cannot be read is missing.
    """
    files = {}
    for decision in kept:
        if is_attached(decision, suffix):
            stream = decision.stream
            file = folder / f"cover{stream.index}{_COVER_FILES[stream.codec][0]}"
            args = ["-loglevel", "error", *INPUT_OPTIONS, "-i", ffmpeg.file_url(path), "-map", f"0:{stream.index}"]
            args += ["-c", "copy", "-frames:v", "1", "-f", "rawvideo", "-y", ffmpeg.file_url(file)]
            status, _, _ = ffmpeg.run_and_capture(args, seconds=_COVER_TIMEOUT_SECONDS)
            if status == 0 and file.is_file() and file.stat().st_size:
                files[stream.index] = file
    return files


def copy_options(
    kept: Sequence[StreamDecision], part: CopiedRange, suffix: str, covers: Mapping[int, Path]
) -> list[str]:
    """Return the output options of the streams; video stream 0 is the one that is rendered.

    Args:
        covers: what `extract_covers` wrote.
    """
    counts = {StreamKind.VIDEO: 1}
    options: list[str] = []
    for decision in [decision for decision in kept if not is_attached(decision, suffix)]:
        stream = decision.stream
        number = counts[stream.kind] = counts.get(stream.kind, 0)
        counts[stream.kind] += 1
        name = f"{_LETTERS[stream.kind]}:{number}"
        options += [f"-c:{name}", decision.encoder]
        if stream.is_cover:
            # Options of the rendered video without a number hold for covers, too.
            options += [f"-tag:{name}", "0", f"-bsf:{name}", "setts=ts=0", f"-disposition:{name}", "attached_pic"]
        elif stream.kind is not StreamKind.ATTACHMENT:
            options += [f"-bsf:{name}", _cut(part)]
        options += [word for text in renamed_tags(stream, suffix) for word in (f"-metadata:s:{name}", text)]
    codecs = {decision.stream.index: decision.stream.codec for decision in kept}
    for number, (index, file) in enumerate(covers.items(), start=counts.get(StreamKind.ATTACHMENT, 0)):
        ending, kind = _COVER_FILES[codecs[index]]
        options += ["-attach", ffmpeg.file_url(file), f"-metadata:s:t:{number}", f"mimetype={kind}"]
        options += [f"-metadata:s:t:{number}", f"filename=cover{ending}"]
    return options


def language_in(suffix: str, language: str) -> str:
    """Return a language's code as a container writes it."""
    return _QUICKTIME_LANGUAGES.get(language, language) if suffix == ".mov" else language


def renamed_tags(stream: StreamInfo, suffix: str) -> list[str]:
    """Return the tags of a stream, as `key=value`, that ffmpeg would lose or the container wants otherwise."""
    language = language_in(suffix, stream.language)
    texts = [] if language == stream.language else [f"language={language}"]
    if stream.title and not stream.tag("title"):  # QuickTime's `name`, which no muxer writes
        texts.append(f"title={stream.title}")
    return texts


def _cut(part: CopiedRange) -> str:
    """Return bitstream filters that drop packets outside the range, and shorten those that reach out of it."""
    first = f"({_decimal(part.at)})"
    outside, end = f"lt(pts*tb\\,{first})*lte((pts+d)*tb\\,{first})", "PTS+DURATION"
    if part.stop is not None:
        outside += f"+gte(pts*tb\\,{_decimal(part.stop)})"
        end = f"min({end}\\,{_decimal(part.stop)}/TB)"
    start = f"max(PTS\\,{first}/TB)"
    return f"noise=drop={outside},setts=ts={start}:duration=if(DURATION\\,{end}-{start}\\,0)"


def _decimal(value: Fraction) -> str:
    return f"{round(value * 1_000_000) / 1_000_000:.6f}"
