"""Ways to paint a frame in less memory, as a ladder: each rung keeps what the ones before it do, and adds one.

Standard library only, so that memory can be reckoned without loading torch.
"""

from dataclasses import dataclass, replace

from vidnst.config import RenderConfig, StyleKind
from vidnst.errors import ConfigError

_HISTORIES = (5, 2)
"""Past steps that L-BFGS is cut down to."""
_TILES = (1024, 512)
"""Sides in pixels of the tiles."""
_SHARES = (0.5, 0.25)
"""Sides of a smaller frame over the frame's own."""


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """What is done to save memory. The first of all is nothing."""

    history: int | None = None
    """Most past steps that L-BFGS remembers; None as many as the configuration says."""
    half: bool = False
    """Whether the network's maps are bfloat16, while pixels, statistics and losses stay float32."""
    recompute: bool = False
    """Whether maps are computed again on the way back instead of being kept. Changes nothing else."""
    tile_px: int | None = None
    """Side of the tiles through which the network looks at a frame, with their halo, shifted by chance at every
    evaluation, its textures summed over all of them; None looks at the whole frame, as one no larger than a tile is."""
    share: float = 1.0
    """Of the frame's sides: it is painted at that size, and enlarged."""

    @property
    def paints_alike(self) -> "MemoryMode":
        """The same without what changes no pixel: frames under two that are equal in this match."""
        return replace(self, recompute=False)

    def describe(self) -> str:
        """A few words for messages."""
        words = {
            f"an L-BFGS history of {self.history}": self.history is not None,
            "bfloat16 maps": self.half,
            "recomputed maps": self.recompute,
            f"tiles of {self.tile_px} pixels": self.tile_px is not None,
            f"{self.share:.0%} of the size": self.share != 1,
        }
        return ", ".join(word for word, said in words.items() if said) or "nothing"


NO_SAVINGS = MemoryMode()
_NOT_ADDITIVE: frozenset[StyleKind] = frozenset({"mmd_gaussian", "sliced"})
"""Statistics whose `additive` is false: one needs its own mean square first, one all positions in order."""


def additive(config: RenderConfig) -> bool:
    """Whether all statistics that a configuration compares can be summed over tiles."""
    return not _cannot_be_summed(config)


def check_additive(config: RenderConfig, memory_mode: MemoryMode) -> None:
    """Make sure that what is compared can be summed over tiles, if there are to be any.

    Raises:
        ConfigError: it cannot.
    """
    kinds = _cannot_be_summed(config)
    if memory_mode.tile_px is not None and kinds:
        raise ConfigError(
            f"losses.style_kinds: {', '.join(kinds)} cannot be summed over tiles of {memory_mode.tile_px} pixels",
            "leave it out, or render smaller frames",
        )


def _cannot_be_summed(config: RenderConfig) -> list[str]:
    return sorted(kind for kind, weight in config.losses.style_kinds.items() if weight and kind in _NOT_ADDITIVE)


def ladder(config: RenderConfig, *, additive: bool = True, smaller: bool = False) -> tuple[MemoryMode, ...]:
    """The rungs for a configuration, the first of which saves nothing.

    A `model.precision` that is not `auto` is left as it is.

    Args:
        additive: whether all its statistics can be summed over tiles.
        smaller: whether a shot may be painted at a smaller size, if nothing else helps.
    """
    rungs = [MemoryMode()]
    for history in _HISTORIES:
        if config.optimize.optimizer == "lbfgs" and history < config.optimize.history:
            rungs.append(replace(rungs[-1], history=history))
    if config.model.precision == "auto":
        rungs.append(replace(rungs[-1], half=True))
    rungs.append(replace(rungs[-1], recompute=True))
    for side in _TILES if additive else ():
        rungs.append(replace(rungs[-1], tile_px=side))
    for share in _SHARES if smaller else ():
        rungs.append(replace(rungs[-1], share=share))
    return tuple(rungs)
