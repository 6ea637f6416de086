"""Reading and checking everything a render needs, before any hour is spent on it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidnst import __version__
from vidnst.config import RenderConfig
from vidnst.errors import ConfigError, SourceError, StyleError
from vidnst.events import OnEvent, Stage, Warned, ignore
from vidnst.frames import ClipInfo, Pixels

_FLAT_LEVELS = 2.0  # standard deviation, in levels of 255, under which a picture has no texture to take


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for."""

    source: str | Path | Sequence[str | Path]
    styles: tuple[str, ...]
    """Paths of style pictures, each optionally followed by `:weight`."""
    output: Path
    config: RenderConfig
    work_dir: Path | None = None
    """Run folder; None puts it beside the output."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.work_dir or self.output.with_name(self.output.name + ".vidnst")


@dataclass(frozen=True, slots=True)
class StylePicture:
    """A style as it was read."""

    path: Path
    weight: float
    pixels: Pixels
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Job:
    """A request with everything read and checked."""

    request: Request
    clip: ClipInfo
    start: int
    """First frame, an index of the whole source."""
    end: int
    """Frame after the last."""
    width: int
    """Pixels across, as rendered."""
    height: int
    """Pixels down, as rendered."""
    styles: tuple[StylePicture, ...]
    features: Mapping[str, NDArray[np.float32]] | None
    """The network's weights; None where every frame passes through."""
    manifest: dict[str, Any]
    """Plain JSON: what makes this render this render, and how to repeat it."""

    @property
    def config(self) -> RenderConfig:
        """The resolved configuration."""
        return self.request.config

    @property
    def passes_through(self) -> bool:
        """Whether frames are only transcoded."""
        return self.config.optimize.iterations == 0


def prepare(request: Request, *, overwrite: bool = False, on_event: OnEvent = ignore) -> Job:
    """Probe the source, read styles and weights, check the output.

    Raises:
        VidnstError: of the kind that fits, for the first thing that is wrong.
    """
    from vidnst.media.decode import fit_size, frame_range
    from vidnst.media.encode import check_output
    from vidnst.media.probe import probe

    config = request.config
    on_event(Stage("probing"))
    clip = probe(request.source, fps=config.input.fps)
    start, end = frame_range(clip, config.input.start, config.input.end)
    width, height = fit_size(clip.width, clip.height, config.input.size)
    if config.input.size is not None and config.input.size > max(clip.width, clip.height):
        note = f"{clip.source} is not enlarged to size {config.input.size}; it is rendered at {width}x{height}"
        on_event(Warned(note))
    check_output(request.output, config.output, clip=clip, start=start, end=end, overwrite=overwrite)
    through = config.optimize.iterations == 0
    styles = () if through and not request.styles else read_styles(request.styles)
    features = None if through else read_features(config, on_event=on_event)
    manifest = _manifest(request, clip, (start, end), (width, height), styles, features)
    return Job(request, clip, start, end, width, height, styles, features, manifest)


def read_features(config: RenderConfig, *, on_event: OnEvent = ignore) -> dict[str, NDArray[np.float32]]:
    """VGG19 weights up to the deepest layer that the losses ask for; downloaded where they are nowhere else."""
    from vidnst.style.stylize import last_layer
    from vidnst.style.weights import load_features, resolve_weights

    def report(done: int, total: int | None) -> None:
        on_event(Stage("weights", done, total))

    return load_features(resolve_weights(config.model.weights, on_progress=report), last_layer(config))


def read_styles(texts: Sequence[str]) -> tuple[StylePicture, ...]:
    """Style pictures from texts like `a.jpg` or `a.jpg:45`.

    Raises:
        StyleError: none given, missing, unreadable, or (nearly) of one colour.
    """
    if not texts:
        raise StyleError("no style was given", "add --style IMAGE")
    return tuple(_read_style(*split_weight(text)) for text in texts)


def split_weight(text: str) -> tuple[Path, float]:
    """Path and weight of a text like `a.jpg:45`; a file whose very name ends so wins."""
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        weight = float(tail)
    except ValueError:
        return Path(text), 1.0
    if not (np.isfinite(weight) and weight > 0):
        raise ConfigError(f"style weight {tail} of {head} is not above 0", "give a positive number")
    return Path(head), weight


def _read_style(path: Path, weight: float) -> StylePicture:
    from vidnst.media.fingerprint import fingerprint
    from vidnst.media.pictures import read_picture

    if not path.is_file():
        raise StyleError(f"no style picture at {path}", "check the path")
    try:
        pixels = read_picture(path)
    except SourceError as error:
        raise StyleError(error.what, error.remedy) from error
    levels = pixels.astype(np.float32).std(axis=(0, 1)).max() * 255 / np.iinfo(pixels.dtype).max
    if levels < _FLAT_LEVELS:
        raise StyleError(f"style picture {path} is of one colour", "take one with brush strokes or texture")
    return StylePicture(path, weight, pixels, fingerprint([path]))


def _manifest(
    request: Request,
    clip: ClipInfo,
    span: tuple[int, int],
    size: tuple[int, int],
    styles: Sequence[StylePicture],
    features: Mapping[str, NDArray[np.float32]] | None,
) -> dict[str, Any]:
    from vidnst.media.fingerprint import fingerprint

    weights = "none"
    if features is not None:
        from vidnst.style.weights import weights_fingerprint

        weights = weights_fingerprint(features)
    source = request.source if isinstance(request.source, (str, Path)) else [str(part) for part in request.source]
    return {
        "vidnst": __version__,
        "look": request.config.look(),
        "source": {"name": clip.source, "sha256": fingerprint(clip.paths), "frames": clip.frame_count},
        "range": list(span),
        "size": list(size),
        "styles": [{"name": s.path.name, "weight": s.weight, "sha256": s.fingerprint} for s in styles],
        "weights": weights,
        "request": {
            "source": _absolute(source),
            "styles": [f"{style.path.resolve()}:{style.weight:g}" for style in styles],
            "output": str(request.output.resolve()),
            "config": request.config.model_dump(mode="json"),
        },
    }


def _absolute(source: str | Path | list[str]) -> str | list[str]:
    if isinstance(source, list):
        return [os.path.abspath(part) for part in source]
    return os.path.abspath(source)
