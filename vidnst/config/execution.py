"""Sections for execution: the workers, and how the output is encoded."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vidnst.config.base import Section, shaped


class FarmConfig(Section):
    """The workers and their limits."""

    executor: Literal["ray", "inline"] = "ray"
    """ray: actors, local or on a cluster; inline: threads of this process, for debugging and for hosts without Ray,
    on the first GPU alone."""
    workers: int | None = Field(None, ge=1, le=4096)
    """Number of stylizing workers; None: one per GPU, or as many as suit the plan and the cores."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads of each worker; None divides the cores among them, and the training of a single clip takes all."""
    gpus_per_worker: float = Field(1.0, gt=0, le=1)
    """Share of a GPU that a worker reserves."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_gib: float | None = Field(None, gt=0, le=4096)
    """Limit on the device memory of a stylizing worker, in GiB; None: its share of the GPU. On a GPU the limit is
    enforced, not counting CUDA's own overhead; on a CPU it only selects the memory mode in which a shot begins."""
    may_shrink: bool = False
    """Allow a shot that fits into memory in no other way to be rendered at half or a quarter of its size, all of its
    frames alike, and enlarged."""
    address: str | None = None
    """Ray cluster to join; None: RAY_ADDRESS, else a local Ray is started. No file may name one: frames and Ray's token
    go there."""
    grows: bool = False
    """The cluster autoscales: `workers` may ask for more than its present hosts have room for."""
    attempts: int = Field(3, ge=1, le=100)
    """Failures of a node after which it is given up, with all nodes that depend on it; an error on every worker has
    the same effect."""
    gate: bool = True
    """Check every frame before it counts as done. A frame that is black, of one colour, jumps in brightness or differs
    from its neighbours is rendered once more with another seed, and listed."""
    window: int | None = Field(None, ge=1)
    """Frames in flight ahead of the oldest unfinished one; None derives it from the number of workers."""

    @model_validator(mode="after")
    def _growing_needs_to_know_how_far(self) -> Self:
        if self.grows and self.workers is None:
            raise ValueError("the number of workers of a growing cluster is not known in advance: set workers, too")
        return self


class OutputConfig(Section):
    """The encoding of the output, and the files that are written next to it."""

    codec: Literal["auto", "h264", "h265", "av1", "vp9", "prores", "ffv1", "gif", "webp", "apng", "png"] = "auto"
    """auto: from the output's suffix (.mp4 h264, .webm vp9, .mov prores, .mkv ffv1, .gif, .webp, .apng, folder png)."""
    quality: int | None = Field(None, ge=0, le=63)
    """Constant rate factor (lower is better); None: the codec's customary value, less for small frames."""
    speed: Annotated[str, shaped("[a-z0-9]+", "lower-case letters and digits, such as slow or 6")] | None = None
    """The encoder's preset, by ffmpeg's name."""
    hardware: Literal["none", "nvenc", "vaapi", "qsv", "amf", "videotoolbox"] = "none"
    """Hardware encoder, if ffmpeg and the machine support it."""
    chroma: Literal["auto", "420", "422", "444"] = "auto"
    """Chroma subsampling. auto: 4:2:0, but 4:4:4 if a side is odd, RGB for FFV1, and for ProRes 4:2:2, or 4:4:4 where
    the source has more than 4:2:2; `resolve_chroma` decides when the source is known."""
    bits: Literal["auto", "most", 8, 10, 12, 16] = "auto"
    """Bits per channel: of the source as far as the codec has them (auto), or the codec's usual maximum (most).
    `resolve_bits` puts a number in their place when the source is known; without a source they are 8."""
    hdr: Literal["tone-map", "keep"] = "tone-map"
    """HDR sources (PQ, HLG): tone-mapped to SDR, or written with their transfer and BT.2020 (H.265, AV1)."""
    alpha: Literal["auto", "keep", "drop"] = "auto"
    """Transparency of the source: kept if the output can hold it (auto), kept or refused, or laid over the background.
    `resolve_alpha` puts keep or drop in the place of auto when the source is known."""
    start_number: int | None = Field(None, ge=0, le=999_999_999)
    """Number of the first frame in the names of PNG frames and image sequences; None keeps the source's numbers."""
    audio: Literal["keep", "none"] = "keep"
    strict: bool = False
    """Refuse to start if the output would change or drop something that the source holds."""
    keep_frames: bool = False
    """Keep states and frames in the run folder after the encode has been verified."""
    measure: bool = True
    """Measure the stability of the result and write it to `measure.json` in the run folder."""
    report: bool = True
    """Write `report.html` into the run folder: pictures, curves, settings and warnings in one file."""

    @field_validator("chroma", "speed", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        """Take 444 and 6 as they are written in YAML, where they are numbers."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def coded_bits(self) -> Literal[8, 10, 12, 16]:
        """Bits per channel that are coded; 8 as long as the source is not known."""
        return 8 if self.bits == "auto" or self.bits == "most" else self.bits

    @property
    def picture_bits(self) -> Literal[8, 16]:
        """Bits per channel of a stored frame: 16 if more than 8 are coded."""
        return 8 if self.coded_bits == 8 else 16

    @property
    def keeps_alpha(self) -> bool:
        """True if the source's transparency is kept; False as long as the source is not known."""
        return self.alpha == "keep"
