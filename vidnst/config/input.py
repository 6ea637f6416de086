"""What is read: the source, and the masks of its regions."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, field_validator

from vidnst.config.base import Rate, Section


class InputConfig(Section):
    """What is read from the source."""

    size: int | None = Field(None, ge=16, le=16384)
    """Longest side in pixels of the frames that are rendered; none keeps the source's. Never enlarges."""
    start: str | None = None
    """First frame: a frame number (`20`), seconds (`1.5s`) or a timecode (`00:00:01.5`)."""
    end: str | None = None
    """End of the range, written like `start`; that frame itself is not rendered."""
    fps: Rate = Field(Fraction(25), gt=0, le=1000)
    """Frames per second of pictures (a video brings its own)."""
    on_bad_frame: Literal["error", "repeat"] = "error"
    """A frame that does not decode: stop, or repeat the one before and record it."""
    shots: Literal["auto", "none", "content", "adaptive"] | tuple[int, ...] = "auto"
    """How cuts are found; a list gives the first frame of each new shot. auto: adaptive in video, none in pictures."""
    deflicker: int | None = Field(None, ge=3, le=10_000)
    """Frames over which brightness is evened out, inside each shot; none leaves it as it is."""
    registration: Literal["none", "ecc", "homography"] = "none"
    """How frames from the hand are brought onto the middle one of their shot: by brightness (ecc) or by features."""
    registration_edges: Literal["crop", "fill"] = "crop"
    """What becomes of the edges that registered frames do not share; crop makes the picture smaller."""

    @field_validator("start", "end", mode="before")
    @classmethod
    def _plain_number(cls, value: object) -> object:
        """YAML reads `start: 20` as a number; it is the frame of that number."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def adjusts(self) -> bool:
        """Whether frames are changed before they are rendered."""
        return self.deflicker is not None or self.registration != "none"

    @property
    def crops(self) -> bool:
        """Whether what registered frames have in common decides the size."""
        return self.registration != "none" and self.registration_edges == "crop"


RegionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=64)]


class RegionsConfig(Section):
    """Parts of the frame with styles of their own, or none."""

    masks: dict[RegionName, str] = {}
    """For each region its mask, white inside: a picture, or a sequence or video with a picture for each frame."""
    feather: float = Field(0.02, ge=0, le=0.5)
    """Width of the transition at a region's edge, as a share of the frame's longest side."""
    follow: bool = True
    """Whether a mask of one picture, which shows the first frame, follows what moves; else it stays where it is."""

    @field_validator("masks")
    @classmethod
    def _not_the_rest(cls, masks: dict[str, str]) -> dict[str, str]:
        if "rest" in masks:
            raise ValueError("rest is what no mask covers, and has no mask of its own")
        return masks
