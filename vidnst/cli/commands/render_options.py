"""Groups of options that several commands take: those that select the style, and all that decide a render."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from vidnst.cli.commands import options as opt
from vidnst.cli.commands.key_settings import key_settings
from vidnst.errors import ConfigError

if TYPE_CHECKING:  # it brings pydantic
    from vidnst.config import RenderConfig
    from vidnst.events import OnEvent
    from vidnst.runs.request import Request

Colour = Literal["luminance", "matched", "histogram", "moments", "optimal"]

_SECTIONS = {
    "input": (
        "size",
        "start",
        "end",
        "fps",
        "order",
        "missing",
        "on_bad_frame",
        "deinterlace",
        "deflicker",
        "background",
    ),
    "model": ("backbone", "weights"),
    "losses": ("content_weight", "style_weight"),
    "optimize": ("iterations", "optimizer", "init", "seed"),
    "schedule": ("loop",),
    "motion": ("light_share",),
    "farm": ("workers", "address", "executor"),
    "output": ("strict", "keep_frames", "hdr", "start_number"),
}
SETTING_KEYS = {name: f"{section}.{name}" for section, names in _SECTIONS.items() for name in names} | {
    "input_transform": "input.transform",
    "register": "input.registration",
    "register_edges": "input.registration_edges",
    "style_scale": "styles.scale",
    "schedule": "schedule.kind",
    "passes": "schedule.passes",
    "network": "model.network",
    "photo": "photo.enabled",
    "filters": "filters.after",
    "filters_before": "filters.before",
    "style_audio": "audio.style",
    "key_weight": "keys.weight",
}
"""Options that stand for one setting each."""


@dataclass(frozen=True, kw_only=True)
class StyleOptions:
    """Options that select style, settings and network; each field is an option of that name."""

    style: opt.Styles = None
    preset: opt.Preset = None
    config: opt.SettingsFile = None
    assignments: opt.Assignments = None
    iterations: Annotated[int | None, opt.look("Loss evaluations of a cold frame; 0 passes frames through.")] = None
    backbone: opt.Network = None
    weights: opt.Weights = None

    def settings(self, more: Mapping[str, Any] | None = None) -> "RenderConfig":
        """Return the configuration that the options and `more` settings, by dotted key, add up to.

        Raises:
            ConfigError: a preset, a key or a value is wrong.
        """
        return self._load(more or {})

    def _load(
        self,
        more: Mapping[str, Any],
        *,
        engine: Literal["optimize", "network", "instant"] | None = None,
        stability: float | None = None,
    ) -> "RenderConfig":
        from vidnst.config.loader import load_config

        options = {SETTING_KEYS[name]: getattr(self, name) for name in self.given() if name in SETTING_KEYS}
        return load_config(
            preset=self.preset,
            file=self.config,
            engine=engine,
            stability=stability,
            assignments=self.assignments or (),
            options=options | dict(more),
        )

    @property
    def files_read(self) -> tuple[Path, ...]:
        """The files that the options name, besides sources, styles and weights."""
        return () if self.config is None else (self.config,)

    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return [name for name, value, default in values if value != default and value != []]


@dataclass(frozen=True, kw_only=True)
class ProofOptions(StyleOptions):
    """Options of `vidnst proof` that select style, settings and network."""

    engine: Annotated[
        Literal["optimize", "instant"] | None,
        opt.look("optimize: each picture's pixels. instant: the network that ships paints them, in a second."),
    ] = None

    def settings(self, more: Mapping[str, Any] | None = None) -> "RenderConfig":
        """Return the configuration of the sheet; see `StyleOptions.settings`."""
        return self._load(more or {}, engine=self.engine)


@dataclass(frozen=True, kw_only=True)
class RenderOptions(StyleOptions):
    """Options of `vidnst render` that change the work."""

    style: Annotated[
        list[str] | None,
        opt.look(
            "A style picture or clip; repeatable. May end in :WEIGHT, @MOMENT from which it applies (20, 1.5s, 0:01.5,"
            " shot2), and #REGION: a.jpg:100@10s#sky.",
            "--style",
            "-s",
        ),
    ] = None
    region: Annotated[
        list[str] | None,
        opt.look(
            "A region with its own styles, or none, and its mask, white inside: a picture for the first frame, a"
            " sequence or a video; repeatable.",
            metavar="NAME=MASK",
        ),
    ] = None
    key: Annotated[
        list[str] | None,
        opt.look(
            "A frame that you have painted, by its number: the frames around it follow it; repeatable. Without --style"
            " the keys are the style.",
            metavar="FRAME=PICTURE",
        ),
    ] = None
    keys: Annotated[
        Path | None, opt.look("A folder of painted frames, whose names end in their numbers: keys/0040.png.")
    ] = None
    key_weight: Annotated[
        float | None, opt.look("1 gives painted keys exactly; below 1 they are touched up.", metavar="0..1")
    ] = None
    output: Annotated[
        Path | None,
        opt.out(
            "The output: a video, an animation, a picture, a folder for PNG frames, or a pattern: shot_%04d.exr.",
            "--output",
            "-o",
        ),
    ] = None
    size: Annotated[int | None, opt.clip("Longest side in pixels; never enlarges.")] = None
    start: opt.Start = None
    end: opt.End = None
    fps: opt.Fps = None
    order: opt.Order = None
    missing: Annotated[
        Literal["error", "repeat", "skip"] | None,
        opt.clip("For missing numbers of shot_%04d.exr: stop, repeat the image before, or leave them out."),
    ] = None
    input_transform: Annotated[
        str | None,
        opt.clip(
            "Values of EXR and DPX frames: auto, srgb (linear light), cineon, none, or ocio:ACEScg.", metavar="NAME"
        ),
    ] = None
    on_bad_frame: opt.OnBadFrame = None
    deinterlace: Annotated[
        Literal["auto", "off", "frame", "field"] | None,
        opt.clip("Interlaced video: a progressive picture for each frame, or for each field at twice the rate."),
    ] = None
    deflicker: Annotated[int | None, opt.clip("Frames over which brightness is smoothed: for time-lapses.")] = None
    register: Annotated[
        Literal["none", "ecc", "homography"] | None, opt.clip("Align hand-held frames: by brightness, or by features.")
    ] = None
    register_edges: Annotated[
        Literal["crop", "fill"] | None, opt.clip("Edges that registered frames do not share: cropped, or filled.")
    ] = None
    background: Annotated[
        str | None, opt.clip("Colour under transparent pixels: white, black, grey, red, green, blue, or '#rrggbb'.")
    ] = None
    content_weight: Annotated[float | None, opt.look("Weight of the source's content.")] = None
    style_weight: Annotated[float | None, opt.look("Weight of the style.")] = None
    style_loss: Annotated[
        list[str] | None,
        opt.look("Texture statistics: gram, wasserstein, sliced, moments, mmd_...; repeatable.", "--style-loss"),
    ] = None
    style_scale: Annotated[float | None, opt.look("Size of the strokes: of the style relative to a frame.")] = None
    optimizer: Annotated[Literal["adam", "lbfgs"] | None, opt.look("The optimizer of the pixels.")] = None
    init: Annotated[
        Literal["content", "noise", "blend", "style"] | None, opt.look("What a cold frame starts from.")
    ] = None
    schedule: Annotated[
        Literal["keys", "chain", "independent"] | None,
        opt.look("What frames start from: the key frames around them, the previous frame, or their own content."),
    ] = None
    engine: Annotated[
        Literal["optimize", "network", "instant"] | None,
        opt.look(
            "optimize: each frame's pixels. network: train a small network on the clip, which paints them. instant: the"
            " network that ships, without training."
        ),
    ] = None
    network: opt.TransformNetwork = None
    passes: Annotated[int | None, opt.look("Passes over all frames that make them steady; 0 makes none.")] = None
    train: Annotated[
        str | None, opt.look("Steps of a network's training, or the time they may take here.", metavar="STEPS|30s")
    ] = None
    stability: Annotated[
        float | None,
        opt.look("Stability from 0 (boils) through 0.5 (default) to 1 (locked, for a tripod).", metavar="0..1"),
    ] = None
    light_share: Annotated[
        float | None,
        opt.look("Share of the day's change of light that the result shows: for time-lapses.", metavar="0..1"),
    ] = None
    loop: Annotated[bool, opt.look("Let the first frame follow the last, for a loop without a jump.")] = False
    keep_colours: Annotated[
        bool, opt.look("Keep the source's colours: short for --colour matched.", "--keep-colours", "--keep-colors")
    ] = False
    colour: Annotated[
        Colour | None,
        opt.look(
            "The source's colours: combined with the strokes' luma (luminance; matched: of a grey style), or given to"
            " the style pictures first (histogram, moments, optimal).",
            "--colour",
            "--color",
        ),
    ] = None
    photo: Annotated[bool, opt.look("The style is a photo: its colours, no strokes. See preset photo.")] = False
    filters: Annotated[
        list[str] | None,
        opt.look("A filter, palette:12 or superpixels:400; repeatable.", "--filter", metavar="NAME[:N]"),
    ] = None
    filters_before: Annotated[
        list[str] | None, opt.look("The same, before stylization; repeatable.", "--filter-before", metavar="NAME[:N]")
    ] = None
    style_audio: Annotated[
        str | None,
        opt.look("A sound whose texture the soundtrack gets, such as rain.wav. See audio.strength.", metavar="FILE"),
    ] = None
    bits: Annotated[
        Literal["auto", "most", "8", "10", "12", "16"] | None,
        opt.out("Bits per channel of the output; auto: as the source, where the codec has them."),
    ] = None
    hdr: Annotated[
        Literal["tone-map", "keep"] | None,
        opt.out("HDR sources: tone-mapped to SDR, or kept in H.265 and AV1."),
    ] = None
    seed: Annotated[int | None, opt.look("Seed of all random numbers.")] = None
    workers: opt.Workers = None
    address: opt.Address = None
    executor: opt.Executor = None
    work_dir: Annotated[Path | None, opt.out("The run folder; default: next to the output.")] = None
    strict: Annotated[bool, opt.out("Refuse to start if the output cannot keep all that the source holds.")] = False
    start_number: Annotated[
        int | None, opt.out("Number of the first frame in file names; default: as in the source.")
    ] = None
    keep_frames: Annotated[bool, opt.out("Keep states and frames after the encode.")] = False

    def settings(self, more: Mapping[str, Any] | None = None) -> "RenderConfig":
        """Return the configuration of the render; see `StyleOptions.settings`."""
        options = mask_settings(self.region or ()) | key_settings(self.key or (), self.keys)
        if self.style_loss:
            options["losses.style_kinds"] = dict.fromkeys(self.style_loss, 1.0)
        colour = "matched" if self.keep_colours and self.colour is None else self.colour
        if colour is not None:
            options["colour.keep" if colour in ("luminance", "matched") else "colour.transfer"] = colour
        if self.bits is not None:
            options["output.bits"] = int(self.bits) if self.bits.isdecimal() else self.bits
        if self.train is not None and self.train.isdecimal():
            options["schedule.training.steps"] = int(self.train)
        if self.engine in ("network", "instant") and self.schedule is not None:
            raise ConfigError(f"--engine {self.engine} has an order of its own", "leave out --schedule")
        return self._load(options | dict(more or {}), engine=self.engine, stability=self.stability)

    def timed(self, request: "Request", on_event: "OnEvent") -> "Request":
        """Return the request with the training steps that fit into the time of --train; unchanged if that is no time.

        Raises:
            ConfigError: --train is neither a number of steps nor a time, or nothing is trained.
            VidnstError: whatever a render would be refused for before it starts.
        """
        if self.train is not None and request.config.schedule.kind != "network":
            raise ConfigError("--train has no effect: no network paints the frames", "add --engine network")
        if self.train is None or self.train.isdecimal():
            return request
        from vidnst.config.timecode import parse_seconds
        from vidnst.tools.forecast.training_time import with_training_time

        try:
            seconds = float(parse_seconds(self.train))
        except ConfigError as error:
            raise ConfigError(f"--train {self.train!r} is neither steps nor a time", "write 500, or 30s") from error
        return with_training_time(request, seconds, on_event=on_event)


def mask_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse masks such as `sky=mask.png` into settings by dotted key.

    Raises:
        ConfigError: a text is not NAME=MASK.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign or not path or not name.replace("-", "_").isidentifier():
            raise ConfigError(f"--region {text!r} is not NAME=MASK", "write for example --region sky=sky.png")
        settings[f"regions.masks.{name}"] = path
    return settings


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter of a command that is annotated with a group of options by the options of that group."""
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and issubclass(group, StyleOptions):
            chosen, options, hints = parameter.name, group, get_type_hints(group, include_extras=True)
            parameters += [
                parameter.replace(
                    name=field.name, kind=parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
                )
                for field in fields(group)
            ]
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**given: Any) -> None:
        values = {field.name: given.pop(field.name) for field in fields(options)}
        command(**given, **{chosen: options(**values)})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
