"""Decodes EXR and DPX files. This file is the program of a child process: nothing imports it.

    python -P picture_decoder.py LIMITS

LIMITS is a JSON object with `memory_bytes`, `pixels`, `decoded_bytes` and `channels`. Each line on standard input is a
request, a JSON object with `kind` (exr or dpx), `path` and `pixels` (false for the header alone); `alpha` asks for the
alpha channel, too. The answer is a line of JSON, which has `error` if the file cannot be read, and the planes of the
channels, row by row, as `shape` and `dtype` say. C and C++ code reads hostile files here: a crash, a hang and a flood
of memory end with this process.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenEXR
from av.error import FFmpegError
from numpy.typing import NDArray

_MAX_TEXT = 200
_MAX_NAMED_CHANNELS = 16
_MAX_COORDINATE = 1 << 24
_OF_PIXELS = frozenset(
    (
        *("channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio", "type", "tiles"),
        *("screenWindowCenter", "screenWindowWidth", "chromaticities", "version", "name", "chunkCount"),
        *("maxSamplesPerPixel", "whiteLuminance", "dwaCompressionLevel"),
    )
)
"""Attributes of a header that describe how its pixels are stored."""

Planes = NDArray[Any]
"""`(channels, H, W)`: R, G, B, or the one grey channel, and alpha if it was asked for."""


class _RefusedError(ValueError):
    """A file that is not decoded, and why."""


def main() -> None:
    """Answer the requests on standard input."""
    limits = json.loads(sys.argv[1])
    _limit_memory(limits["memory_bytes"])
    out = sys.stdout.buffer
    for line in sys.stdin:
        planes = None
        try:
            request = json.loads(line)
            header, planes = (_read_exr if request["kind"] == "exr" else _read_dpx)(request, limits)
        except Exception as error:  # the bindings raise many types for damaged files
            header = {"error": _reason(error)}
        if planes is not None:
            header |= {"shape": planes.shape, "dtype": planes.dtype.str}
        out.write(json.dumps(header).encode() + b"\n")
        if planes is not None:
            out.write(np.ascontiguousarray(planes).data)
        out.flush()


def _reason(error: Exception) -> str:
    """Describe an error in a few words on one line."""
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    if isinstance(error, UnicodeDecodeError):
        return "a name in its header is damaged"
    text = error.strerror if isinstance(error, FFmpegError) else str(error)
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))  # it may hold a damaged name
    return " ".join(line.split())[:_MAX_TEXT].rstrip(".") or type(error).__name__


def _limit_memory(count: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_exr(request: Mapping[str, Any], limits: Mapping[str, int]) -> tuple[dict[str, Any], Planes | None]:
    path = request["path"]
    parts = OpenEXR.File(path, header_only=True).parts
    if len(parts) > limits["channels"]:
        raise _RefusedError(f"it has {len(parts)} parts")
    number, names = _find_picture([part.header for part in parts], limits)
    header = parts[number].header
    data, display = _window(header["dataWindow"]), _window(header["displayWindow"])
    for what, (left, top, right, bottom) in (("data", data), ("display", display)):
        # A negative size of a window is one of damage; a vast one is refused before anything is allocated.
        if right < left or bottom < top or (right - left + 1) * (bottom - top + 1) > limits["pixels"]:
            raise _RefusedError(f"its {what} window from {left}, {top} to {right}, {bottom} is not usable")
        if max(abs(left), abs(top), abs(right), abs(bottom)) > _MAX_COORDINATE:
            raise _RefusedError(f"its {what} window lies at {left}, {top}")
    facts = {
        "width": display[2] - display[0] + 1,
        "height": display[3] - display[1] + 1,
        "data_window": data,
        "display_window": display,
        "alpha": names["alpha"] is not None,
        "colours": len(names["colours"]),
        "layer": names["layer"][:_MAX_TEXT],
        "unused": sum(len(part.header["channels"]) for part in parts) - len(names["colours"]) - bool(names["alpha"]),
        "chromaticities": _numbers(header.get("chromaticities"), 8),
        "pixel_aspect": float(header.get("pixelAspectRatio", 1)),
        "float": number == 0 and _has_floats(path, [*names["colours"], *filter(None, [names["alpha"]])]),
        "attributes": [name[:_MAX_TEXT] for name in sorted(set(header) - _OF_PIXELS)[:_MAX_NAMED_CHANNELS]],
    }
    if not request["pixels"]:
        return facts, None
    wanted = [*names["colours"], *([names["alpha"]] if request.get("alpha") and names["alpha"] else [])]
    return facts, _in_display_window(_exr_channels(path, number, parts, wanted, limits), data, display)


def _has_floats(path: str, names: Sequence[str]) -> bool:
    channels = OpenEXR.InputFile(path).header()["channels"]
    return any(str(channels[name]).startswith("FLOAT") for name in names if name in channels)


def _find_picture(headers: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> tuple[int, dict[str, Any]]:
    """Return the number of the first part with a picture, and the names of its channels."""
    reasons = []
    for number, header in enumerate(headers):
        channels = {channel.name: channel for channel in header["channels"]}
        if len(channels) > limits["channels"]:
            raise _RefusedError(f"it has {len(channels)} channels")
        if header["type"] in (OpenEXR.deepscanline, OpenEXR.deeptile):
            reasons.append("it holds deep data; flatten it first")
            continue
        names = _picture_channels(list(channels))
        if names is None:
            shown = ", ".join(sorted(channels)[:_MAX_NAMED_CHANNELS])
            reasons.append(f"it has no channels R, G, B or Y in one layer, but {shown}"[:_MAX_TEXT])
            continue
        used = [channels[name] for name in (*names["colours"], *filter(None, [names["alpha"]]))]
        if any(channel.xSampling != 1 or channel.ySampling != 1 for channel in used):
            reasons.append("its channels are subsampled; save it with whole channels")
            continue
        return number, names
    raise _RefusedError(reasons[0] if reasons else "it holds no picture")


def _picture_channels(names: Sequence[str]) -> dict[str, Any] | None:
    """Choose the channels of a picture: R, G and B without a layer, else those of the only layer, else Y."""
    layers = (
        [""] if "R" in names else sorted({name.rpartition(".")[0] for name in names if name.endswith((".R", ".r"))})
    )
    for letters in ("RGBA", "rgba"):
        found = [layer for layer in layers if {_in_layer(layer, letter) for letter in letters[:3]} <= set(names)]
        if len(found) == 1:
            alpha = _in_layer(found[0], letters[3])
            colours = [_in_layer(found[0], letter) for letter in letters[:3]]
            return {"layer": found[0], "colours": colours, "alpha": alpha if alpha in names else None}
    if "Y" in names and "RY" not in names and "BY" not in names:
        return {"layer": "", "colours": ["Y"], "alpha": "A" if "A" in names else None}
    return None


def _in_layer(layer: str, channel: str) -> str:
    return f"{layer}.{channel}" if layer else channel


def _window(corners: Sequence[Any]) -> tuple[int, int, int, int]:
    (left, top), (right, bottom) = corners
    return int(left), int(top), int(right), int(bottom)


def _numbers(values: Any, count: int) -> list[float] | None:
    if values is None or len(values) != count:
        return None
    numbers = [float(value) for value in values]
    return numbers if all(np.isfinite(numbers)) else None


def _exr_channels(
    path: str, number: int, parts: Sequence[Any], wanted: Sequence[str], limits: Mapping[str, int]
) -> Planes:
    """Read some channels of a part, in its data window."""
    left, top, right, bottom = _window(parts[number].header["dataWindow"])
    shape = (bottom - top + 1, right - left + 1)
    if number == 0:  # only this reader leaves other channels out, which may be many; it knows the first part alone
        file = OpenEXR.InputFile(path)
        kinds = {str(file.header()["channels"][name]).split()[0] for name in wanted}
        if not kinds <= {"HALF", "FLOAT"}:
            raise _RefusedError("its channels hold whole numbers, not light")
        dtype = np.dtype(np.float16 if kinds == {"HALF"} else np.float32)
        planes = np.empty((len(wanted), *shape), dtype)
        for place, name in enumerate(wanted):
            planes[place] = _plane(file, name, shape)
        return planes
    if 4 * sum(_samples(part.header) for part in parts) > limits["decoded_bytes"]:
        raise _RefusedError("it has too many channels in several parts")
    channels = OpenEXR.File(path, separate_channels=True).parts[number].channels
    found = [channels[name].pixels for name in wanted]
    if any(plane.shape != shape or plane.dtype not in (np.float16, np.float32) for plane in found):
        raise _RefusedError("its channels hold whole numbers, not light")
    return np.stack(found)


def _samples(header: Mapping[str, Any]) -> int:
    left, top, right, bottom = _window(header["dataWindow"])
    return max(0, right - left + 1) * max(0, bottom - top + 1) * len(header["channels"])


def _plane(file: Any, name: str, shape: tuple[int, int]) -> NDArray[Any]:
    data = file.channel(name)
    dtype = np.float16 if len(data) == 2 * shape[0] * shape[1] else np.float32
    return np.frombuffer(data, dtype).reshape(shape)


def _in_display_window(planes: Planes, data: Sequence[int], display: Sequence[int]) -> Planes:
    """Put the data window's pixels into the display window, black around them."""
    if tuple(data) == tuple(display):
        return planes
    height, width = display[3] - display[1] + 1, display[2] - display[0] + 1
    whole = np.zeros((len(planes), height, width), planes.dtype)
    left, top = max(data[0], display[0]), max(data[1], display[1])
    right, bottom = min(data[2], display[2]) + 1, min(data[3], display[3]) + 1
    if left < right and top < bottom:
        inside = planes[:, top - data[1] : bottom - data[1], left - data[0] : right - data[0]]
        whole[:, top - display[1] : bottom - display[1], left - display[0] : right - display[0]] = inside
    return whole


def _read_dpx(request: Mapping[str, Any], limits: Mapping[str, int]) -> tuple[dict[str, Any], Planes | None]:
    """Decode a DPX file, whose header the parent has checked."""
    av.logging.set_level(av.logging.PANIC)
    context = av.CodecContext.create("dpx", "r")
    context.thread_count = 1
    frames = context.decode(av.Packet(Path(request["path"]).read_bytes()))
    if not frames:
        raise _RefusedError("it has no picture")
    frame = frames[0]
    if frame.width * frame.height > limits["pixels"]:
        raise _RefusedError(f"it has {frame.width}x{frame.height} pixels")
    described = frame.format
    if not (described.is_rgb or described.name.startswith("gray")):
        raise _RefusedError(f"it has pixels of the kind {described.name}; save it as RGB")
    pixels = frame.to_ndarray()
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    has_alpha = any(component.is_alpha for component in described.components)
    if described.name.startswith("abgr"):
        pixels = pixels[::-1]
    wanted = pixels if request.get("alpha") else pixels[: 3 if len(pixels) >= 3 else 1]
    bits = max(component.bits for component in described.components)
    return {"width": frame.width, "height": frame.height, "bits": bits, "alpha": has_alpha}, wanted


if __name__ == "__main__":
    main()
