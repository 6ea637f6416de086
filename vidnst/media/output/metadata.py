"""Tags of the source that a container holds only on request."""

from vidnst.media.input.container import ContainerInfo
from vidnst.media.output.formats import OutputFormat

_QUICKTIME = frozenset({".mov", ".mp4", ".m4v"})
_KEY_PREFIX = "com."


def metadata_options(source: ContainerInfo | None, target: OutputFormat) -> list[str]:
    """Return ffmpeg's output options that keep keys such as com.apple.quicktime.location.ISO6709.

    ffmpeg writes either those of iTunes, in which such keys have no place, or all tags by their full names; so the
    second only where the source has such keys.
    """
    if source is None or target.suffix not in _QUICKTIME:
        return []
    if any(key.startswith(_KEY_PREFIX) for key in source.metadata):
        return ["-movflags", "+faststart+use_metadata_tags"]
    return []
