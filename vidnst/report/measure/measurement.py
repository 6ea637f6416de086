"""The results of measuring how steady a clip is, every number with its unit, and their JSON form."""

from dataclasses import asdict, dataclass, field
from typing import Any

STROKE_GAP = 5
"""Distance in frames over which the movement of strokes is measured: enough for strokes to move by their width."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number of the output, and the same number of the source."""

    output: float | None
    source: float | None

    @property
    def ratio(self) -> float | None:
        """Output over source; None where either is missing or the source's is 0."""
        if self.output is None or self.source is None or self.source <= 0:
            return None
        return self.output / self.source

    def to_dict(self) -> dict[str, float | None]:
        """JSON values, with the ratio."""
        return {"output": self.output, "source": self.source, "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class PairMeasurement:
    """The warping error between a frame and the one `gap` frames before it, in the same shot."""

    gap: int
    """The gap between the two in frames."""
    valid_share: float
    """Share of pixels with a valid flow, 0 to 1."""
    output: float
    """Warping error of the output, Lai's form, squared units of channels in [0, 1]; times `valid_share` it is
    Ruder's."""
    source: float
    """The source's own, with the same flow and mask."""


@dataclass(frozen=True, slots=True)
class FrameMeasurement:
    """The numbers of one frame."""

    frame: int
    """Index in the whole source."""
    shot: int
    """Number of its shot, from 0."""
    key: bool
    """True if it is a key frame of its shot."""
    luma_output: float
    """Mean luma, levels of 255."""
    luma_source: float
    sharpness_output: float
    """Variance of the Laplacian of the luma, levels squared."""
    sharpness_source: float
    static_share: float | None = None
    """Share of pixels, 0 to 1, at which the source is still since the frame before; None for the first of a shot."""
    flicker_output: float | None = None
    """Mean absolute change at these pixels, levels of 255; None where there are none."""
    flicker_source: float | None = None
    pairs: tuple[PairMeasurement, ...] = ()
    """Warping errors, one for each gap that stays within the shot."""
    moving_area: float | None = None
    """Share of pixels, 0 to 1, at which the source moves with a valid flow since `STROKE_GAP` frames before; None where
    hardly any do."""
    follow_output: float | None = None
    """Correlation of the fine detail there along the source's flow."""
    follow_source: float | None = None
    screen_output: float | None = None
    """Correlation of the fine detail there at the same place."""
    screen_source: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    """Style and content loss, where known."""
    staleness: float | None = None
    """How many times farther the frame is from its source than a fresh painting of it; known of key frames that were
    renewed where they were stale."""


@dataclass(frozen=True, slots=True)
class GapErrors:
    """Warping errors over all pairs of frames that are `gap` frames apart."""

    gap: int
    pairs: int
    """Number of pairs; without any, the errors are None."""
    valid_share: float | None
    """Mean share of pixels with a valid flow, 0 to 1."""
    ruder: Comparison
    """The errors of Ruder 2016; see `metrics.ClipErrors` for the definitions. Channels are in [0, 1]."""
    huang: Comparison
    """The errors of Huang 2017 and ReCoNet 2018."""
    lai: Comparison
    """The errors of Lai 2018."""


@dataclass(frozen=True, slots=True)
class KeyFrameErrors:
    """The error of pairs of neighbours that touch a key frame (either of the two is one), and that of all others."""

    at_keys: Comparison
    """Mean of Lai's error over the pairs that touch a key frame."""
    elsewhere: Comparison
    """Over the other pairs."""
    pairs_at_keys: int
    pairs_elsewhere: int

    @property
    def ratio(self) -> float | None:
        """Error at key frames over error elsewhere, in the output; 1 where key frames cannot be seen."""
        return Comparison(self.at_keys.output, self.elsewhere.output).ratio

    @property
    def source_ratio(self) -> float | None:
        """The same ratio of the source, which is the share that the clip itself has in it."""
        return Comparison(self.at_keys.source, self.elsewhere.source).ratio

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the ratios."""
        values = {"at_keys": self.at_keys.to_dict(), "elsewhere": self.elsewhere.to_dict()}
        counts = {"pairs_at_keys": self.pairs_at_keys, "pairs_elsewhere": self.pairs_elsewhere}
        return {**values, **counts, "ratio": self.ratio, "source_ratio": self.source_ratio}


@dataclass(frozen=True, slots=True)
class Staleness:
    """How stale the frames are whose staleness is known; 1 is as fresh as a frame that was painted alone."""

    mean: float
    slope: float | None
    """Change per 100 frames, one slope for all shots; None if no shot has two such frames."""


@dataclass(frozen=True, slots=True)
class FileSteadiness:
    """The steadiness of an encoded file, with the source's as it was measured there."""

    error: Comparison
    """Lai's error of neighbours."""
    flicker: Comparison
    """Mean absolute change of pixels at which the source is still, levels of 255."""


@dataclass(frozen=True, slots=True)
class ShotMeasurement:
    """The numbers of one shot."""

    start: int
    end: int
    """Frame after the last."""
    error: Comparison
    """Lai's error of neighbours."""
    drift: Comparison
    """Slope of the mean luma, levels of 255 per 100 frames, least squares."""
    drift_difference: float | None
    """Slope of output minus source."""
    keys: KeyFrameErrors | None
    """None where no key frames are known."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The steadiness of a clip. Pairs across a cut are never measured; what could not be measured is None."""

    frames: int
    """Frames measured."""
    width: int
    """Pixels across."""
    height: int
    """Pixels down."""
    flow_size: int
    """Longest side at which flow was found, pixels."""
    errors: tuple[GapErrors, ...]
    """Warping errors, by gap."""
    static_share: float | None
    """Mean share of pixels at which the source is still, 0 to 1."""
    flicker: Comparison
    """Mean absolute change of these from frame to frame, levels of 255."""
    drift: Comparison
    """Slope of the mean luma, levels of 255 per 100 frames; one slope for all shots, each at a level of its own."""
    drift_difference: float | None
    """Slope of output minus source: the drift that the rendering adds."""
    sharpness: Comparison
    """Mean variance of the luma's Laplacian, levels squared: what a blurred clip lacks."""
    follow: Comparison
    """Mean correlation of fine detail along the source's flow, where the source moves: 1 where strokes move with it."""
    screen: Comparison
    """The same at the same place: 1 where strokes stick to the screen."""
    keys: KeyFrameErrors | None
    """None where no key frames are known."""
    losses: dict[str, float]
    """Mean style and content loss; empty where unknown. A frozen or blurred clip is steady, and shows here."""
    staleness: Staleness | None
    """None where it is not known of any frame."""
    evaluations: int | None
    """Loss evaluations that the render took; None where its log is missing."""
    shots: tuple[ShotMeasurement, ...]
    rows: tuple[FrameMeasurement, ...]
    """One for each frame."""
    file: FileSteadiness | None = None
    """The steadiness of the encoded file, where it was measured next to the frames that it was encoded from."""

    def at_gap(self, gap: int) -> GapErrors | None:
        """The errors at a gap; None if it was not measured."""
        return next((errors for errors in self.errors if errors.gap == gap), None)

    @property
    def shown_error(self) -> Comparison:
        """Lai's error of neighbours as a viewer sees them: in the file, where that was measured."""
        return self.file.error if self.file else self.error()

    @property
    def shown_numbers(self) -> tuple[float | None, float | None, float | None]:
        """Lai's error over the source's, and the flicker in levels of output and source, as a viewer sees them."""
        flicker = self.file.flicker if self.file else self.flicker
        return self.shown_error.ratio, flicker.output, flicker.source

    def error(self, gap: int = 1) -> Comparison:
        """Lai's error at a gap."""
        errors = self.at_gap(gap)
        return Comparison(None, None) if errors is None else errors.lai

    def to_dict(self, *, per_frame: bool = True) -> dict[str, Any]:
        """JSON values.

        Args:
            per_frame: whether to include the numbers of each frame, under `rows`.
        """
        names = (name for name in self.__dataclass_fields__ if name != "rows")
        values = {name: _to_json(getattr(self, name)) for name in names}
        return values | ({"rows": [asdict(row) for row in self.rows]} if per_frame else {})


def _to_json(value: Any) -> Any:
    if isinstance(value, Comparison | KeyFrameErrors):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, GapErrors | ShotMeasurement | Staleness | FileSteadiness):
        return {name: _to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
