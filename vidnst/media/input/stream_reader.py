"""Reads what a media file holds with PyAV. This file is the program of a child process: nothing imports it.

    python -P stream_reader.py REQUEST

REQUEST is a JSON object: `command` (facts, packets or join), `path` (a file URL), `formats` (the demuxers that may open
it), `memory_bytes`, `search_bytes` (how far streams are looked for; 0 is as far as usual), and what the command needs.
The answer on standard output is one line of JSON, which has `error` if the file cannot be read; packets follow it as
64-bit numbers. C code reads hostile files here: a crash, a hang and much memory end with this process.
"""

import json
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

_MAX_STREAMS = 512
_MAX_TAGS = 256
_MAX_KEY = 200
_MAX_VALUE = 4000
_MAX_CHAPTERS = 10_000
_MAX_FIRST_PACKETS = 400
"""Packets of the video in which a first frame is looked for."""
_MAX_DECODED_PIXELS = 2 * 89_478_485
"""As `limits.MAX_PIXELS`, which the parent enforces: a larger frame is not decoded here."""
_RAW_SIDE_DATA = {"DISPLAYMATRIX": 36, "MASTERING_DISPLAY_METADATA": 88, "CONTENT_LIGHT_LEVEL": 8, "GOP_TIMECODE": 8}
"""Side data whose bytes are handed on, and how many of them."""
_NEW_SIDE_DATA = {31: "EXIF"}  # that PyAV has no name for
_WRITE_RECORDS = 1 << 14
_TRIED_PACKETS = 50  # of a part of a recording's sound, until one decodes
_NO_PTS = -(2**63)
_SIZE_STREAM = -1  # of a record that tells the size of a decoded frame
_CHECK_SECONDS = 0.5
_WIDEST = 64  # all subsamplings divide it
_LONGEST_SEARCH_MICROSECONDS = 10**12  # so that bytes alone bound a search
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT
_GEN_PTS = 0x1  # AVFMT_FLAG_GENPTS


def main() -> None:
    """Answer the request in the first argument."""
    request = json.loads(sys.argv[1])
    Type._missing_ = classmethod(_name_new)  # type: ignore[method-assign, assignment]
    _limit_memory(request["memory_bytes"])
    try:
        with _open(request) as container:
            if request["command"] == "packets":
                _write_packets(container, set(request["streams"]), request["decode"])
            elif request["command"] == "join":
                _join(container, request)
            else:
                _write_line(_facts(container))
    except (FFmpegError, MemoryError, OSError, ValueError) as error:
        _write_line({"error": type(error).__name__, "text": str(error)[:_MAX_VALUE]})


def _name_new(kinds: type[Type], number: int) -> Type:
    """Make a kind of side data that PyAV does not know: it refuses all side data of a frame that has such."""
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = _NEW_SIDE_DATA.get(number, f"KIND_{number}"), number
    return cast(Type, kind)


def _limit_memory(count: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _open(request: Mapping[str, Any]) -> InputContainer:
    av.logging.set_level(av.logging.ERROR)  # so that an error's text has libavformat's reason
    options = {"format_whitelist": request["formats"], "protocol_whitelist": "file", "threads": "1"}
    options["scan_all_pmts"] = "1"  # as ffmpeg does: a recording may get further streams later on
    if request["search_bytes"]:
        options |= {"probesize": str(request["search_bytes"]), "analyzeduration": str(_LONGEST_SEARCH_MICROSECONDS)}
    container: InputContainer = av.open(
        request["path"],
        options=options,
        metadata_errors="replace",
    )
    av.logging.set_level(None)
    # PyAV asks for made-up time stamps where the file has none; what is made up must not look like a fact. Recordings
    # (VOB) stamp only the first frame of a pack, and the others follow from their order.
    if not container.format.flags & _TS_DISCONT:
        container.flags &= ~_GEN_PTS
    return container


def _write_line(answer: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")


def _facts(container: InputContainer) -> dict[str, Any]:
    streams = [_stream(container.streams[number]) for number in range(min(len(container.streams), _MAX_STREAMS))]
    main_video = next((stream for stream in streams if _may_be_shown(stream)), None)
    return {
        "container": container.format.name,
        "flags": container.format.flags,
        "start": container.start_time,
        "duration": container.duration,
        "metadata": _tags(container.metadata),
        "chapters": [_chapter(chapter) for chapter in container.chapters()[:_MAX_CHAPTERS]],
        "streams": streams,
        "main_video": main_video and main_video["index"],
        "first_frame": _first_frame(container, main_video) if main_video else None,
    }


def _may_be_shown(stream: Mapping[str, Any]) -> bool:
    return bool(stream["kind"] == "video" and stream.get("width") and "attached_pic" not in stream["dispositions"])


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key[:_MAX_KEY]: value[:_MAX_VALUE] for key, value in list(tags.items())[:_MAX_TAGS]}


def _ratio(value: Fraction | None) -> list[int] | None:
    return [value.numerator, value.denominator] if value else None


def _chapter(chapter: Mapping[str, Any]) -> dict[str, Any]:
    base = chapter["time_base"] or Fraction(0)
    return {
        "start": _ratio(chapter["start"] * base) or [0, 1],
        "end": _ratio(chapter["end"] * base) or [0, 1],
        "metadata": _tags(chapter["metadata"]),
    }


def _stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    facts = {
        "index": stream.index,
        "kind": str(stream.type),
        "codec": context.codec.canonical_name if context else _text(stream, "name"),
        "codec_tag": _text(stream, "codec_tag"),
        "decodable": context is not None,
        "time_base": _ratio(stream.time_base),
        "start": stream.start_time,
        "duration": stream.duration,
        "frames": stream.frames,
        "dispositions": [flag.name for flag in type(stream.disposition) if flag in stream.disposition],
        "metadata": _tags(stream.metadata),
    }
    if facts["kind"] == "attachment":
        return facts | {"mime_type": _text(stream, "mimetype"), "size_bytes": len(stream.data)}
    if context is None:
        return facts
    if facts["kind"] == "video":
        return facts | _video(stream)
    return facts | _audio(stream) if facts["kind"] == "audio" else facts


def _text(stream: Any, name: str) -> str:
    """Return a property, empty if there is none; PyAV raises for a tag that is no ASCII, as those of Blu-ray are."""
    try:
        return str(getattr(stream, name, "") or "")
    except UnicodeDecodeError:
        return ""


def _video(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    components = context.format.components if context.format else ()
    return {
        "width": context.width,
        "height": context.height,
        "pixel_format": context.pix_fmt or "",
        "bit_depths": [component.bits for component in components if not component.is_alpha],
        "has_alpha": any(component.is_alpha for component in components),
        "chroma": _chroma(context.format) if context.format else [1, 1],
        "matrix": context.colorspace,
        "primaries": context.color_primaries,
        "transfer": context.color_trc,
        "range": context.color_range,
        "field_order": context.field_order,
        "sample_aspect": _ratio(stream.sample_aspect_ratio or context.sample_aspect_ratio),
        "average_rate": _ratio(stream.average_rate),
        "base_rate": _ratio(stream.base_rate),
    }


def _chroma(pixels: Any) -> list[int] | None:
    """Return the luma samples for each sample of chroma, across and down; None for grey pixels."""
    colours = [component for component in pixels.components if not component.is_alpha]
    if len(colours) < 3 and not pixels.has_palette:
        return None
    return [_WIDEST // pixels.chroma_width(_WIDEST), _WIDEST // pixels.chroma_height(_WIDEST)]


def _audio(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "layout": context.layout.name if context.channels else "",
        "channels": context.channels,
        "sample_rate": context.sample_rate or 0,
        "sample_format": context.format.name if context.format else "",
    }


def _first_frame(container: InputContainer, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Decode the first frame, with which PyAV gives the side data of the stream, too."""
    if facts["width"] * facts["height"] > _MAX_DECODED_PIXELS:
        return None
    stream = container.streams[facts["index"]]
    stream.codec_context.thread_count = 1
    for number, packet in enumerate(container.demux(stream)):
        with suppress(FFmpegError):
            for frame in packet.decode():
                assert isinstance(frame, VideoFrame)
                return _frame(frame)
        if number >= _MAX_FIRST_PACKETS:
            break
    return None


def _frame(frame: VideoFrame) -> dict[str, Any]:
    side_data: Iterable[Any] = frame.side_data  # typed as a mapping of names, but it iterates over the values
    names = {data.type.name: data for data in side_data}
    sizes = {name: size for name, size in _RAW_SIDE_DATA.items() if name in names and len(bytes(names[name])) >= size}
    raw = {name: bytes(names[name])[:size].hex() for name, size in sizes.items()}
    return {
        "width": frame.width,
        "height": frame.height,
        "pixel_format": frame.format.name,
        "interlaced": bool(frame.interlaced_frame),
        "matrix": int(frame.colorspace),
        "primaries": int(frame.color_primaries),
        "transfer": int(frame.color_trc),
        "range": int(frame.color_range),
        "side_data": sorted(names),
        "raw": raw,
    }


def _write_packets(container: InputContainer, indices: set[int], decoded: int | None) -> None:
    streams = [stream for stream in container.streams if stream.index in indices]
    _write_line({"time_bases": {str(stream.index): _ratio(stream.time_base) for stream in streams}})
    sizes = _Sizes(container.streams[decoded]) if decoded is not None else None
    records = array("q")
    with suppress(FFmpegError):  # what was read before the damage counts
        for packet in container.demux(streams):
            if packet.size:
                records.extend(_record(packet))
            if sizes and packet.stream_index == decoded:
                records.extend(sizes.check(packet))
            if len(records) >= _WRITE_RECORDS:
                sys.stdout.buffer.write(records.tobytes())
                del records[:]
    sys.stdout.buffer.write(records.tobytes())


def _record(packet: "Packet[Any]") -> tuple[int, int, int, int, int]:
    """Return stream, presentation time, decoding time, duration (all in ticks) and flags of a packet.

    The flags are 1 for a key frame, 2 for what only serves to decode others, and 4 for what is damaged or cut off.
    """
    flags = int(packet.is_keyframe) | int(packet.is_discard) << 1 | int(packet.is_corrupt) << 2
    pts = _NO_PTS if packet.pts is None else packet.pts
    dts = _NO_PTS if packet.dts is None else packet.dts
    return packet.stream_index, pts, dts, max(0, packet.duration or 0), flags


def _join(container: InputContainer, request: Mapping[str, Any]) -> None:
    """Copy one stream to a new file, its times joined.

    `starts` has a list for each part: the number of the stream's packet with which it starts, the ticks to add, and the
    tick at which the next part begins (null for the last), from which on packets are left out. The answer has
    `unheard`: the parts of which no packet decodes, since they are in another codec.
    """
    stream = container.streams[request["stream"]]
    starts = request["starts"]
    tries: dict[int, int] = {}
    first: int | None = None
    last_dts = -math.inf
    part = 0
    with av.open(request["output"], "w", format=request["format"]) as output:
        target: Any = output.add_stream_from_template(stream)
        packets = (packet for packet in container.demux(stream) if packet.size)
        for number, packet in enumerate(packets):
            while part + 1 < len(starts) and number >= starts[part + 1][0]:
                part += 1
            _try_to_decode(packet, part, tries)
            _, offset, until = starts[part]
            if packet.pts is None or (until is not None and packet.pts + offset >= until):
                continue
            packet.pts += offset
            packet.dts = packet.pts if packet.dts is None else packet.dts + offset
            if packet.dts <= last_dts:
                continue
            first, last_dts = packet.pts if first is None else first, packet.dts
            packet.stream = target
            output.mux(packet)
    _write_line({"first": first, "unheard": [part for part, count in tries.items() if count >= 0]})


def _try_to_decode(packet: "Packet[Any]", part: int, tries: dict[int, int]) -> None:
    """Decode one of the first packets of a part, and count it in `tries`; -1 there stands for a part that decodes."""
    if packet.stream.codec_context is not None and 0 <= tries.setdefault(part, 0) < _TRIED_PACKETS:
        tries[part] += 1
        with suppress(FFmpegError):
            if packet.decode():
                tries[part] = -1


class _Sizes:
    """Decodes key frames, at most two for a second of video, since the size may change where one starts."""

    def __init__(self, stream: Any) -> None:
        self._context = stream.codec_context
        self._tick = float(stream.time_base or 0)
        self._last_seconds = -math.inf
        self._kind: tuple[int, int, bool] | None = None
        if self._context is not None:
            self._context.thread_count = 1

    def check(self, packet: "Packet[Any]") -> Iterator[int]:
        """Yield a record with size and scan of each frame that has others than the frame before it."""
        if self._context is None or (packet.size and not self._is_due(packet)):
            return
        with suppress(FFmpegError):
            for frame in self._context.decode(packet if packet.size else None):
                kind = frame.width, frame.height, bool(frame.interlaced_frame)
                if kind != self._kind:
                    self._kind = kind
                    yield from (_SIZE_STREAM, *kind, frame.pts or 0)

    def _is_due(self, packet: "Packet[Any]") -> bool:
        at = packet.dts if packet.pts is None else packet.pts
        seconds = self._last_seconds + _CHECK_SECONDS if at is None else at * self._tick
        if not packet.is_keyframe or abs(seconds - self._last_seconds) < _CHECK_SECONDS:
            return False
        self._last_seconds = seconds
        return True


if __name__ == "__main__":
    main()
