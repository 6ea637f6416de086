"""Who computes, and how the result is packed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from vidnst.config.base import Section


class FarmConfig(Section):
    """Who computes."""

    executor: Literal["ray", "inline"] = "ray"
    """ray: actors, here or on a cluster; inline: threads of this process, for debugging and for hosts without Ray."""
    workers: int | None = Field(None, ge=1, le=4096)
    """Stylizing actors; none takes one for each GPU, or what suits the plan and the cores."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Threads of each actor on a CPU; none shares the cores out."""
    gpus_per_worker: float = Field(1.0, gt=0, le=1)
    """Share of a GPU that an actor holds."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_gib: float | None = Field(None, gt=0, le=4096)
    """The most memory of its device that a stylizing actor may take, in GiB; none takes its share of the GPU. A GPU's
    is enforced, without what CUDA itself takes beside; on a CPU it only decides how frugally a shot begins."""
    may_shrink: bool = False
    """Whether a shot that fits into memory in no other way may be painted at a half or a quarter of its size, all of
    it alike, and enlarged."""
    address: str | None = None
    """Ray cluster to join; none takes RAY_ADDRESS or starts Ray here."""
    grows: bool = False
    """Whether the cluster starts hosts when they are asked for: `workers` then need not find room in what is there."""
    attempts: int = Field(3, ge=1, le=100)
    """Failures of one node after which it is given up, with all that reads it; or after an error on every worker."""
    gate: bool = True
    """Whether every frame is looked at before it counts as done: black, of one colour, a jump of brightness, or unlike
    its neighbours. What looks wrong is rendered again with another seed, once, and listed."""
    window: int | None = Field(None, ge=1)
    """Frames in flight ahead of the oldest unfinished one; none derives it from the workers."""

    @model_validator(mode="after")
    def _growing_needs_to_know_how_far(self) -> Self:
        if self.grows and self.workers is None:
            raise ValueError("a cluster that grows does not say how many workers there will be: set workers, too")
        return self


class OutputConfig(Section):
    """How the result is packed."""

    codec: Literal["auto", "h264", "h265", "av1", "vp9", "prores", "ffv1", "gif", "webp", "apng", "png"] = "auto"
    """auto: by the output's suffix (.mp4 h264, .webm vp9, .mov prores, .mkv ffv1, .gif, .webp, .apng, folder png)."""
    quality: int | None = Field(None, ge=0, le=63)
    """Constant rate factor (lower is better); none takes the codec's customary value."""
    speed: str | None = Field(None, pattern=r"^[a-z0-9]+$")
    """The encoder's preset, as ffmpeg names it."""
    hardware: Literal["none", "nvenc", "vaapi", "qsv", "amf", "videotoolbox"] = "none"
    """Hardware encoder to use, where ffmpeg and the machine have it."""
    chroma: Literal["420", "422", "444"] | None = None
    """Chroma sampling; none takes 4:2:0 (4:4:4 where a side is odd, 4:2:2 for ProRes, RGB for FFV1)."""
    bits: Literal[8, 16] = 8
    """Bits per channel of PNG frames."""
    audio: Literal["keep", "none"] = "keep"
    keep_frames: bool = False
    """Keep the run's state and frames after a verified encode."""
    measure: bool = True
    """Measure how steady the result is after the encode, into the run folder's `measure.json`."""
    report: bool = True
    """Write `report.html` into the run folder at the end: pictures, curves, settings, warnings, in one file."""
