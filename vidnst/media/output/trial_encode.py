"""A trial, before anything is painted, of the encoder: a few frames of the output's size, by its final command."""

import tempfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from vidnst.config import OutputConfig
from vidnst.errors import EncoderError, OutputError, VidnstError
from vidnst.events import Cancelled
from vidnst.frames import AlphaPlane, ClipInfo, Pixels
from vidnst.media import images
from vidnst.media.output.encode import FfmpegEncode, encode
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format

_TRIAL_FRAMES = 3


def try_encoder(
    output: Path,
    settings: OutputConfig,
    *,
    clip: ClipInfo,
    start: int,
    end: int,
    size: tuple[int, int],
    cancelled: Cancelled | None = None,
) -> None:
    """Encode a few frames as the whole output will be encoded, into a temporary file.

    Sound and copied streams are left out, which `audio_plan` and `dry_mux` try.

    Args:
        settings: what `resolve_output` has decided.
        start, end: the frames to be rendered.
        size: their width and height in pixels.
        cancelled: polled regularly; True stops.

    Raises:
        EncoderError, OutputError: the encoder does not work with these settings, or not at this size.
    """
    target = choose_format(output, settings, frames=end - start, width=size[0], height=size[1])
    if target.kind is OutputKind.FOLDER:
        return  # the files are those of the run folder
    count = min(_TRIAL_FRAMES, end - start)
    with tempfile.TemporaryDirectory() as folder:
        frames = _write_frames(Path(folder), count, size, settings)
        alpha = partial(_planes, size) if settings.keeps_alpha else None
        try:
            if target.kind is OutputKind.VIDEO or target.kind is OutputKind.ANIMATION:
                part = Path(folder, f"trial{target.suffix}")
                whole = [frames[index % count] for index in range(end - start)]
                encoding = FfmpegEncode(whole, part, target, settings, clip, start, end, size, alpha).as_shown()
                encoding.beginning(count).write_pictures(cancelled)
            else:
                encode(
                    frames[:1],
                    Path(folder, output.name),
                    clip=clip,
                    start=start,
                    end=start + 1,
                    settings=settings,
                    alpha=alpha,
                )
        except (EncoderError, OutputError) as error:
            raise _refused(output, target, settings, size, error) from error


def _refused(
    output: Path, target: OutputFormat, settings: OutputConfig, size: tuple[int, int], error: VidnstError
) -> EncoderError:
    how = f"{size[0]}x{size[1]} pixels with {settings.coded_bits} bits per channel"
    return EncoderError(
        f"{output.name} cannot be written, as a trial shows: {target.encoder or target.suffix[1:]} fails on {how}"
        f" ({error.what})",
        "choose another --size or another codec",
    )


def _write_frames(folder: Path, count: int, size: tuple[int, int], settings: OutputConfig) -> list[Path]:
    """Write frames of a moving gradient, which are small files and unlike each other."""
    paths = [folder / f"frame{number}.png" for number in range(count)]
    bits = settings.picture_bits
    for number, path in enumerate(paths):
        images.write_png(path, _gradient(size, number), bits=bits)
    return paths


def _gradient(size: tuple[int, int], number: int) -> Pixels:
    across, down = np.arange(size[0]) + 9 * number, np.arange(size[1])
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = across % 256, down[:, None] % 256, 80 * number
    return pixels


def _planes(size: tuple[int, int]) -> Generator[AlphaPlane, None, None]:
    """Yield the alpha of any number of frames, which are transparent to the left and opaque to the right."""
    while True:
        yield np.tile((np.arange(size[0]) * 255 // max(1, size[0] - 1)).astype(np.uint8), (size[1], 1))
