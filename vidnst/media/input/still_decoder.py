"""Reads stills. This file is the program of a child process: nothing imports it.

    python -P -m vidnst.media.input.still_decoder LIMITS

LIMITS is a JSON object with `memory_bytes`. Each line on standard input is a request, a JSON object with `path` and
`command`:

    header      the fields of `ImageHeader`
    metadata    {"names": [...]}, kinds of metadata
    pixels      the pixels as stored, of the `format` that the header says
    frame       the same of frame `index` of an animation or of a TIFF file, and its duration, `seconds`

The answer is a line of JSON, which has `refused`, what is wrong and a remedy, or `error`; and the array, as its `shape`
and `dtype` say. C code reads hostile files here: a crash, a hang and a flood of memory end with this process.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import SourceError
from vidnst.media.input.decoder_noise import one_line
from vidnst.media.input.frame_decoders import FrameDecoder, open_frames
from vidnst.media.input.image_header import read_header_here
from vidnst.media.input.image_pixels import decode_stored
from vidnst.media.input.picture_facts import read_metadata_here
from vidnst.media.input.still_process import PATH_MARK


def main() -> None:
    """Answer the requests on standard input."""
    _limit_memory(json.loads(sys.argv[1])["memory_bytes"])
    reader = _Reader()
    out = sys.stdout.buffer
    for line in sys.stdin:
        pixels, request = None, json.loads(line)
        try:
            answer, pixels = reader.answer(request)
        except SourceError as error:
            answer = {"refused": [text.replace(request["path"], PATH_MARK) for text in (error.what, error.remedy)]}
        except Exception as error:  # the decoders raise a dozen types for untrusted bytes
            answer = {"error": one_line(error)}
        if pixels is not None:
            answer |= {"shape": pixels.shape, "dtype": pixels.dtype.str}
        out.write(json.dumps(answer).encode() + b"\n")
        if pixels is not None:
            out.write(np.ascontiguousarray(pixels).data)
        out.flush()


def _limit_memory(count: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Reader:
    """Answers requests; the animation that was read last stays open."""

    def __init__(self) -> None:
        self._frames: FrameDecoder | None = None
        self._open_path = ""

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[Any] | None]:
        path = Path(request["path"])
        match request["command"]:
            case "header":
                header = read_header_here(path)
                return asdict(header) | {"taken": header.taken and header.taken.isoformat()}, None
            case "metadata":
                names, gamma = read_metadata_here(path)
                return {"names": names, "gamma": gamma}, None
            case "pixels":
                pixels = decode_stored(path, request["format"])
                return ({}, pixels) if pixels is not None else ({"error": ""}, None)
            case _:
                return self._frame(request)

    def _frame(self, request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[Any]]:
        if self._frames is None or self._open_path != request["path"]:
            self._frames = open_frames(Path(request["path"]), request["format"])
            self._open_path = request["path"]
        pixels = self._frames.decode(request["index"])
        seconds = self._frames.seconds(request["index"])
        return {"seconds": [seconds.numerator, seconds.denominator]}, pixels


if __name__ == "__main__":
    main()
