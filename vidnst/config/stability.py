"""The stability dial: one number in place of the weights and passes that make a render steady."""

from typing import Any

from vidnst.config.temporal import ScheduleConfig
from vidnst.errors import ConfigError

_MIDDLE_WEIGHT = 60.0
_OCTAVES = 6.0
"""Number of times that the temporal weight doubles from one end of the dial to the other."""
_MOST_PASSES = 14
_LOCK_LEVELS = 4.0


def stability_settings(dial: float, *, network: bool = False) -> dict[str, Any]:
    """Return the settings for a position of the stability dial, as nested values of a configuration.

    At 0 every frame is rendered on its own, and strokes boil. Higher positions raise the temporal weight and the number
    of passes, at about the same time per frame; 0.5 is the default. Above it, the steps of the last pass shrink as the
    temporal weight grows, because that weight would undo larger steps and leave blended states blurred. At 1 static
    areas of the source also stay static in the result. This is meant for a camera on a tripod: if the camera moves,
    areas that look alike from frame to frame would stick to the screen.

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
    defaults = ScheduleConfig()
    passes = max(2, round(_MOST_PASSES * dial))
    losses = _weight(dial)
    settle = {
        "share": min(1.0, defaults.settle.share * ((defaults.passes - 1) / (passes - 1))),
        "rate": defaults.settle.rate * min(1.0, _MIDDLE_WEIGHT / losses["temporal_weight"]),
    }
    return {
        "losses": losses,
        "schedule": {"kind": "keys", "passes": passes, "settle": settle},
        **_lock(dial),
    }


def _weight(dial: float) -> dict[str, float]:
    return {"temporal_weight": round(_MIDDLE_WEIGHT * 2 ** (_OCTAVES * (dial - 0.5)), 3)}


def _lock(dial: float) -> dict[str, Any]:
    return {"motion": {"static_lock": _LOCK_LEVELS} if dial == 1 else {}}
