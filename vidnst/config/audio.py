"""The section for the soundtrack."""

from pydantic import Field

from vidnst.config.base import PathText, Section


class AudioConfig(Section):
    """The soundtrack in the texture of another sound."""

    style: PathText | None = None
    """A file with the sound whose texture the soundtrack gets; None leaves the soundtrack as it is."""
    strength: float = Field(0.5, ge=0, le=1)
    """The share of the style: 0 leaves the soundtrack as it is, 1 leaves hardly anything of it."""
    iterations: int = Field(50, ge=1, le=10_000)
    """Evaluations of the loss for each ten seconds of sound."""
    filters: int = Field(512, ge=16, le=8192)
    """Random filters whose responses describe the texture."""
    fill: bool = False
    """Give a source without a soundtrack one of the style alone."""
