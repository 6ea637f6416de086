"""The network and the targets as they are in each memory mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vidnst.config import RenderConfig
from vidnst.frames import Pixels
from vidnst.style.losses import terms
from vidnst.style.memory.modes import MemoryMode, check_additive
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.frame_targets import FrameTargets
from vidnst.style.targets.style_targets import StyleTargets


@dataclass(frozen=True, slots=True)
class ModeView:
    """What a memory mode makes of the network and of the targets."""

    network: VGG19
    targets: FrameTargets
    memory_mode: MemoryMode


class ModeCache:
    """Makes views, and keeps them: frames share them.

    Args:
        network: float32.
        styles: pictures `(H, W, 3)` with their weights, above 0.
        config: `model.precision`, `styles` and `losses` are read.
        device: where to compute.
    """

    def __init__(
        self, network: VGG19, styles: Sequence[tuple[Pixels, float]], config: RenderConfig, device: torch.device
    ) -> None:
        self._networks = {False: network}
        self._styles = styles
        self._config = config
        self._device = device
        self._made: dict[tuple[bool, bool, int | None], ModeView] = {}

    def under(self, memory_mode: MemoryMode) -> ModeView:
        """The view in a memory mode; ConfigError where something cannot be summed over its tiles."""
        memory_mode = replace(memory_mode, bfloat16=memory_mode.bfloat16 or self._config.model.precision == "bfloat16")
        check_additive(self._config, memory_mode)
        key = (memory_mode.bfloat16, memory_mode.recompute, memory_mode.tile_px)
        if key not in self._made:
            self._made[key] = self._make(memory_mode)
        return replace(self._made[key], memory_mode=memory_mode)

    def _make(self, memory_mode: MemoryMode) -> ModeView:
        if memory_mode.bfloat16 not in self._networks:
            self._networks[True] = self._networks[False].halved()
        network, wanted = self._networks[memory_mode.bfloat16], self._config.losses
        kinds = terms.shares(wanted.style_kinds)
        targets = StyleTargets(
            self._styles,
            network=network,
            layers=[name for name, weight in wanted.style_layers.items() if weight > 0],
            kinds=kinds,
            config=self._config.styles,
            memory_mode=memory_mode,
        )
        return ModeView(network, FrameTargets(targets, self._device), memory_mode)
