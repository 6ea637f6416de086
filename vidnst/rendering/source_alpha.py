"""The transparency of a source, resized, moved and cropped like its frames, for the encoder."""

from collections.abc import Generator
from dataclasses import replace

from vidnst.frames import AlphaPlane
from vidnst.media.input.alpha import AlphaPlanes
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.source_frames import SourceFrames

_CACHE_BYTES = 1 << 27


def source_alpha(render: PreparedRender) -> AlphaPlanes | None:
    """Return what opens the alpha of a render's frames; None if the output has none."""
    if not render.config.output.keeps_alpha:
        return None
    moves = render.adjustments.without_gains() if render.adjustments is not None else None
    clip = replace(render.clip, plane="alpha")
    source = SourceFrames(clip, render.shots, render.size, "repeat", moves)

    def read() -> Generator[AlphaPlane, None, None]:
        with source.open(cache_bytes=_CACHE_BYTES) as frames:
            for number, shot in enumerate(source.shots):
                for index in shot.indices:
                    yield frames.get(number, index)[..., 0]

    return read
