"""Turns the child process's answer into typed facts."""

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from vidnst.frames import ChromaSteps
from vidnst.media.input import colour_names
from vidnst.media.input.stream_facts import (
    AttachmentStream,
    AudioStream,
    Chapter,
    ContentLight,
    MasteringDisplay,
    StreamInfo,
    StreamKind,
    VideoStream,
)
from vidnst.media.orientation import orientation_of

_Facts = Mapping[str, Any]
_KINDS = {kind.value: kind for kind in StreamKind}


def parse_ratio(value: Any) -> Fraction | None:
    """Return `[numerator, denominator]` as a fraction; None stays None."""
    return None if value is None else Fraction(int(value[0]), int(value[1]))


def parse_tags(value: Any) -> Mapping[str, str]:
    """Return metadata as a read-only mapping of strings."""
    return MappingProxyType({str(key): str(text) for key, text in dict(value).items()})


def parse_chapter(facts: _Facts) -> Chapter:
    """Return a chapter."""
    tags = {key.lower(): value for key, value in parse_tags(facts["metadata"]).items()}
    start, end = parse_ratio(facts["start"]), parse_ratio(facts["end"])
    return Chapter(start or Fraction(0), end or Fraction(0), tags.get("title", ""))


def parse_stream(facts: _Facts, first_frame: _Facts | None) -> StreamInfo:
    """Return a stream.

    Args:
        first_frame: what was learned by decoding a frame of it; None if none was decoded.

    Raises:
        ValueError, KeyError, TypeError: the facts are not as the child process writes them.
    """
    time_base = parse_ratio(facts["time_base"]) or Fraction(1, 1000)
    kind = _KINDS.get(facts["kind"], StreamKind.UNKNOWN)
    common: dict[str, Any] = {
        "index": int(facts["index"]),
        "kind": kind,
        "codec": str(facts["codec"]),
        "codec_tag": _printable(str(facts["codec_tag"])),
        "decodable": bool(facts["decodable"]),
        "time_base": time_base,
        "start_seconds": None if facts["start"] is None else int(facts["start"]) * time_base,
        "duration_seconds": None if facts["duration"] is None else int(facts["duration"]) * time_base,
        "dispositions": frozenset(map(str, facts["dispositions"])),
        "metadata": parse_tags(facts["metadata"]),
    }
    if kind is StreamKind.VIDEO:
        return _video(facts, common, first_frame)
    if kind is StreamKind.AUDIO:
        return AudioStream(
            **common,
            layout=str(facts.get("layout", "")),
            channels=int(facts.get("channels", 0)),
            sample_rate=int(facts.get("sample_rate", 0)),
            sample_format=str(facts.get("sample_format", "")),
        )
    if kind is StreamKind.ATTACHMENT:
        tags = common["metadata"]
        mime, size = str(facts.get("mime_type", "")), int(facts.get("size_bytes", 0))
        return AttachmentStream(**common, file_name=tags.get("filename", ""), mime_type=mime, size_bytes=size)
    return StreamInfo(**common)


def _printable(tag: str) -> str:
    return tag if tag.isprintable() and "\\" not in tag and "[" not in tag else ""


def _video(facts: _Facts, common: dict[str, Any], frame: _Facts | None) -> VideoStream:
    raw = {name: bytes.fromhex(text) for name, text in frame["raw"].items()} if frame else {}
    order = colour_names.FIELD_ORDERS.get(facts.get("field_order", 0))
    alpha_tag = next((value for key, value in common["metadata"].items() if key.lower() == "alpha_mode"), "")
    matrix = raw.get("DISPLAYMATRIX")
    return VideoStream(
        **common,
        width=int(facts.get("width", 0)),
        height=int(facts.get("height", 0)),
        pixel_format=str(facts.get("pixel_format", "")),
        bit_depths=tuple(int(bits) for bits in facts.get("bit_depths", ())),
        chroma=_chroma(facts.get("chroma", (1, 1))),
        has_alpha=bool(facts.get("has_alpha")) or (common["codec"] in ("vp8", "vp9") and alpha_tag == "1"),
        colour_matrix=_colour("matrix", colour_names.MATRICES, facts, frame),
        colour_primaries=_colour("primaries", colour_names.PRIMARIES, facts, frame),
        colour_transfer=_colour("transfer", colour_names.TRANSFERS, facts, frame),
        colour_range=_colour("range", colour_names.RANGES, facts, frame),
        field_order=order,
        is_interlaced=order not in (None, "progressive") or bool(frame and frame["interlaced"]),
        sample_aspect=parse_ratio(facts.get("sample_aspect")) or Fraction(1),
        orientation=orientation_of(struct.unpack("=9i", matrix)) if matrix else 1,
        average_rate=parse_ratio(facts.get("average_rate")),
        base_rate=parse_ratio(facts.get("base_rate")),
        frame_count=int(facts["frames"]),
        mastering_display=_mastering_display(raw.get("MASTERING_DISPLAY_METADATA")),
        content_light=_content_light(raw.get("CONTENT_LIGHT_LEVEL")),
        timecode=_group_timecode(raw.get("GOP_TIMECODE")),
        side_data=frozenset(map(str, frame["side_data"])) if frame else frozenset(),
    )


def _chroma(steps: Sequence[int] | None) -> ChromaSteps | None:
    return None if steps is None else (int(steps[0]), int(steps[1]))


def _colour(key: str, names: Mapping[int, str], facts: _Facts, frame: _Facts | None) -> str | None:
    """Return what the header says, else what the first frame says."""
    return names.get(facts.get(key, -1)) or (names.get(frame[key]) if frame else None)


def _group_timecode(data: bytes | None) -> str:
    """Read the time code in the header of a group of pictures: 25 bits, as in the specification of MPEG-2."""
    bits = struct.unpack("=q", data)[0] if data else 0
    hours, minutes, seconds, frames = bits >> 19 & 31, bits >> 13 & 63, bits >> 6 & 63, bits & 63
    if not any((hours, minutes, seconds, frames)):  # where encoders count from that nobody has set
        return ""
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if bits >> 24 & 1 else ':'}{frames:02d}"


def _mastering_display(data: bytes | None) -> MasteringDisplay | None:
    """Read ffmpeg's AVMasteringDisplayMetadata: ten fractions, then two flags that say which of them are told."""
    if data is None:
        return None
    numbers = struct.unpack("=22i", data)
    ratios = [
        Fraction(num, den) if den else Fraction(0) for num, den in zip(numbers[:20:2], numbers[1:20:2], strict=True)
    ]
    has_primaries, has_luminance = numbers[20:]
    return MasteringDisplay(
        tuple(ratios[:8]) if has_primaries else None,
        ratios[8] if has_luminance else None,
        ratios[9] if has_luminance else None,
    )


def _content_light(data: bytes | None) -> ContentLight | None:
    return ContentLight(*struct.unpack("=2I", data)) if data else None
