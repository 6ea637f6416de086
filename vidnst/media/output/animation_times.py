"""The times at which browsers show the frames of an animation: none of its delays may be taken for a mistake.

Browsers show a delay of 10 ms or less for 100 ms, since early tools wrote such delays without meaning them. A GIF's
delays are multiples of 10 ms, so at 60 frames a second most of them would be 20 ms and some 10 ms, and the animation
would play at a third of its speed. So frames are left out where they come faster than browsers show them.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import overload

from vidnst.frames import AlphaPlane
from vidnst.media.input.alpha import AlphaPlanes

_CLOCKS = {"gif": (Fraction(1, 100), 2), "webp": (Fraction(1, 1000), 11), "apng": (Fraction(1, 1000), 11)}
"""Seconds per tick of a format, and the fewest ticks that browsers show as they are."""


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """The frames of a range that an animation shows."""

    indices: tuple[int, ...]
    """Places in the range, ascending."""
    pts_seconds: tuple[Fraction, ...]
    """The time at which each is shown, from the first frame."""
    last_duration_seconds: Fraction


def shown_frames(codec: str, pts_seconds: Sequence[Fraction], last_duration_seconds: Fraction) -> FrameChoice | None:
    """Choose the frames that an animation shows, so that no delay is too short and the duration stays the same.

    A frame is shown at its time, rounded to the format's clock. If that is too early after the frame before, the latest
    frame whose time has come is shown as soon as the frame before may end. So 60 frames a second become even 50.

    Args:
        codec: name of the format in the configuration.
        pts_seconds: time of each frame, of which only the distances from the first count.
        last_duration_seconds: duration of the last frame.

    Returns:
        None if all frames are shown at their times, or the format is no animation.
    """
    if codec not in _CLOCKS:
        return None
    tick, fewest = _CLOCKS[codec]
    ends = [*pts_seconds[1:], pts_seconds[-1] + last_duration_seconds]
    if all(end - at >= fewest * tick for at, end in zip(pts_seconds, ends, strict=True)):
        return None
    natural = [round((at - pts_seconds[0]) / tick) for at in pts_seconds]
    total = max(fewest, round((ends[-1] - pts_seconds[0]) / tick))
    indices, ticks = [0], [0]
    index = 1
    while index < len(natural):
        at = max(natural[index], ticks[-1] + fewest)
        while index + 1 < len(natural) and natural[index + 1] <= at:
            index += 1
        if at + fewest > total:
            break
        indices.append(index)
        ticks.append(at)
        index += 1
    return FrameChoice(tuple(indices), tuple(at * tick for at in ticks), (total - ticks[-1]) * tick)


def shown_frames_note(
    output: Path, codec: str, pts_seconds: Sequence[Fraction], last_duration_seconds: Fraction
) -> str | None:
    """Return a sentence about the frames that an animation leaves out; None if it shows all of them.

    Args:
        output, codec: the animation, and its format's name in the configuration.
        pts_seconds, last_duration_seconds: as for `shown_frames`.
    """
    shown = shown_frames(codec, pts_seconds, last_duration_seconds)
    if shown is None:
        return None
    tick, fewest = _CLOCKS[codec]
    seconds = pts_seconds[-1] + last_duration_seconds - pts_seconds[0]
    rates = (round(float(count / seconds), 1) for count in (len(shown.indices), len(pts_seconds)))
    return (
        f"{output.name} shows {len(shown.indices)} of {len(pts_seconds)} frames, {next(rates):g} a second instead of"
        f" {next(rates):g}, in the same time: browsers slow down a {codec} with delays under"
        f" {round(1000 * fewest * tick)} ms; a video shows all frames"
    )


class ChosenFrames(Sequence[Path]):
    """Some frames of a sequence, each requested only when it is needed."""

    def __init__(self, frames: Sequence[Path], indices: Sequence[int]) -> None:
        self._frames = frames
        self._indices = indices

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Path]: ...
    def __getitem__(self, place: int | slice) -> Path | Sequence[Path]:
        if isinstance(place, slice):
            return ChosenFrames(self._frames, self._indices[place])
        return self._frames[self._indices[place]]

    def __len__(self) -> int:
        return len(self._indices)


def chosen_planes(planes: AlphaPlanes, indices: Sequence[int]) -> AlphaPlanes:
    """Return what opens the alpha of some frames, given what opens that of all.

    Args:
        indices: places of the frames, ascending.
    """
    wanted = frozenset(indices)

    def chosen() -> Generator[AlphaPlane, None, None]:
        with closing(planes()) as opened:
            for index, plane in enumerate(opened):
                if index in wanted:
                    yield plane

    return chosen
