"""Decodes a video with PyAV. This file is the program of a child process: nothing imports it.

    python -P stream_decoder.py REQUEST

REQUEST is a JSON object: `path` (a file URL), `formats` (the demuxers that may open it), `memory_bytes`, `threads`,
`stream` (an index), `decoder` (the name of another decoder than the usual one, or empty), `deinterlace` (off, frame or
field) and `top_field_first` (null if each frame tells). The first line of the answer is a JSON object with the stream's
`tick` and `start`, or `error`. Then each line on standard input is a command:

    grab        advance to the next frame that decodes: {"ticks": ...}, or {} at the end
    picture     {"kind": "yuv", "rgb" or "none", ...} and the planes of the frame, with alpha if it has some
    alpha       the same with alpha alone, or "none"
    seek FRAME  seek to near a frame: {"done": ...}

C code reads hostile files here: a crash, a hang and a flood of memory end with this process.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import av
import av.filter
from av.error import BlockingIOError as NeedsInput
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

_MAX_PIXELS = 2 * 89_478_485
"""As `limits.MAX_PIXELS`."""
_MAX_FAILED_PACKETS = 300
"""As many as OpenCV's reader lets fail in a row; see `video_capture`."""
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_RGB_MATRIX, _PLAIN_MATRIX, _YCGCO_MATRIX = 0, 1, 8
_LIMITED, _FULL = 1, 2
"""libav's colour ranges."""


def main() -> None:
    """Open the file of the request in the first argument, and obey the commands."""
    request = json.loads(sys.argv[1])
    _limit_memory(request["memory_bytes"])
    try:
        decoder = _Decoder(request)
    except (FFmpegError, MemoryError, OSError, ValueError, LookupError) as error:
        _answer({"error": f"{error}"[:200]})
        return
    _answer({"tick": [decoder.tick.numerator, decoder.tick.denominator], "start": decoder.start})
    for line in sys.stdin:
        match line.split():
            case ["grab"]:
                _answer(decoder.grab())
            case ["picture"]:
                _answer(*decoder.picture())
            case ["alpha"]:
                _answer(*decoder.alpha())
            case ["seek", frame]:
                _answer({"done": decoder.seek(int(frame))})


def _limit_memory(count: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(header: dict[str, Any], planes: Sequence[Any] = ()) -> None:
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    for plane in planes:
        out.write(memoryview(plane)[: plane.line_size * plane.height])
    out.flush()


class _Decoder:
    def __init__(self, request: dict[str, Any]) -> None:
        options = {"format_whitelist": request["formats"], "protocol_whitelist": "file"}
        self._container: Any = av.open(request["path"], options=options, metadata_errors="replace")
        self._stream = self._container.streams[request["stream"]]
        self._context = self._stream.codec_context
        if request["decoder"]:
            self._context = av.CodecContext.create(request["decoder"], "r")
            self._context.extradata = self._stream.codec_context.extradata
        self._context.thread_count = request["threads"]
        self._context.thread_type = "AUTO"
        self.tick = self._stream.time_base
        self.start = self._stream.start_time or 0
        self._mode = request["deinterlace"]
        self._parity = {True: "tff", False: "bff", None: "auto"}[request["top_field_first"]]
        if self._mode == "field":  # the second field is shown between two ticks
            self.tick, self.start = self.tick / 2, self.start * 2
        self._frames = self._open_frames()
        self._frame: VideoFrame | None = None

    def _decode(self) -> Iterator[VideoFrame]:
        failed = 0
        packets = self._container.demux(self._stream)
        while failed < _MAX_FAILED_PACKETS:
            try:
                packet = next(packets)
            except (StopIteration, FFmpegError, OSError):
                return
            try:
                frames = self._context.decode(packet if packet.size else None)
            except (FFmpegError, OSError):
                failed += 1
                continue
            failed = 0 if frames else failed
            yield from frames

    def _open_frames(self) -> Iterator[VideoFrame]:
        return self._decode() if self._mode == "off" else self._progressive()

    def _progressive(self) -> Iterator[VideoFrame]:
        """Yield progressive frames of the same times, or of each field, whose second is halfway to the next frame."""
        graph: Any = None
        for frame in self._decode():
            if graph is None:
                graph = self._graph(frame)
            graph.vpush(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)

    def _graph(self, frame: VideoFrame) -> Any:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._stream.time_base
        )
        bwdif = graph.add("bwdif", f"mode=send_{self._mode}:parity={self._parity}:deint=all")
        sink = graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        graph.configure()
        return graph

    def grab(self) -> dict[str, Any]:
        self._frame = next(self._frames, None)
        if self._frame is None:
            return {}
        at = self._frame.pts
        if at is not None and self._mode != "off":  # the filter has a clock of its own
            at = round(at * (self._frame.time_base or 0) / self.tick)
        return {"ticks": at}

    def seek(self, frame: int) -> bool:
        rate = self._stream.average_rate
        if not rate:
            return False
        try:
            self._container.seek(self._seek_ticks(frame, rate), stream=self._stream)
        except (FFmpegError, OSError):
            return False
        self._context.flush_buffers()
        self._frames = self._open_frames()
        return True

    def _seek_ticks(self, frame: int, rate: Any) -> int:
        """Return the time of a frame in ticks of the stream."""
        frames = frame / 2 if self._mode == "field" else frame
        return (self._stream.start_time or 0) + int(frames / rate / self._stream.time_base)

    def picture(self) -> tuple[dict[str, Any], Sequence[Any]]:
        """Return the frame as three planes of 16 bits, for which the parent has the matrix, or as packed RGB."""
        frame = self._frame
        if frame is None or not 0 < frame.width * frame.height <= _MAX_PIXELS:
            return {"kind": "none"}, ()
        header = _describe(frame)
        try:
            if header["kind"] == "yuv":
                stored = [frame.planes[3]] if header["alpha"] else []
                # Only resampled here. swscale refuses some matrices; in the full range it scales luma, else it shifts.
                frame.colorspace, frame.color_range = _PLAIN_MATRIX, _LIMITED
                planes: Sequence[Any] = [*frame.reformat(format="yuv444p16le", interpolation=_SCALER).planes, *stored]
            else:
                planes = _packed(frame, header)
        except (FFmpegError, OSError, ValueError):  # there is no conversion from its pixel format
            return {"kind": "none"}, ()
        return header | {"line_bytes": [plane.line_size for plane in planes]}, planes

    def alpha(self) -> tuple[dict[str, Any], Sequence[Any]]:
        frame = self._frame
        if frame is None or not 0 < frame.width * frame.height <= _MAX_PIXELS:
            return {"kind": "none"}, ()
        header = _describe(frame)
        if not header["alpha"]:
            return {"kind": "none"}, ()
        # Read as it is stored, since swscale shifts it, so that the largest value would not be opaque.
        planes = [frame.planes[3]] if header["kind"] == "yuv" else _packed(frame, header)
        return header | {"line_bytes": [plane.line_size for plane in planes]}, planes


def _pulled(graph: Any) -> Iterator[VideoFrame]:
    with suppress(NeedsInput, EOFError):
        while True:
            yield graph.vpull()


def _describe(frame: VideoFrame) -> dict[str, Any]:
    described = frame.format
    components = described.components
    colours = [component for component in components if not component.is_alpha]
    is_yuv = len(colours) == 3 and not described.is_rgb and not described.name.startswith("xyz")
    return {
        "kind": "yuv" if is_yuv and frame.colorspace not in (_RGB_MATRIX, _YCGCO_MATRIX) else "rgb",
        "width": frame.width,
        "height": frame.height,
        "bits": max(8, min(16, max((component.bits for component in components), default=8))),
        "alpha": described.has_palette or len(colours) < len(components),
        "matrix": int(frame.colorspace),
        "primaries": int(frame.color_primaries),
        "transfer": int(frame.color_trc),
        "full_range": frame.color_range == _FULL or described.name.startswith("yuvj"),
    }


def _packed(frame: VideoFrame, header: dict[str, Any]) -> Sequence[Any]:
    names = {(False, False): "rgb24", (False, True): "rgba", (True, False): "rgb48le", (True, True): "rgba64le"}
    return frame.reformat(format=names[header["bits"] > 8, header["alpha"]], interpolation=_SCALER).planes[:1]


if __name__ == "__main__":
    main()
