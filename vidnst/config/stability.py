"""One dial from boiling to locked, in place of the weights and passes that make a render steady."""

from typing import Any

from vidnst.config import ScheduleConfig
from vidnst.errors import ConfigError

_MIDDLE_WEIGHT = 60.0
_OCTAVES = 6.0
"""From one end of the dial to the other the temporal weight doubles so many times."""
_MOST_PASSES = 14
_LOCK_LEVELS = 4.0


def stability_settings(dial: float) -> dict[str, Any]:
    """Settings for a place on the dial, as nested values of a configuration.

    0 lets every frame boil: each is painted on its own. From there on the dial turns up the pull toward what a frame
    starts from and the number of passes, while a frame takes about the same time; 0.5 is the default. Above it the
    last passes' steps shrink as the pull grows: it would undo larger ones, and what passes blend would stay blurred. At
    1 what stands still in the source stands still in the picture, too. That is for a camera on a tripod: where one
    moves, places that look alike from frame to frame would stick to the screen.

    Args:
        dial: from 0 to 1.

    Raises:
        ConfigError: it is outside.
    """
    if not 0 <= dial <= 1:
        raise ConfigError(f"stability {dial:g} is not between 0 and 1", "0 boils, 0.5 is the default, 1 is locked")
    if dial == 0:
        return {"schedule": {"kind": "independent"}}
    usual = ScheduleConfig()
    passes = max(2, round(_MOST_PASSES * dial))
    thinner = (usual.passes - 1) / (passes - 1)
    weight = round(_MIDDLE_WEIGHT * 2 ** (_OCTAVES * (dial - 0.5)), 3)
    locked = {"motion": {"static_lock": _LOCK_LEVELS}} if dial == 1 else {}
    return {
        **locked,
        "losses": {"temporal_weight": weight},
        "schedule": {
            "kind": "keys",
            "passes": passes,
            "settle": {
                "share": min(1.0, usual.settle.share * thinner),
                "rate": usual.settle.rate * min(1.0, _MIDDLE_WEIGHT / weight),
            },
        },
    }
