"""SMPTE time codes: read, shifted by frames, and handed to the containers that hold them."""

import re
from dataclasses import dataclass
from fractions import Fraction

from vidnst.frames import ClipInfo
from vidnst.media.input.container import ContainerInfo
from vidnst.media.output.formats import OutputFormat, OutputKind

_TIMECODE = re.compile(r"^(\d{1,2}):([0-5]\d):([0-5]\d)([:;.])(\d{1,3})$", re.ASCII)
_HOLDERS = frozenset({".mov", ".mp4", ".mkv", ".webm"})
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Timecode:
    """A time code: the label of a frame in a day of labels."""

    frame: int
    """Number of frames since 00:00:00:00; labels that drop-frame leaves out are not counted."""
    frames_per_second: int
    """Labels in a second: 30 for 29.97 frames a second."""
    drop_frame: bool
    """True if labels 0 and 1 (60 a second: 0 to 3) of each minute are left out, but for every tenth minute."""

    def shifted(self, frames: int) -> "Timecode":
        """Return the time code of the frame that comes `frames` later; after 24 hours it starts at zero."""
        return Timecode((self.frame + frames) % self._frames_per_day, self.frames_per_second, self.drop_frame)

    def doubled(self) -> "Timecode":
        """Return the time code of the first of two frames that are made of this one's fields."""
        return Timecode(2 * self.frame, 2 * self.frames_per_second, self.drop_frame)

    @property
    def _frames_per_day(self) -> int:
        skipped = self._dropped * (_DAY_MINUTES - _DAY_MINUTES // 10)
        return _DAY_MINUTES * 60 * self.frames_per_second - skipped

    @property
    def _dropped(self) -> int:
        """Number of labels that are left out of a minute."""
        return self.frames_per_second // 15 if self.drop_frame else 0

    def __str__(self) -> str:
        label = self.frame
        if self.drop_frame:
            minute = 60 * self.frames_per_second - self._dropped
            tens, rest = divmod(self.frame, 10 * minute + self._dropped)
            label += self._dropped * (9 * tens + max(0, (rest - self._dropped) // minute))
        seconds, frame = divmod(label, self.frames_per_second)
        mark = ";" if self.drop_frame else ":"
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frame:02d}"


def parse_timecode(text: str, rate: Fraction) -> Timecode | None:
    """Read a time code such as 01:00:00:00 or, with drop-frame, 01:00:00;00.

    Args:
        rate: frames per second.

    Returns:
        None if it is no time code, or none of a clip with this rate.
    """
    match = _TIMECODE.match(text.strip())
    nominal = round(rate)
    if match is None or nominal < 1:
        return None
    hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
    drop = match[4] in ";."
    if hours > 23 or frame >= nominal or (drop and rate not in (Fraction(30000, 1001), Fraction(60000, 1001))):
        return None
    code = Timecode(0, nominal, drop)
    total_minutes = 60 * hours + minutes
    left_out = code._dropped * (total_minutes - total_minutes // 10)
    label = (60 * total_minutes + seconds) * nominal + frame
    if drop and seconds == 0 and frame < code._dropped and minutes % 10:
        return None  # a label that drop-frame leaves out
    return Timecode(label - left_out, nominal, drop)


def output_timecode(
    source: ContainerInfo | None, target: OutputFormat, clip: ClipInfo, *, start: int
) -> tuple[str | None, str | None]:
    """Decide what becomes of a source's time code.

    Returns:
        The time code of the output's first frame, None if it has none; and a note if a time code is dropped.
    """
    text = source.timecode if source else None
    if text is None:
        return None, None
    if target.kind is not OutputKind.VIDEO or target.suffix not in _HOLDERS:
        return None, f"the time code {text} is dropped, since {target.path.name} cannot hold one"
    if clip.variable_rate:
        return None, f"the time code {text} is dropped, since the frame rate of {clip.source} varies"
    has_fields = clip.decoder.deinterlace == "field"
    rate = clip.rate / 2 if has_fields else clip.rate
    code = parse_timecode(text, rate)
    if code is None:
        return None, f"the time code {text} is dropped, since it fits no clip of {float(rate):g} frames a second"
    return str((code.doubled() if has_fields else code).shifted(start)), None


def keeps_reel_name(target: OutputFormat, timecode: str | None) -> bool:
    """Return whether an output has the name of a reel: Matroska as a tag, QuickTime in the track of the time code."""
    if target.kind is not OutputKind.VIDEO:
        return False
    return target.suffix in (".mkv", ".webm") or (target.suffix == ".mov" and timecode is not None)


def timecode_options(timecode: str | None) -> list[str]:
    """Return ffmpeg's output options, which replace the time codes that come with the source's tags."""
    return ["-metadata", f"timecode={timecode or ''}", "-metadata:s:v", "timecode="]
