"""Pixels and their conversions, frames, clips and shots. Standard library and NumPy only."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""`(H, W, 3)` sRGB in RGB order, uint8 in 0..255 or uint16 in 0..65535."""


AlphaPlane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""`(H, W)` straight alpha; 0 is transparent, the largest value of the type is opaque."""

ChromaSteps: TypeAlias = tuple[int, int]
"""Luma samples for each sample of chroma, across and down: `(1, 1)` for 4:4:4 and RGB, `(2, 1)` for 4:2:2, `(2, 2)` for
4:2:0."""

Rgb: TypeAlias = tuple[int, int, int]
"""A colour: red, green and blue of 0 to 255, sRGB."""

WHITE: Rgb = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class HdrInfo:
    """What makes a video HDR, and the display that it was graded on."""

    transfer: Literal["smpte2084", "arib-std-b67"]
    """PQ or HLG, by ffmpeg's names."""
    peak_nits: float = 1000.0
    """Brightest light in cd/m2; 1000 if the file does not tell."""
    wide: bool = True
    """True for primaries of BT.2020, False for BT.709."""
    primaries: tuple[Fraction, ...] | None = None
    """CIE xy of the display's red, green, blue and white, eight numbers; None if the file does not tell."""
    min_luminance: Fraction = Fraction(0)
    max_luminance: Fraction = Fraction(1000)
    """The luminance of white on that display, in cd/m2."""
    content_light: tuple[int, int] | None = None
    """Largest light of a pixel and largest mean light of a frame, in cd/m2; None if the file does not tell."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """How a video is decoded, which decides how its frames are counted."""

    library: Literal["opencv", "libav"] = "opencv"
    """libav's decoders, in a child process, keep more than 8 bits and alpha."""
    stream: int = 0
    """Index of the video among all streams of the file, for libav."""
    name: str = ""
    """Name of libav's decoder; empty for the usual one."""
    deinterlace: Literal["off", "frame", "field"] = "off"
    """Interlaced frames as they are, or made progressive: one for each frame, or one for each field."""
    top_field_first: bool | None = None
    """The field that is shown first; None if each frame tells."""


class SourceKind(StrEnum):
    """The kind of file that a clip is read from."""

    VIDEO = "video"
    PICTURES = "pictures"
    ANIMATION = "animation"
    """One picture file with several frames: an animated WebP, PNG, GIF or AVIF, or a TIFF file with pages."""


State: TypeAlias = NDArray[np.uint16]
"""`(H, W, 3)` uint16 sRGB in RGB order: an optimised picture, quantised once, from which later frames start."""


LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights of R, G and B: of luma for gamma-encoded values, of luminance for linear light."""
LEAST_VARIANCE = 1e-5
"""Least variance along a colour direction, of values in [0, 1]: less is noise, which would be amplified."""


def to_float(pixels: Pixels) -> NDArray[np.float32]:
    """Convert integer pixels to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def to_float_planes(pixels: Pixels) -> NDArray[np.float32]:
    """Convert `(H, W, 3)` integer pixels to `(3, H, W)` float32 in [0, 1], C-contiguous: `to_float`, channels first."""
    # One conversion to float32: transposing the integers first would cost another copy.
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    planes /= np.float32(np.iinfo(pixels.dtype).max)
    return planes


def from_float(picture: NDArray[np.float32], bits: int) -> Pixels:
    """Quantise a float picture in [0, 1] to pixels of 8 or 16 bits, rounded to nearest and clipped."""
    levels = np.rint(np.clip(picture, 0, 1) * np.float32((1 << bits) - 1))
    pixels: Pixels = levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)
    return pixels


def to_levels(pixels: Pixels) -> NDArray[np.float32]:
    """Convert integer pixels, or one plane of them, to float32 in levels of 0 to 255."""
    levels = pixels.astype(np.float32)
    if pixels.dtype == np.uint16:
        levels /= np.float32(257)
    return levels


def to_bits(pixels: Pixels, bits: int) -> Pixels:
    """Convert pixels to 8 or 16 bits per channel, rounded to nearest; 8 bits survive the way to 16 and back."""
    if bits == 16:
        return to_16_bits(pixels)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def to_16_bits(pixels: Pixels) -> State:
    """Convert pixels to the 16 bits of a `State`, exactly."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(257)
    return pixels.astype(np.uint16, copy=False)


def upper_8_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Truncate pixels to the upper eight bits of each channel: cheaper than `to_bits`, for analysis only."""
    return (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8, copy=False)


def luma(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the `(H, W)` float32 Rec. 709 luma of a gamma-encoded `(H, W, 3)` float32 picture, in its range."""
    return np.asarray(picture @ LUMA_WEIGHTS, np.float32)


def linear_colour_map(own: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The `(3, 3)` map that turns colours of covariance `own` into ones of `goal`, and moves them the least.

    It is A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2) for the covariances A and B (Pitie & Kokaram 2007, "The linear
    Monge-Kantorovitch linear colour mapping for example-based colour transfer"). Deviation: `LEAST_VARIANCE` is added
    to both.
    """
    own, goal = (covariance + LEAST_VARIANCE * np.eye(3) for covariance in (own, goal))
    root, inverse = _matrix_power(own, 0.5), _matrix_power(own, -0.5)
    return np.asarray(inverse @ _matrix_power(root @ goal @ root, 0.5) @ inverse, np.float64)


def _matrix_power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T, np.float64)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a clip."""

    pixels: Pixels
    """`(H, W, 3)` uint8 or uint16 sRGB, RGB order, upright."""
    index: int
    """Position in the whole source, from 0."""
    pts_seconds: Fraction
    """Presentation time in the file."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be (H, W, 3), got {self.pixels.shape}")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"Frame({self.index}, {width}x{height} {self.pixels.dtype}, {float(self.pts_seconds):.3f} s)"


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """The properties of a source, from the time stamps of all its frames, not from the header alone."""

    source: str
    """The source as named by the user."""
    kind: SourceKind
    paths: tuple[Path, ...]
    """The one file of a video or an animation, or each picture in order."""
    width: int
    """Pixels across, upright (rotation applied)."""
    height: int
    """Pixels down, upright (rotation applied)."""
    rate: Fraction
    """Frames per second; the mean where the rate varies."""
    pts_seconds: tuple[Fraction, ...]
    """Presentation time of each frame, ascending."""
    last_duration_seconds: Fraction
    """Duration of the last frame."""
    variable_rate: bool
    """True if frames have different durations."""
    bit_depth: int
    """Bits per channel as decoded: 8, or 16 for pictures and videos with more than 8."""
    video_codec: str | None = None
    pixel_format: str | None = None
    colour_matrix: str | None = None
    """bt709, smpte170m, ...; None if the file does not tell."""
    colour_range: str | None = None
    """tv (limited), pc (full); None if the file does not tell."""
    rotation_degrees: int = 0
    """Rotation in the container, already applied to width and height."""
    orientation: int = 1
    """EXIF's number, 1 to 8, of the turn and flip in the container, already applied to width and height."""
    audio_codec: str | None = None
    """Codec of the first audio stream; None without audio."""
    bad_frames: tuple[int, ...] = ()
    """Frames that do not decode; they are counted and have time stamps like all others."""
    decoder_seconds: tuple[Fraction, ...] = ()
    """Time stamps of the frames that decode as the decoder gives them, where `pts_seconds` repairs or joins them; empty
    where both have the same distances."""
    parts: int = 1
    """Number of recordings that were joined byte by byte into the file."""
    notes: tuple[str, ...] = ()
    """What the source holds that is not used, may not be meant or was repaired: sentences without a full stop."""
    stored_bits: int = 8
    """Bits per channel in the file, 8 to 16."""
    chroma: ChromaSteps | None = (1, 1)
    """Chroma subsampling of the file, upright; None for grey pictures."""
    decoder: Decoder = Decoder()
    hdr: HdrInfo | None = None
    """What makes it HDR; frames are read tone-mapped then. None for SDR."""
    has_alpha: bool = False
    """True if a pixel of a frame is transparent."""
    background: Rgb = WHITE
    """The colour that transparent pixels are laid over when frames are read."""
    plane: Literal["colour", "alpha"] = "colour"
    """What is read: the colours over the background, or alpha as three equal channels."""
    plays: int | None = None
    """The number of times that an animation is shown, 0 for ever; None for other sources."""
    numbers: tuple[int, ...] = ()
    """Number of each picture of a numbered sequence, ascending; else empty."""
    transform: str = "auto"
    """What turns the values of EXR and DPX files into display values; see `InputConfig.transform`."""

    @property
    def frame_count(self) -> int:
        """Number of frames, including those that do not decode."""
        return len(self.pts_seconds)

    @property
    def duration_seconds(self) -> Fraction:
        """Time from the start of the first frame to the end of the last."""
        return self.pts_seconds[-1] - self.pts_seconds[0] + self.last_duration_seconds

    def frame_duration_seconds(self, index: int) -> Fraction:
        """Return the duration of frame `index`."""
        if index == self.frame_count - 1:
            return self.last_duration_seconds
        return self.pts_seconds[index + 1] - self.pts_seconds[index]


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames without a cut: `start <= index < end`, counted over the whole source."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a shot needs 0 <= start < end, got {self.start}..{self.end}")

    @property
    def indices(self) -> range:
        """The frames' numbers."""
        return range(self.start, self.end)

    def __len__(self) -> int:
        return self.end - self.start


def spread_over(first: int, end: int, count: int) -> list[int]:
    """Spread at most `count` indices evenly over `first <= index < end`, centred."""
    length = end - first
    count = min(count, length)
    return [first + (2 * number + 1) * length // (2 * count) for number in range(count)]


def shot_number(shots: Sequence[Shot], index: int) -> int:
    """Position in `shots`, which follow each other without gaps, of the shot that holds a frame."""
    return bisect_right(shots, index, key=lambda shot: shot.start) - 1
