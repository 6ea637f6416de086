"""Sections for what is read: the source, and the masks of regions."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, field_validator

from vidnst.config.base import REGION_NAME, PathText, Rate, Section, Weight, shaped

COLOURS = {
    "white": "#ffffff",
    "black": "#000000",
    "grey": "#808080",
    "gray": "#808080",
    "red": "#ff0000",
    "green": "#008000",
    "blue": "#0000ff",
}
"""Names of colours, as in CSS."""

_Colour = Annotated[
    str, shaped(f"{'|'.join(COLOURS)}|#[0-9A-Fa-f]{{6}}", f"{', '.join(COLOURS)}, or #rrggbb, such as #ffcc00")
]
_Transform = Annotated[
    str, shaped("auto|srgb|cineon|none|ocio:.{1,200}", "auto, srgb, cineon, none, or ocio: and a colour space")
]


class InputConfig(Section):
    """The part of the source that is read, and its adjustments before stylization."""

    size: int | None = Field(None, ge=16, le=16384)
    """Longest side of the rendered frames, in pixels; None keeps the source's size. Never enlarges."""
    start: str | None = None
    """First frame: a frame number (`20`), seconds (`1.5s`) or a timecode (`00:00:01.5`)."""
    end: str | None = None
    """End of the range (exclusive), written like `start`."""
    fps: Rate = Field(Fraction(25), gt=0, le=1000)
    """Frames per second of picture sequences; a video has its own time stamps."""
    order: Literal["auto", "given", "name", "time"] = "auto"
    """Order of pictures: by name, by time of capture, or as given. auto: given for files named singly, else name."""
    missing: Literal["error", "repeat", "skip"] = "error"
    """Missing numbers of a pattern (`shot_%04d.exr`): an error, the previous image again, or left out of the output,
    too."""
    transform: _Transform = "auto"
    """Values of EXR and DPX files. srgb: linear light, Rec. 709 primaries; cineon: logarithmic; none: display values;
    ocio:NAME: a colour space of OpenColorIO's ACES configuration; auto: srgb for EXR, DPX as its header says. Written
    EXR files have such values, too, but linear light in place of cineon."""
    on_bad_frame: Literal["error", "repeat"] = "error"
    """The reaction to a frame that does not decode: stop, or repeat the previous frame and record it."""
    shots: Literal["auto", "none", "content", "adaptive"] | tuple[int, ...] = "auto"
    """Detector of cuts, or the first frame of each new shot. auto: adaptive for video, none for pictures."""
    deinterlace: Literal["auto", "off", "frame", "field"] = "auto"
    """Interlaced video is made progressive: one picture for each frame, or for each field, which doubles the rate."""
    deflicker: int | None = Field(None, ge=3, le=10_000)
    """Window in frames over which brightness is smoothed within each shot; None leaves it unchanged."""
    registration: Literal["none", "ecc", "homography"] = "none"
    """Registration of hand-held frames to the middle frame of their shot: by intensity (ecc) or by features."""
    background: _Colour = "white"
    """Colour under transparent pixels: white, black, grey, red, green, blue, or #rrggbb."""
    registration_edges: Literal["crop", "fill"] = "crop"
    """Edges that registered frames do not share: cropped, which makes the picture smaller, or filled."""

    @field_validator("start", "end", mode="before")
    @classmethod
    def _plain_number(cls, value: object) -> object:
        """Accept `start: 20`, which YAML reads as a number, as a frame number."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def background_rgb(self) -> tuple[int, int, int]:
        """Red, green and blue of the background, 0 to 255."""
        digits = COLOURS.get(self.background, self.background)[1:]
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)

    @property
    def adjusts(self) -> bool:
        """True if frames are deflickered or registered."""
        return self.deflicker is not None or self.registration != "none"

    @property
    def crops(self) -> bool:
        """True if frames are cropped to the area that registered frames share."""
        return self.registration != "none" and self.registration_edges == "crop"


RegionName = Annotated[str, Field(max_length=64), shaped(REGION_NAME, "a letter or _, then letters, digits, _ and -")]


class RegionsConfig(Section):
    """Regions of the frame that have their own styles, or none."""

    masks: dict[RegionName, PathText] = {}
    """Mask of each region, white inside: a picture, or a sequence or video with one for each frame."""
    feather: float = Field(0.02, ge=0, le=0.5)
    """Width of the transition at a region's edge, as a share of the longest side."""
    follow: bool = True
    """Track the motion with masks of a single picture, which belong to the first frame; else they stay in place."""

    @field_validator("masks")
    @classmethod
    def _not_the_rest(cls, masks: dict[str, str]) -> dict[str, str]:
        if "rest" in masks:
            raise ValueError("`rest` is the area that no mask covers, and cannot have a mask of its own")
        return masks


class KeysConfig(Section):
    """Key frames that a person has painted, which the frames between them follow."""

    pictures: dict[Annotated[int, Field(ge=0)], PathText] = {}
    """The painting of each, by its number in the source."""
    folder: PathText | None = None
    """A folder of further ones, whose names end in the number of the frame."""
    weight: float = Field(1.0, ge=0, le=1)
    """1 gives them exactly, as far as they are opaque; below 1 the optimisation touches them up."""
    rate: float = Field(0.0, ge=0, le=1)
    """Step size in frames that follow keys, where these show the frame, as a share of `optimize.learning_rate`. 0 keeps
    the strokes of the keys."""
    fine_flow: bool = True
    """Follow them along the flow of `motion.preset` fine, whatever that setting is."""
    pixels_weight: Weight = 4.0
    """schedule.kind network: weight of the distance between the pixels of patches and those of the paintings."""
    features_weight: Weight = 6.0
    """The same of the maps of the feature network."""
    clip_share: float = Field(0.1, ge=0, le=1)
    """Share of the losses of a training without keys, of style, content and stability, that is added to these."""

    @property
    def are_given(self) -> bool:
        """True if there are painted keys."""
        return bool(self.pictures) or self.folder is not None
