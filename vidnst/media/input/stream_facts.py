"""What a media file holds: its streams, chapters and metadata, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType

from vidnst.frames import ChromaSteps


class StreamKind(StrEnum):
    """Kinds of streams."""

    VIDEO = "video"
    AUDIO = "audio"
    SUBTITLE = "subtitle"
    DATA = "data"
    ATTACHMENT = "attachment"
    UNKNOWN = "unknown"


_WRITTEN_BY_PROGRAMS = (
    *("language", "title", "name", "handler_name", "vendor_id", "encoder", "creation_time", "timecode", "reel_name"),
    *("alpha_mode", "stereo_mode", "rotate", "filename", "mimetype", "variant_bitrate", "duration", "bps"),
    *("number_of_", "_statistics", "source_id", "id3v2_priv"),
)
"""What the keys of other tags begin with, in lower case: kept in other ways, or facts about the coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What all kinds of streams have."""

    index: int
    """Index among all streams of the file."""
    kind: StreamKind
    codec: str
    """ffmpeg's name of the codec; empty if it knows none."""
    codec_tag: str = ""
    """The container's name of the codec, such as avc1; empty if it is not text, or the codec is not known."""
    decodable: bool = True
    """False if there is no decoder for the codec."""
    time_base: Fraction = Fraction(1, 1000)
    """Seconds per tick."""
    start_seconds: Fraction | None = None
    duration_seconds: Fraction | None = None
    dispositions: frozenset[str] = frozenset()
    """ffmpeg's names: default, forced, attached_pic, comment, hearing_impaired, dependent, ..."""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The stream's tags, keys as in the file; bounded in number and length."""

    def tag(self, key: str) -> str:
        """Return a tag's value, whatever the case of its key; empty if there is none."""
        return find_tag(self.metadata, key)

    @property
    def language(self) -> str:
        """The language, as the file writes it; empty if it is not told."""
        return "" if self.tag("language") == "und" else self.tag("language")

    @property
    def title(self) -> str:
        """The title; empty if there is none."""
        return self.tag("title") or self.tag("name")

    @property
    def further_tags(self) -> Mapping[str, str]:
        """The tags that a person has written, but for language and title; keys in lower case."""
        tags = {key.lower(): value for key, value in self.metadata.items()}
        return {key: value for key, value in tags.items() if not key.startswith(_WRITTEN_BY_PROGRAMS)}

    @property
    def is_cover(self) -> bool:
        """True for cover art, which is one picture."""
        return "attached_pic" in self.dispositions


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display that HDR video was graded on (SMPTE ST 2086)."""

    primaries: tuple[Fraction, ...] | None
    """CIE xy of red, green, blue, white: eight numbers; None if not told."""
    min_luminance: Fraction | None
    """In cd/m2; None if not told."""
    max_luminance: Fraction | None
    """In cd/m2; None if not told."""


@dataclass(frozen=True, slots=True)
class ContentLight:
    """The light levels of HDR video (CTA-861.3), in cd/m2."""

    max_content: int
    max_frame_average: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream(StreamInfo):
    """A video stream."""

    width: int
    """Stored width, before the orientation is applied; 0 if unknown."""
    height: int
    """Stored height, before the orientation is applied; 0 if unknown."""
    pixel_format: str = ""
    bit_depths: tuple[int, ...] = ()
    """Bits of each channel that is not alpha."""
    chroma: ChromaSteps | None = (1, 1)
    """Luma samples for each sample of chroma, as stored; None for grey pictures."""
    has_alpha: bool = False
    """True if frames have transparency, also that which VP8 and VP9 keep in a second picture."""
    colour_matrix: str | None = None
    """ffmpeg's name: bt709, smpte170m, bt2020nc, gbr, ...; None if not told."""
    colour_primaries: str | None = None
    """ffmpeg's name: bt709, smpte432, bt2020, ...; None if not told."""
    colour_transfer: str | None = None
    """ffmpeg's name: bt709, iec61966-2-1, smpte2084, arib-std-b67, ...; None if not told."""
    colour_range: str | None = None
    """tv (limited) or pc (full); None if not told."""
    field_order: str | None = None
    """progressive, tt, bb, tb or bt (first stored, first shown field); None if not told."""
    is_interlaced: bool = False
    """True if the header or the first frame says that frames are made of two fields."""
    sample_aspect: Fraction = Fraction(1)
    """Width of a stored pixel over its height; 1 if unknown."""
    orientation: int = 1
    """EXIF's number, 1 to 8, of what makes stored frames upright (`vidnst.media.orientation`)."""
    average_rate: Fraction | None = None
    """Mean frame rate in the header."""
    base_rate: Fraction | None = None
    """Lowest rate at which all time stamps that ffmpeg looked at are whole; often wrong if the rate varies."""
    frame_count: int = 0
    """Number of frames in the header; 0 if unknown."""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    timecode: str = ""
    """The time code of the first frame that MPEG-1 and MPEG-2 video has itself; empty if it counts from zero."""
    side_data: frozenset[str] = frozenset()
    """PyAV's names of what comes with the first frame: A53_CC (captions), SPHERICAL, STEREO3D, DOVI_METADATA, ..."""

    @property
    def bit_depth(self) -> int:
        """Most bits of a channel; 8 if unknown."""
        return max(self.bit_depths, default=8)

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Frame rates in the header, the mean one first; may be empty."""
        return tuple(dict.fromkeys(rate for rate in (self.average_rate, self.base_rate) if rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream(StreamInfo):
    """An audio stream."""

    kind: StreamKind = StreamKind.AUDIO
    layout: str = ""
    """ffmpeg's name of the channel layout: mono, stereo, 5.1(side), ...; empty if unknown."""
    channels: int = 0
    sample_rate: int = 0
    """In Hz."""
    sample_format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentStream(StreamInfo):
    """A file within the file, such as a font."""

    kind: StreamKind = StreamKind.ATTACHMENT
    file_name: str = ""
    mime_type: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter; times are on the file's clock."""

    start_seconds: Fraction
    end_seconds: Fraction
    title: str
    """Empty if there is none."""


def find_tag(tags: Mapping[str, str], key: str) -> str:
    """Return the value of a key, whatever its case; empty if there is none."""
    return next((value for name, value in tags.items() if name.lower() == key.lower()), "")
