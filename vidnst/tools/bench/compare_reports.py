"""Compares a bench report with an earlier one: ratios, and whether they are more than noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, ValidationError

from vidnst.errors import ConfigError

_MOST_BYTES = 10_000_000
_NOISE = 0.03
"""Share by which two timings of the same thing may differ; more if the rounds of one differ by more."""
_ROOFLINE_NOISE = 0.05
"""The same for the rate of the matrix product."""
_RENDER_NOISE = 0.10
"""The same for a whole render, which is timed once."""
_MEMORY_NOISE = 0.10

Verdict: TypeAlias = Literal["faster", "slower", "same within noise", "more", "less"]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Share: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Frame(BaseModel):
    size: str
    seconds_per_iteration: Positive
    spread: Share
    memory_gib: Share | None


class _Render(BaseModel):
    preset: str
    size: str
    frames: int
    workers: int
    frames_per_second: Positive


class _Step(BaseModel):
    seconds: Positive


class _TimeToLoss(BaseModel):
    size: str
    reached: _Step | None


class _Machine(BaseModel):
    gpu: dict[str, Any] | None


class BenchReport(BaseModel):
    """The parts of a report that are compared."""

    device: str
    machine: _Machine
    threads: int
    torch: str
    backbone: str
    matrix_gflops: Positive
    rows: list[_Frame] = Field(min_length=1)
    presets: list[_Render] = []
    workers: list[_Render] = []
    loss: list[_TimeToLoss] = []

    def metrics(self) -> Iterator[tuple[str, "Metric"]]:
        """Iterate over all numbers, by names that are equal in two reports for the same thing."""
        for row in self.rows:
            yield f"{row.size}, s/iteration", Metric(row.seconds_per_iteration, max(_NOISE, row.spread), "seconds")
            if row.memory_gib:
                yield f"{row.size}, GiB", Metric(row.memory_gib, _MEMORY_NOISE, "bytes")
        for by_workers, renders in ((False, self.presets), (True, self.workers)):
            for render in renders:
                workers = f", {render.workers} workers" if by_workers else ""
                name = f"{render.preset} {render.size}, {render.frames} frames{workers}, frames/s"
                yield name, Metric(render.frames_per_second, _RENDER_NOISE, "rate")
        for loss in self.loss:
            if loss.reached is not None:
                yield f"{loss.size}, s to plain Adam's loss", Metric(loss.reached.seconds, _RENDER_NOISE, "seconds")


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a report."""

    value: float
    noise: float
    kind: Literal["seconds", "rate", "bytes"]


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """A number in two reports."""

    what: str
    old: float
    new: float
    ratio: float
    """New over old."""
    ratio_to_floor: float | None
    """The ratio after each number is scaled by its own machine's matrix rate; None for memory."""
    noise: float
    """Share by which the two may differ without meaning."""
    verdict: Verdict


def read_report(path: Path) -> BenchReport:
    """Read an earlier report.

    Raises:
        ConfigError: it cannot be read, or is no report of the bench.
    """
    remedy = "give what `vidnst bench -o` wrote"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path} is larger than {_MOST_BYTES} bytes, so it is no report", remedy)
        return BenchReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}", remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path} is no report of `vidnst bench`: {place}: {first['msg']}", remedy) from error


def check_comparable(old: BenchReport, sizes: Sequence[tuple[int, int]], *, backbone: str, name: str) -> None:
    """Check that there will be something to compare.

    Raises:
        ConfigError: the earlier report is of another backbone, or of other sizes only.
    """
    if old.backbone != backbone:
        raise ConfigError(f"{name} is of the backbone {old.backbone}, not {backbone}", f"add --backbone {old.backbone}")
    old_sizes = [row.size for row in old.rows]
    new_sizes = [f"{width}x{height}" for width, height in sizes]
    if not set(old_sizes) & set(new_sizes):
        raise ConfigError(
            f"{name} has none of the sizes {', '.join(new_sizes)}, only {', '.join(old_sizes)}",
            "leave out --size to take its sizes",
        )


def compare_reports(old: BenchReport, report: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """Compare the numbers that both reports have; the result is in plain JSON values.

    Between different machines seconds say nothing, so the verdicts go by the ratios scaled by the matrix rates. On the
    same machine they go by time, but if the matrix rate itself has changed, the scaled ratio has to agree.
    """
    new = BenchReport.model_validate(report)
    rates = new.matrix_gflops / old.matrix_gflops
    notes = _machine_differences(old, new)
    same_machine = not notes
    before, now = dict(old.metrics()), dict(new.metrics())
    rows = [
        _compare_metric(what, before[what], now[what], rates=rates, same_machine=same_machine)
        for what in now
        if what in before
    ]
    if not same_machine:
        notes.append("times of other machines do not compare; the verdicts go by the ratio to the floor")
    elif not _is_noise(rates, _ROOFLINE_NOISE):
        notes.append(
            f"the matrix product itself runs at {rates:.2f} of its rate then, so something else was at work; only where"
            " both ratios agree there is a verdict"
        )
    if old.torch != new.torch:
        notes.append(f"torch {old.torch} then, {new.torch} now")
    return {
        "file": name,
        "same_machine": same_machine,
        "notes": notes,
        "floor_ratio": rates,
        "rows": [asdict(row) for row in rows],
        "only_then": [what for what in before if what not in now],
        "only_now": [what for what in now if what not in before],
    }


def _machine_differences(old: BenchReport, new: BenchReport) -> list[str]:
    """Describe what makes it another machine; the number of threads counts if there is no GPU."""
    if old.device != new.device:
        return [f"another machine: {old.device} then, {new.device} now"]
    if old.threads != new.threads and not new.machine.gpu:
        return [f"{old.threads} threads then, {new.threads} now"]
    return []


def _compare_metric(what: str, old: Metric, new: Metric, *, rates: float, same_machine: bool) -> MetricComparison:
    ratio = new.value / old.value
    scaled = {"seconds": ratio * rates, "rate": ratio / rates, "bytes": None}[new.kind]
    noise = max(old.noise, new.noise)
    by_time, by_rate = (_verdict(ratio if it is None else it, noise, new.kind) for it in (ratio, scaled))
    verdict = by_time if same_machine else by_rate
    if same_machine and by_time != by_rate and not _is_noise(rates, _ROOFLINE_NOISE):
        verdict = "same within noise"
    return MetricComparison(what, old.value, new.value, ratio, scaled, noise, verdict)


def _is_noise(ratio: float, noise: float) -> bool:
    return 1 / (1 + noise) <= ratio <= 1 + noise


def _verdict(ratio: float, noise: float, kind: str) -> Verdict:
    if _is_noise(ratio, noise):
        return "same within noise"
    if kind == "bytes":
        return "more" if ratio > 1 else "less"
    return "faster" if (ratio < 1) == (kind == "seconds") else "slower"
