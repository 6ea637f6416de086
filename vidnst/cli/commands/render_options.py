"""The options of `vidnst render` that change the work, declared once for every command that takes them all."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from vidnst.cli.commands.options import LOOK, OUT, RANGE, WORK, Backbone, option

if TYPE_CHECKING:
    from vidnst.config import RenderConfig

_PARAMETER = "chosen"

Colour = Literal["luminance", "matched", "histogram", "moments", "optimal"]


def _colour_keys(colour: Colour | None) -> dict[str, str]:
    """The setting that a way with the source's colours stands for."""
    if colour is None:
        return {}
    return {"colour.keep" if colour in ("luminance", "matched") else "colour.transfer": colour}


def _masks(texts: Sequence[str]) -> dict[str, str]:
    """Settings out of texts like `sky=mask.png`."""
    from vidnst.errors import ConfigError

    found = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign or not path or not name.replace("-", "_").isidentifier():
            raise ConfigError(f"--region {text!r} is not NAME=MASK", "write for example --region sky=sky.png")
        found[f"regions.masks.{name}"] = path
    return found


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """What was chosen; each field is an option of that name."""

    style: Annotated[
        list[str] | None,
        option(
            LOOK,
            "A style picture or clip; repeatable. After it may stand :WEIGHT, @MOMENT from which it holds (20, 1.5s,"
            " 0:01.5, shot2), and #REGION: a.jpg:100@10s#sky.",
            "--style",
            "-s",
        ),
    ] = None
    region: Annotated[
        list[str] | None,
        option(
            LOOK,
            "A region for styles of its own, or none, and its mask, white inside: a picture of the first frame, or"
            " a sequence or video; repeatable.",
            metavar="NAME=MASK",
        ),
    ] = None
    output: Annotated[
        Path | None,
        option(OUT, "Output: a video, an animation, a picture, or a folder for PNG frames.", "--output", "-o"),
    ] = None
    preset: Annotated[str | None, option(LOOK, "Settings that ship: see `vidnst presets`.")] = None
    config: Annotated[Path | None, option(LOOK, "Settings from a YAML file.")] = None
    assignments: Annotated[
        list[str] | None, option(LOOK, "Any setting: key.sub=value; repeatable.", "--set", metavar="KEY=VALUE")
    ] = None
    size: Annotated[int | None, option(RANGE, "Longest side in pixels; never enlarges.")] = None
    start: Annotated[str | None, option(RANGE, "First frame: a number, seconds (1.5s) or a timecode.")] = None
    end: Annotated[str | None, option(RANGE, "End of the range (not included), written like --start.")] = None
    fps: Annotated[str | None, option(RANGE, "Frames per second of pictures, also as a fraction.")] = None
    on_bad_frame: Annotated[
        Literal["error", "repeat"] | None, option(RANGE, "A frame that does not decode: stop, or repeat the last.")
    ] = None
    deflicker: Annotated[int | None, option(RANGE, "Even out brightness over so many frames: for time-lapses.")] = None
    register: Annotated[
        Literal["none", "ecc", "homography"] | None,
        option(RANGE, "Bring frames from the hand into line: by brightness, or by features."),
    ] = None
    register_edges: Annotated[
        Literal["crop", "fill"] | None, option(RANGE, "What registered frames do not share: cut off, or filled.")
    ] = None
    iterations: Annotated[int | None, option(LOOK, "Loss evaluations of a cold frame; 0 passes frames through.")] = None
    content_weight: Annotated[float | None, option(LOOK, "StyleMix toward the source.")] = None
    style_weight: Annotated[float | None, option(LOOK, "StyleMix toward the style.")] = None
    style_loss: Annotated[
        list[str] | None,
        option(
            LOOK, "How textures are compared: gram, wasserstein, sliced, moments, mmd_...; repeatable.", "--style-loss"
        ),
    ] = None
    style_scale: Annotated[float | None, option(LOOK, "Size of the strokes: of the style beside a frame.")] = None
    optimizer: Annotated[Literal["adam", "lbfgs"] | None, option(LOOK, "How the pixels are moved.")] = None
    init: Annotated[
        Literal["content", "noise", "blend", "style"] | None, option(LOOK, "What a cold frame starts from.")
    ] = None
    schedule: Annotated[
        Literal["keys", "chain", "independent"] | None,
        option(LOOK, "From what frames start: keys around them, the one before, or nothing."),
    ] = None
    stability: Annotated[
        float | None,
        option(LOOK, "How steady, from 0 (boils) over 0.5 (the default) to 1 (locked, for a tripod).", metavar="0..1"),
    ] = None
    loop: Annotated[bool, option(LOOK, "The first frame follows the last: no jump when it is played round.")] = False
    keep_colours: Annotated[bool, option(LOOK, "Keep the source's colours: short for --colour matched.")] = False
    colour: Annotated[
        Colour | None,
        option(
            LOOK,
            "The source's colours: under the strokes' light (luminance; matched: from a grey style), or given to the "
            "style pictures first (histogram, moments, optimal).",
        ),
    ] = None
    photo: Annotated[bool, option(LOOK, "The style is a photo: its colours, no strokes. See preset photo.")] = False
    filters: Annotated[
        list[str] | None,
        option(LOOK, "A classical look, palette:12 or superpixels:400; repeatable.", "--filter", metavar="NAME[:N]"),
    ] = None
    filters_before: Annotated[
        list[str] | None,
        option(LOOK, "The same, before the frames are rendered; repeatable.", "--filter-before", metavar="NAME[:N]"),
    ] = None
    seed: Annotated[int | None, option(LOOK, "Seed of everything random.")] = None
    backbone: Annotated[Backbone | None, option(LOOK, "The network: vgg19, or slim, which comes along.")] = None
    weights: Annotated[str | None, option(LOOK, "The backbone's weights: a file, or `random`.")] = None
    workers: Annotated[int | None, option(WORK, "Stylizing actors; default: one per GPU, or to suit the cores.")] = None
    address: Annotated[str | None, option(WORK, "Ray cluster to join (else RAY_ADDRESS, else Ray starts here).")] = None
    executor: Annotated[Literal["ray", "inline"] | None, option(WORK, "Ray actors, or threads of this process.")] = None
    work_dir: Annotated[Path | None, option(OUT, "Run folder; default: beside the output.")] = None
    keep_frames: Annotated[bool, option(OUT, "Keep state and frames after the encode.")] = False

    def settings(self) -> "RenderConfig":
        """The settings that they add up to.

        Raises:
            ConfigError: a preset, a setting or a value is wrong.
        """
        from vidnst.config.loader import load_config

        return load_config(
            preset=self.preset,
            file=self.config,
            stability=self.stability,
            assignments=self.assignments or (),
            options=self._values(),
        )

    def _values(self) -> dict[str, Any]:
        return {
            "input.size": self.size,
            "input.start": self.start,
            "input.end": self.end,
            "input.fps": self.fps,
            "input.on_bad_frame": self.on_bad_frame,
            "input.deflicker": self.deflicker,
            "input.registration": self.register,
            "input.registration_edges": self.register_edges,
            "model.backbone": self.backbone,
            "model.weights": self.weights,
            "losses.content_weight": self.content_weight,
            "losses.style_weight": self.style_weight,
            "losses.style_kinds": dict.fromkeys(self.style_loss, 1.0) if self.style_loss else None,
            "styles.scale": self.style_scale,
            "optimize.iterations": self.iterations,
            "optimize.optimizer": self.optimizer,
            "optimize.init": self.init,
            "optimize.seed": self.seed,
            "schedule.kind": self.schedule,
            "schedule.loop": self.loop or None,
            **_colour_keys("matched" if self.keep_colours and self.colour is None else self.colour),
            "photo.enabled": self.photo or None,
            "filters.after": self.filters or None,
            "filters.before": self.filters_before or None,
            "farm.workers": self.workers,
            "farm.address": self.address,
            "farm.executor": self.executor,
            "output.keep_frames": self.keep_frames or None,
            **_masks(self.region or ()),
        }

    def given(self) -> list[str]:
        """Names of those that were given."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return [name for name, value, usual in values if value != usual and value != []]


def takes_render_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of `RenderOptions` in place of its keyword `chosen`."""
    hints = get_type_hints(RenderOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(RenderOptions)
    ]
    parameters: list[inspect.Parameter] = []
    for own in inspect.signature(command).parameters.values():
        parameters += shared if own.name == _PARAMETER else [own.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @wraps(command)
    def run(**given: Any) -> None:
        chosen = RenderOptions(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        command(**given, **{_PARAMETER: chosen})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
