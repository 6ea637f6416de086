"""The painted keys of a report: their pictures, bars that show which frames follow from which, and what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import VidnstError
from vidnst.formatting import counted
from vidnst.frames import Pixels, Shot, upper_8_bits
from vidnst.media.draw.thumbnails import encode_thumbnail
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.key_pictures import read_key_picture
from vidnst.report.html.markup import Html, el, jpeg_url
from vidnst.report.key_coverage import KeyCoverage, key_paths, read_key_coverage, stretches
from vidnst.runs import Manifest
from vidnst.runs.record import RunRecord

_THUMBNAIL_PX, _THUMBNAIL_BYTES = 320, 20_000
_MOST_KEYS, _MOST_SHOTS = 48, 24
"""Keys and shots that are shown."""
_COLOURS = 3
_LEAST_SHARE = 0.02
"""Share of a frame from which it counts as following a key."""
_WIDTH, _TOP, _BAR, _BOTTOM = 1000, 18, 56, 18
_MOST_BARS = 250
_LABEL = 70
"""Width of a label."""
_CHECKS_PX = 16


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """A painted key."""

    frame: int
    data: bytes | None
    """A JPEG file, with checks where the key is transparent; None if the picture is gone."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeySection:
    """The painted keys of a run, and what they cover."""

    pictures: tuple[KeyPicture, ...]
    coverage: KeyCoverage


def read_key_section(record: RunRecord, manifest: Manifest, shots: Sequence[Shot]) -> KeySection | None:
    """Read the painted keys of a run; None if it has none.

    Raises:
        RunError: the log of the run is damaged.
    """
    config = record.request.config
    coverage = read_key_coverage(record.folder, config, shots)
    if coverage is None:
        return None
    paths, recorded = key_paths(config), manifest.look.keys
    shown = coverage.keys[:_MOST_KEYS]
    return KeySection(tuple(_picture(key, paths.get(key), recorded[str(key)]) for key in shown), coverage)


def _picture(frame: int, path: Path | None, recorded: str) -> KeyPicture:
    if path is not None:
        with suppress(VidnstError, OSError):
            if fingerprint([path]) != recorded:
                return KeyPicture(frame, None, "the picture has changed since")
            pixels = _over_checks(*read_key_picture(path))
            return KeyPicture(frame, encode_thumbnail(pixels, longest_side=_THUMBNAIL_PX, max_bytes=_THUMBNAIL_BYTES))
    return KeyPicture(frame, None, "the picture is gone")


def _over_checks(pixels: Pixels, opaque: NDArray[np.bool_] | None) -> Pixels:
    """Put a picture over grey checks where it is transparent."""
    if opaque is None:
        return pixels
    side = max(1, max(opaque.shape) * _CHECKS_PX // _THUMBNAIL_PX)
    y, x = np.indices(opaque.shape) // side
    checks = np.where((x + y) % 2 == 0, np.uint8(204), np.uint8(153))
    return np.where(opaque[..., None], upper_8_bits(pixels), checks[..., None])


def draw_keys(section: KeySection) -> Iterator[Html]:
    """Draw pictures, a summary, and a bar for each shot."""
    coverage = section.coverage
    colours = {key: f"k{number % _COLOURS}" for number, key in enumerate(coverage.keys)}
    yield el("ul", [_key(picture, coverage, colours) for picture in section.pictures], cls="sheet painted")
    if (more := len(coverage.keys) - len(section.pictures)) > 0:
        yield el("p", f"and {counted(more, 'key')} more", cls="soft")
    yield el("p", _summary(coverage))
    if coverage.advice:
        yield el("ul", el("li", coverage.advice), cls="notes")
    shown = _shown_shots(coverage)
    for shot in shown:
        yield _bar(shot, coverage, colours)
    if (more := len(coverage.shots) - len(shown)) > 0:
        yield el("p", f"{counted(more, 'shot')} more: the report shows those of which most is not covered", cls="soft")


def _key(picture: KeyPicture, coverage: KeyCoverage, colours: Mapping[int, str]) -> Html:
    alternative = f"Painted key, frame {picture.frame}"
    image = el("img", src=jpeg_url(picture.data), alt=alternative, loading="lazy") if picture.data else None
    words = "; ".join(filter(None, (picture.note, _followers(picture.frame, coverage))))
    return el("li", image, el("small", el("b", f"frame {picture.frame}"), f": {words}"), cls=colours[picture.frame])


def _followers(key: int, coverage: KeyCoverage) -> str:
    shares = {frame: found[key] for frame, found in coverage.follows.items() if found.get(key, 0) >= _LEAST_SHARE}
    others = sorted(set(shares) - {key})
    if not others:
        return "no other frame follows it"
    parts = ", ".join(f"{one} to {two}" if one < two else f"{one}" for one, two in stretches(sorted(shares)))
    mean = sum(shares[frame] for frame in others) / len(others)
    return f"followed by frames {parts}, on average by {mean:.0%} of each"


def _summary(coverage: KeyCoverage) -> str:
    covered, unknown = coverage.covered, coverage.unknown
    sentences = []
    if covered:
        poorest = min(covered, key=lambda frame: covered[frame])
        mean = sum(covered.values()) / len(covered)
        sentences.append(
            f"On average {mean:.0%} of a frame can be traced to a painted key, least of frame {poorest}"
            f" ({covered[poorest]:.0%}); the rest is painted in the style."
        )
    if unknown:
        named = ", ".join(f"{one} to {two}" if one < two else f"{one}" for one, two in stretches(unknown)[:8])
        sentences.append(f"Of {counted(len(unknown), 'frame')} it is not known, since no flow is recorded: {named}.")
    return " ".join(sentences)


def _shown_shots(coverage: KeyCoverage) -> list[Shot]:
    """The shots of which most is not covered, in order."""
    missing = {shot: sum(1 - coverage.covered.get(frame, 1) for frame in shot.indices) for shot in coverage.shots}
    most = sorted(coverage.shots, key=lambda shot: -missing[shot])[:_MOST_SHOTS]
    return sorted(most, key=lambda shot: shot.start)


def _bar(shot: Shot, coverage: KeyCoverage, colours: Mapping[int, str]) -> Html:
    """A bar over the frames of a shot: in the colours of the keys, as high as what follows each, and grey above."""
    keys = [key for key in coverage.keys if shot.start <= key < shot.end]
    parts = [el("rect", x=0, y=_TOP, width=_WIDTH, height=_BAR, cls="rest"), *_columns(shot, coverage, colours)]
    parts += _marks(shot, keys, coverage.next_key)
    for frame, x, anchor in ((shot.start, 0, "start"), (shot.end - 1, _WIDTH, "end")):
        parts.append(el("text", f"frame {frame}", x=x, y=_TOP + _BAR + 14, text_anchor=anchor))
    known = [coverage.covered[frame] for frame in shot.indices if frame in coverage.covered]
    mean = f"{sum(known) / len(known):.0%} covered" if known else "not known"
    painted = f"key{'s' * (len(keys) > 1)} {', '.join(map(str, keys))}" if keys else "no key"
    title = f"Frames {shot.start} to {shot.end - 1}: {painted}, {mean}"
    view = f"0 0 {_WIDTH} {_TOP + _BAR + _BOTTOM}"
    drawing = el("svg", *parts, viewBox=view, role="img", aria_label=title, shape_rendering="crispEdges")
    return el("figure", el("figcaption", el("b", title)), drawing, cls="chart follows")


def _columns(shot: Shot, coverage: KeyCoverage, colours: Mapping[int, str]) -> Iterator[Html]:
    """A column for each frame, or for a few in a long shot, with a part for each key that it follows."""
    step = -(-len(shot) // _MOST_BARS)
    for begin in range(shot.start, shot.end, step):
        frames = range(begin, min(begin + step, shot.end))
        known = [coverage.follows[frame] for frame in frames if frame in coverage.follows]
        x, width = _x(shot, begin), round(_x(shot, frames.stop) - _x(shot, begin), 1)
        if not known:
            yield el("rect", x=x, y=_TOP, width=width, height=_BAR, cls="unknown")
            continue
        below = 0.0
        for key in sorted({key for shares in known for key in shares}):
            share = sum(shares.get(key, 0.0) for shares in known) / len(known)
            top, bottom = _y(below + share), _y(below)
            below += share
            if top < bottom:
                yield el("rect", x=x, y=top, width=width, height=round(bottom - top, 1), cls=colours[key])


def _y(share: float) -> float:
    return round(_TOP + _BAR * (1 - min(1.0, share)), 1)


def _marks(shot: Shot, keys: Sequence[int], next_key: int | None) -> Iterator[Html]:
    """Lines at the keys of a shot, and at the frame to paint next, with as many labels as find room."""
    free, blocked = 0.0, range(0)
    marks = {key: (f"key {key}", "painted") for key in keys}
    if next_key is not None and shot.start <= next_key < shot.end:
        marks[next_key] = (f"paint {next_key}", "next")
    for frame, (label, kind) in sorted(marks.items(), key=lambda mark: (mark[1][1] != "next", mark[0])):
        x = round((_x(shot, frame) + _x(shot, frame + 1)) / 2, 1)
        yield el("line", x1=x, x2=x, y1=_TOP, y2=_TOP + _BAR, cls=kind)
        anchor = "start" if x < _LABEL / 2 else "end" if x > _WIDTH - _LABEL / 2 else "middle"
        if kind == "next":
            yield el("text", label, x=x, y=_TOP - 5, text_anchor=anchor, cls=kind)
            blocked = range(round(x - _LABEL), round(x + _LABEL))
        elif x >= free and round(x) not in blocked:
            yield el("text", label, x=x, y=_TOP - 5, text_anchor=anchor)
            free = x + _LABEL


def _x(shot: Shot, frame: int) -> float:
    return round((frame - shot.start) * _WIDTH / len(shot), 1)
