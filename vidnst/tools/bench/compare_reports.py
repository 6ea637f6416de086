"""A report of the bench beside an earlier one: ratios, and whether they are more than noise."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vidnst.errors import ConfigError

_MOST_BYTES = 10_000_000
_NOISE = 0.03
"""Share by which two timings of the same thing may differ, where their rounds do not say more."""
_UNKNOWN_NOISE = 0.05
"""The same for a report that does not tell the spread of its rounds."""
_WHOLE_NOISE = 0.10
"""The same for a whole render, which is timed once."""
_MEMORY_NOISE = 0.10

Verdict = Literal["faster", "slower", "same within noise", "more", "less"]


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a report."""

    value: float
    noise: float
    kind: Literal["seconds", "rate", "bytes"]


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A number in two reports."""

    what: str
    old: float
    new: float
    ratio: float
    """New over old."""
    ratio_to_floor: float | None
    """The same, each number counted in what its own machine's matrix product does meanwhile; None of memory."""
    noise: float
    """Share by which the two may differ without meaning."""
    verdict: Verdict


def read_report(path: Path) -> dict[str, Any]:
    """An earlier report.

    Raises:
        ConfigError: it cannot be read, or is no report of the bench.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        report = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}", "give what `vidnst bench -o` wrote") from error
    if not _has_the_shape(report):
        raise ConfigError(f"{path} is no report of `vidnst bench`", "give what `vidnst bench -o` wrote")
    return dict(report)


def _has_the_shape(report: object) -> bool:
    if not isinstance(report, Mapping):
        return False
    rows = report.get("rows")
    return (
        isinstance(report.get("device"), str)
        and type(report.get("threads")) is int
        and _is_positive(report.get("matrix_gflops"))
        and isinstance(rows, list)
        and bool(rows)
        and all(
            isinstance(row, Mapping)
            and isinstance(row.get("size"), str)
            and _is_positive(row.get("seconds_per_iteration"))
            for row in rows
        )
    )


def _is_positive(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > 0  # type: ignore[arg-type, operator]


def check_comparable(old: Mapping[str, Any], sizes: Sequence[tuple[int, int]], *, backbone: str, name: str) -> None:
    """See that there will be anything to compare.

    Raises:
        ConfigError: the earlier report is of another network, or of other sizes only.
    """
    before = old.get("backbone", "vgg19")
    if before != backbone:
        raise ConfigError(f"{name} is of the backbone {before}, not {backbone}", f"add --backbone {before}")
    there = [row["size"] for row in old["rows"]]
    asked = [f"{width}x{height}" for width, height in sizes]
    if not set(there) & set(asked):
        raise ConfigError(
            f"{name} has none of the sizes {', '.join(asked)}, only {', '.join(there)}",
            "leave out --size to take its sizes",
        )


def compare(old: Mapping[str, Any], new: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """The numbers that both have, as plain JSON.

    On another machine seconds say nothing, and the verdict goes by the ratio to the floor. On the same one the verdict
    goes by time, but where the floor itself came out different, the ratio to it has to agree.
    """
    floor = new["matrix_gflops"] / old["matrix_gflops"]
    others = _differences(old, new)
    before, now = dict(_values(old)), dict(_values(new))
    both = [what for what in now if what in before]
    rows = [_row(what, before[what], now[what], floor=floor, same_machine=not others) for what in both]
    notes = [*others]
    if others:
        notes.append("times of other machines do not compare; the verdicts go by the ratio to the floor")
    elif not _is_noise(floor, _UNKNOWN_NOISE):
        notes.append(
            f"the matrix product itself runs at {floor:.2f} of its rate then, so something else was at work; only where"
            " both ratios agree there is a verdict"
        )
    if old.get("torch") != new.get("torch"):
        notes.append(f"torch {old.get('torch')} then, {new.get('torch')} now")
    return {
        "file": name,
        "same_machine": not others,
        "notes": notes,
        "floor_ratio": floor,
        "rows": [asdict(row) for row in rows],
        "only_then": [what for what in before if what not in now],
        "only_now": [what for what in now if what not in before],
    }


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes it another machine, in words; threads count where there is no GPU."""
    found = []
    if old["device"] != new["device"]:
        found.append(f"another machine: {old['device']} then, {new['device']} now")
    elif old["threads"] != new["threads"] and not (new.get("machine") or {}).get("gpu"):
        found.append(f"{old['threads']} threads then, {new['threads']} now")
    return found


def _row(what: str, old: Value, new: Value, *, floor: float, same_machine: bool) -> ComparedRow:
    ratio = new.value / old.value
    to_floor = {"seconds": ratio * floor, "rate": ratio / floor, "bytes": None}[new.kind]
    noise = max(old.noise, new.noise)
    by_time, by_floor = (_verdict(ratio if it is None else it, noise, new.kind) for it in (ratio, to_floor))
    verdict = by_time if same_machine else by_floor
    if same_machine and by_time != by_floor and not _is_noise(floor, _UNKNOWN_NOISE):
        verdict = "same within noise"
    return ComparedRow(what, old.value, new.value, ratio, to_floor, noise, verdict)


def _is_noise(ratio: float, noise: float) -> bool:
    return 1 / (1 + noise) <= ratio <= 1 + noise


def _verdict(ratio: float, noise: float, kind: str) -> Verdict:
    if _is_noise(ratio, noise):
        return "same within noise"
    if kind == "bytes":
        return "more" if ratio > 1 else "less"
    return "faster" if (ratio < 1) == (kind == "seconds") else "slower"


def _values(report: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """What can be compared, by a name that is the same for the same thing."""
    for row in report["rows"]:
        spread = row.get("spread")
        noise = max(_NOISE, spread) if _is_positive(spread) else _NOISE if spread == 0 else _UNKNOWN_NOISE
        yield f"{row['size']}, s/iteration", Value(row["seconds_per_iteration"], noise, "seconds")
        if (
            _is_positive(row.get("memory_gib")) and "memory_kind" in report
        ):  # before, it was of all sizes up to this one
            yield f"{row['size']}, GiB", Value(row["memory_gib"], _MEMORY_NOISE, "bytes")
    for place in ("presets", "workers"):
        for row in _rows(report, place):
            if _is_positive(row.get("frames_per_second")):
                workers = f", {row.get('workers')} workers" if place == "workers" else ""
                name = f"{row.get('preset')} {row.get('size')}, {row.get('frames')} frames{workers}, frames/s"
                yield name, Value(row["frames_per_second"], _WHOLE_NOISE, "rate")
    for row in _rows(report, "loss"):
        reached = row.get("reached")
        if isinstance(reached, Mapping) and _is_positive(reached.get("seconds")):
            yield f"{row.get('size')}, s to plain Adam's loss", Value(reached["seconds"], _WHOLE_NOISE, "seconds")


def _rows(report: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    rows = report.get(place)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
