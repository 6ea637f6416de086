"""The steps that a frame goes through outside of the optimisation, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FilterConfig, PaletteConfig, PhotoConfig, RenderConfig, SuperpixelsConfig
from vidnst.media.effects import photo_transfer
from vidnst.media.effects.colour_space import Picture
from vidnst.media.effects.colour_transfer import with_chroma_of
from vidnst.media.effects.palette import in_palette, palette_of
from vidnst.media.effects.superpixels import first_cells, flat_cells, moved_cells

EffectState: TypeAlias = Mapping[str, NDArray[Any]]
"""What a step hands on to the next frame of the shot."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Where each pixel of a frame was in the frame before."""

    vectors_px: NDArray[np.float32]
    """`(H, W, 2)`, x then y: the frame shows at p what the one before shows at p + vectors[p]."""
    valid: NDArray[np.bool_]
    """`(H, W)`, where the vectors are trusted."""


class Effect(Protocol):
    """One thing that is done to every frame of a shot, in order."""

    @property
    def sequential(self) -> bool:
        """Whether it reads what it left at the frame before."""

    @property
    def learns(self) -> bool:
        """Whether it must see some frames of the shot first."""

    def learned(self, pictures: Sequence[Picture]) -> "Effect":
        """The step as it is for a shot that some pictures stand for."""

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """The picture after it, and what the next frame is to know.

        Args:
            picture: `(H, W, 3)` float32 sRGB in [0, 1].
            source: the source frame of the same size.
            before: what it left at the frame before; empty at the first one.
            motion: from the frame before; None at the first one, and for steps that are not sequential.
        """


@dataclass(frozen=True, slots=True)
class KeepColours:
    """The source's chroma under the picture's luma."""

    sequential = False
    learns = False

    def learned(self, pictures: Sequence[Picture]) -> "KeepColours":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """See `Effect`."""
        return with_chroma_of(source, picture), {}


@dataclass(frozen=True, slots=True)
class Photo:
    """The picture's colours on the source's edges."""

    settings: PhotoConfig
    sequential = True
    learns = False

    def learned(self, pictures: Sequence[Picture]) -> "Photo":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """See `Effect`."""
        wanted = self.settings
        shape = photo_transfer.GridShape.of(*source.shape[:2], cells=wanted.cells, luma_bins=wanted.luma_bins)
        equations = photo_transfer.gathered(source, picture, shape, smoothness=wanted.smoothness)
        if motion is not None and "equations" in before:
            earlier = before["equations"]
            steadiness = wanted.steadiness
            equations = photo_transfer.carried(
                earlier, equations, motion.vectors_px, motion.valid, steadiness=steadiness
            )
        return photo_transfer.applied(source, photo_transfer.solved(equations)), {"equations": equations}


@dataclass(frozen=True, slots=True)
class Palette:
    """Few colours."""

    settings: PaletteConfig
    seed: int = 0
    colours: Picture | None = field(default=None, compare=False)
    sequential = False
    learns = True

    def learned(self, pictures: Sequence[Picture]) -> "Palette":
        """With the colours that suit the pictures."""
        return replace(self, colours=palette_of(pictures, self.settings.colours, seed=self.seed))

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """See `Effect`."""
        assert self.colours is not None, "it must learn its colours first"
        return in_palette(picture, self.colours), {}


@dataclass(frozen=True, slots=True)
class Superpixels:
    """Cells of average colour that move with the source."""

    settings: SuperpixelsConfig
    sequential = True
    learns = False

    def learned(self, pictures: Sequence[Picture]) -> "Superpixels":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """See `Effect`."""
        cells, compactness = self.settings.cells, self.settings.compactness
        if motion is None or "labels" not in before:
            labels = first_cells(picture, cells, compactness)
        else:
            vectors_px, valid = motion.vectors_px, motion.valid
            labels = moved_cells(picture, before["labels"], vectors_px, valid, cells=cells, compactness=compactness)
        return flat_cells(picture, labels), {"labels": labels}


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps one after the other, for the frames of one shot."""

    steps: tuple[Effect, ...]

    @property
    def sequential(self) -> bool:
        """Whether a frame needs the one before to be done."""
        return any(step.sequential for step in self.steps)

    @property
    def learns(self) -> bool:
        """Whether some frames must be seen first."""
        return any(step.learns for step in self.steps)

    def learned(self, frames: Sequence[tuple[Picture, Picture]]) -> "Chain":
        """The chain as it is for a shot that some frames stand for.

        Args:
            frames: pairs of a picture and its source. Each step learns from what the steps before it make of them,
                each frame by itself.
        """
        pictures, steps = [picture for picture, _ in frames], list(self.steps)
        for number, step in enumerate(steps):
            steps[number] = step.learned(pictures) if step.learns else step
            if any(later.learns for later in steps[number + 1 :]):
                pairs = zip(pictures, (source for _, source in frames), strict=True)
                pictures = [steps[number](picture, source, {}, None)[0] for picture, source in pairs]
        return Chain(tuple(steps))

    def __call__(
        self, picture: Picture, source: Picture, before: EffectState, motion: Motion | None
    ) -> tuple[Picture, EffectState]:
        """As `Effect`; the states of all steps in one."""
        left: dict[str, NDArray[Any]] = {}
        for number, step in enumerate(self.steps):
            mark = f"{number}."
            own = {name.removeprefix(mark): value for name, value in before.items() if name.startswith(mark)}
            picture, state = step(picture, source, own, motion)
            left |= {f"{mark}{name}": value for name, value in state.items()}
        return picture, left


def finishing_chain(config: RenderConfig) -> Chain:
    """What is done to rendered frames."""
    steps: list[Effect] = [KeepColours()] if config.colour.keep != "none" else []
    steps += [Photo(config.photo)] if config.photo.enabled else []
    return Chain((*steps, *_filters(config.filters.after, config.optimize.seed)))


def filtering_chain(config: RenderConfig) -> Chain:
    """What is done to source frames before they are rendered."""
    return Chain(tuple(_filters(config.filters.before, config.optimize.seed)))


def _filters(filters: Sequence[FilterConfig], seed: int) -> list[Effect]:
    return [Palette(one, seed) if isinstance(one, PaletteConfig) else Superpixels(one) for one in filters]
