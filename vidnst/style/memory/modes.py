"""Memory modes: the ways to stylize a frame in less memory, in the order in which they are tried.

Standard library only, so that memory can be estimated without loading torch.
"""

from dataclasses import dataclass, replace

from vidnst.config import RenderConfig, StyleKind
from vidnst.errors import ConfigError

_LBFGS_HISTORIES = (5, 2)
_TILE_SIDES_PX = (1024, 512)
_SCALES = (0.5, 0.25)
_NOT_ADDITIVE: frozenset[StyleKind] = frozenset({"mmd_gaussian", "sliced"})
"""Statistics whose `additive` is False: one needs its own mean square first, the other all positions in order."""


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """The memory-saving measures in use. By default there are none."""

    lbfgs_history: int | None = None
    """Upper limit of the past steps that L-BFGS remembers; None for the configured number."""
    bfloat16: bool = False
    """True computes the network's maps in bfloat16; pixels, statistics and losses stay float32."""
    recompute: bool = False
    """True recomputes maps during the backward pass instead of storing them. This changes no pixel."""
    tile_px: int | None = None
    """Side, with halo, of the tiles that the network sees one at a time, shifted at random at every evaluation; their
    statistics are summed. None, or a frame no larger than a tile, is not tiled."""
    scale: float = 1.0
    """The frame is stylized with its sides multiplied by this, then enlarged."""

    @property
    def pixel_relevant(self) -> "MemoryMode":
        """This mode without the measures that change no pixel; frames match if it is equal for both."""
        return replace(self, recompute=False)

    def describe(self) -> str:
        """A short description for messages."""
        measures = {
            f"an L-BFGS history of {self.lbfgs_history}": self.lbfgs_history is not None,
            "bfloat16 maps": self.bfloat16,
            "recomputed maps": self.recompute,
            f"tiles of {self.tile_px} pixels": self.tile_px is not None,
            f"{self.scale:.0%} of the size": self.scale != 1,
        }
        return ", ".join(text for text, in_use in measures.items() if in_use) or "nothing"


NO_SAVINGS = MemoryMode()


def fallback_modes(config: RenderConfig, *, smaller: bool = False) -> tuple[MemoryMode, ...]:
    """The modes to try one after another; each adds one measure to the mode before, the first has none.

    A `model.precision` other than `auto` stays as it is. Tiles are left out if a statistic cannot be summed over them.

    Args:
        smaller: True adds modes that stylize the frame at a smaller size, as a last resort.
    """
    modes = [NO_SAVINGS]
    for history in _LBFGS_HISTORIES:
        if config.optimize.optimizer == "lbfgs" and history < config.optimize.history:
            modes.append(replace(modes[-1], lbfgs_history=history))
    if config.model.precision == "auto":
        modes.append(replace(modes[-1], bfloat16=True))
    modes.append(replace(modes[-1], recompute=True))
    for side in () if _not_additive(config) else _TILE_SIDES_PX:
        modes.append(replace(modes[-1], tile_px=side))
    for scale in _SCALES if smaller else ():
        modes.append(replace(modes[-1], scale=scale))
    return tuple(modes)


def check_additive(config: RenderConfig, memory_mode: MemoryMode) -> None:
    """Raise a ConfigError if the mode has tiles and a statistic of the style loss cannot be summed over them."""
    kinds = _not_additive(config)
    if memory_mode.tile_px is not None and kinds:
        raise ConfigError(
            f"losses.style_kinds: {', '.join(kinds)} cannot be summed over tiles of {memory_mode.tile_px} pixels",
            "leave it out, or render smaller frames",
        )


def _not_additive(config: RenderConfig) -> list[str]:
    return sorted(kind for kind, weight in config.losses.style_kinds.items() if weight and kind in _NOT_ADDITIVE)
