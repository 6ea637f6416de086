"""The stability dial: one number in place of the weights and passes that make a render steady."""

from typing import Any

from vidnst.config.temporal import ScheduleConfig
from vidnst.errors import ConfigError

_MIDDLE = 0.5
"""The position of the defaults."""
_MIDDLE_WEIGHT = 60.0
_OCTAVES = 6.0
"""Number of times that the temporal weight doubles from one end of the dial to the other."""
_MOST_PASSES = 14
_LOCK_LEVELS = 4.0
_LOOSE = 0.1
"""The position at which frames start from their neighbours, but are free to leave them."""
_LOOSE_HOLD = 0.05
_EASE = {"relax": 0.5, "settle": 2.0, "passes": 5.0}
"""Exponents with which the lower half moves from loose to the defaults. A single pass that takes smaller and smaller
steps spans most of it: a second pass already averages away most of what neighbours do not share."""


def stability_settings(dial: float, *, network: bool = False) -> dict[str, Any]:
    """Return the settings for a position of the stability dial, as nested values of a configuration.

    At 0 every frame is rendered on its own, and strokes boil. Up to `_LOOSE` frames start from warped neighbours
    but are free to leave them, with fewer and fewer evaluations for that. From there to 0.5, the default, steps
    shrink, the hold and the number of passes grow, at about the same time per frame, so that the error between
    frames falls in about equal ratios. Above 0.5 the temporal weight and the number of passes grow on, and the
    steps of the last pass shrink as the weight grows, because that weight would undo larger steps and leave blended
    states blurred. At 1 static areas of the source also stay static in the result. This is meant for a camera on a
    tripod: if the camera moves, areas that look alike from frame to frame would stick to the screen.

    Args:
        dial: from 0 to 1.
        network: whether a network paints the frames, which then need fewer passes: none at 0, 4 at 0.5, 8 at 1.

    Raises:
        ConfigError: `dial` is outside this range.
    """
    if not 0 <= dial <= 1:
        raise ConfigError(f"stability {dial:g} is not between 0 and 1", "0 boils, 0.5 is the default, 1 is locked")
    if network:
        return {"losses": _weight(dial), "schedule": {"kind": "network", "passes": round(8 * dial)}, **_lock(dial)}
    if dial == 0:
        return {"schedule": {"kind": "independent"}}
    return {
        "losses": _weight(dial),
        "schedule": {"kind": "keys", **(_looser(dial) if dial < _MIDDLE else _firmer(dial))},
        **_lock(dial),
    }


def _firmer(dial: float) -> dict[str, Any]:
    """More passes than the default, whose last steps shrink as the temporal weight grows."""
    defaults, passes = ScheduleConfig(), round(_MOST_PASSES * dial)
    share = min(1.0, defaults.settle.share * ((defaults.passes - 1) / (passes - 1)))
    rate = defaults.settle.rate * min(1.0, _MIDDLE_WEIGHT / _weight(dial)["temporal_weight"])
    return {"passes": passes, "settle": {"share": share, "rate": rate}}


def _looser(dial: float) -> dict[str, Any]:
    """Fewer passes than the default, with larger steps and less hold."""
    defaults = ScheduleConfig()
    share = {name: max(0.0, (dial - _LOOSE) / (_MIDDLE - _LOOSE)) ** power for name, power in _EASE.items()}
    passes = round(1 + (defaults.passes - 1) * share["passes"])

    def between(name: str, loose: float, default: float) -> float:
        return float(loose ** (1 - share[name]) * default ** share[name])

    work = defaults.relax.share + (defaults.passes - 1) * defaults.settle.share
    first = max(defaults.relax.share, work / passes)
    later = (work - first) / max(1, passes - 1)
    if dial < _LOOSE:
        first = (dial * first + (_LOOSE - dial)) / _LOOSE
    works = {"relax": (first, defaults.relax), "settle": (later, defaults.settle)}
    return {"passes": passes} | {
        name: {
            "share": evaluations,
            "hold": between(name, _LOOSE_HOLD, default.hold),
            "rate": between(name, 1, default.rate),
        }
        for name, (evaluations, default) in works.items()
    }


def _weight(dial: float) -> dict[str, float]:
    return {"temporal_weight": round(_MIDDLE_WEIGHT * 2 ** (_OCTAVES * (dial - 0.5)), 3)}


def _lock(dial: float) -> dict[str, Any]:
    return {"motion": {"static_lock": _LOCK_LEVELS} if dial == 1 else {}}
