"""A render without a renderer: decode, write the finished frames as they are, encode."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from vidnst.config import OutputConfig
from vidnst.frames import ClipInfo
from vidnst.media.images import write_png
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.output.bit_depth import resolve_bits
from vidnst.media.output.encode import encode
from vidnst.media.output.preflight import check_output


@dataclass(frozen=True)
class Trip:
    """What a transcode was made of."""

    clip: ClipInfo
    frames: list[Path]
    output: Path


@pytest.fixture
def transcode(tmp_path: Path) -> Callable[..., Trip]:
    """Call with source, output name, range and output settings; everything lies in the test's own folder."""

    def run(
        source: Any,
        name: str,
        *,
        start: int = 0,
        end: int | None = None,
        bits: Literal["auto", "most", 8, 10, 12, 16] = 8,
        frame_bits: Literal[8, 16] | None = None,
        size: tuple[int, int] | None = None,
        **settings: Any,
    ) -> Trip:
        clip = source if isinstance(source, ClipInfo) else probe(source)
        stop = clip.frame_count if end is None else end
        output = tmp_path / "out" / name
        output.parent.mkdir(exist_ok=True)
        shown = size or (clip.width, clip.height)
        config, _ = resolve_bits(output, OutputConfig(bits=bits, **settings), clip, frames=stop - start, size=shown)
        check_output(output, config, clip=clip, start=start, end=stop, size=size)
        folder = tmp_path / "it's 100%d [finished]"
        folder.mkdir(exist_ok=True)
        paths = []
        for frame in FrameReader(clip, start=start, end=stop, size=size):
            paths.append(folder / f"{frame.index:06d}.png")
            write_png(paths[-1], frame.pixels, bits=frame_bits or config.picture_bits)
        encode(paths, output, clip=clip, start=start, end=stop, settings=config)
        assert list(output.parent.iterdir()) == [output]
        return Trip(clip, paths, output)

    return run
