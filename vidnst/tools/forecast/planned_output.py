"""The output that a plan is made for where none is named."""

from pathlib import Path

from vidnst.errors import EncoderError
from vidnst.media import ffmpeg

_VIDEO, _FOLDER = Path("out.mp4"), Path("out")
"""The second is for machines without ffmpeg: a plan needs none, since frames cost the same whatever they become."""


def planned_output() -> Path:
    """Return a video's path, or a folder's on a machine that cannot encode."""
    try:
        ffmpeg.executable()
    except EncoderError:
        return _FOLDER
    return _VIDEO
