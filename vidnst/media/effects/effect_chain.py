"""The steps that a frame goes through outside of the optimisation, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FilterConfig, PaletteConfig, PhotoConfig, RenderConfig, SuperpixelsConfig
from vidnst.media.effects import photo_transfer
from vidnst.media.effects.colour_space import FloatImage
from vidnst.media.effects.colour_transfer import transfer_chroma
from vidnst.media.effects.palette import apply_palette, extract_palette
from vidnst.media.effects.superpixels import flatten_cells, segment_first, segment_next

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
    def needs_fit(self) -> bool:
        """Whether it must see some frames of the shot first."""

    def fit(self, pictures: Sequence[FloatImage]) -> "Effect":
        """The step as it is for a shot that some pictures stand for."""

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """The picture after it, and what the next frame is to know.

        Args:
            picture: `(H, W, 3)` float32 sRGB in [0, 1].
            source: the source frame of the same size.
            before: what it left at the frame before; empty at the first one.
            motion: from the frame before; None at the first one, and for steps that are not sequential.
        """


@dataclass(frozen=True, slots=True)
class KeepColoursEffect:
    """The source's chroma under the picture's luma."""

    sequential = False
    needs_fit = False

    def fit(self, pictures: Sequence[FloatImage]) -> "KeepColoursEffect":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        return transfer_chroma(source, picture), {}


@dataclass(frozen=True, slots=True)
class PhotoEffect:
    """The picture's colours on the source's edges."""

    settings: PhotoConfig
    sequential = True
    needs_fit = False

    def fit(self, pictures: Sequence[FloatImage]) -> "PhotoEffect":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        wanted = self.settings
        shape = photo_transfer.GridShape.of(*source.shape[:2], cells=wanted.cells, luma_bins=wanted.luma_bins)
        equations = photo_transfer.gather_equations(source, picture, shape, smoothness=wanted.smoothness)
        if motion is not None and "equations" in before:
            earlier = before["equations"]
            steadiness = wanted.steadiness
            equations = photo_transfer.blend_equations(
                earlier, equations, motion.vectors_px, motion.valid, steadiness=steadiness
            )
        return photo_transfer.apply_maps(source, photo_transfer.solve_maps(equations)), {"equations": equations}


@dataclass(frozen=True, slots=True)
class PaletteEffect:
    """Few colours."""

    settings: PaletteConfig
    seed: int = 0
    colours: FloatImage | None = field(default=None, compare=False)
    sequential = False
    needs_fit = True

    def fit(self, pictures: Sequence[FloatImage]) -> "PaletteEffect":
        """With the colours that suit the pictures."""
        return replace(self, colours=extract_palette(pictures, self.settings.colours, seed=self.seed))

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        assert self.colours is not None, "it must learn its colours first"
        return apply_palette(picture, self.colours), {}


@dataclass(frozen=True, slots=True)
class SuperpixelsEffect:
    """Cells of average colour that move with the source."""

    settings: SuperpixelsConfig
    sequential = True
    needs_fit = False

    def fit(self, pictures: Sequence[FloatImage]) -> "SuperpixelsEffect":
        """Nothing to learn."""
        return self

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        cells, compactness = self.settings.cells, self.settings.compactness
        if motion is None or "labels" not in before:
            labels = segment_first(picture, cells, compactness)
        else:
            vectors_px, valid = motion.vectors_px, motion.valid
            labels = segment_next(picture, before["labels"], vectors_px, valid, cells=cells, compactness=compactness)
        return flatten_cells(picture, labels), {"labels": labels}


@dataclass(frozen=True, slots=True)
class EffectChain:
    """Steps one after the other, for the frames of one shot."""

    steps: tuple[Effect, ...]

    @property
    def sequential(self) -> bool:
        """Whether a frame needs the one before to be done."""
        return any(step.sequential for step in self.steps)

    @property
    def needs_fit(self) -> bool:
        """Whether some frames must be seen first."""
        return any(step.needs_fit for step in self.steps)

    def fit(self, frames: Sequence[tuple[FloatImage, FloatImage]]) -> "EffectChain":
        """The chain as it is for a shot that some frames stand for.

        Args:
            frames: pairs of a picture and its source. Each step learns from what the steps before it make of them,
                each frame by itself.
        """
        pictures, steps = [picture for picture, _ in frames], list(self.steps)
        for number, step in enumerate(steps):
            steps[number] = step.fit(pictures) if step.needs_fit else step
            if any(later.needs_fit for later in steps[number + 1 :]):
                pairs = zip(pictures, (source for _, source in frames), strict=True)
                pictures = [steps[number](picture, source, {}, None)[0] for picture, source in pairs]
        return EffectChain(tuple(steps))

    def __call__(
        self, picture: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """As `Effect`; the states of all steps in one."""
        left: dict[str, NDArray[Any]] = {}
        for number, step in enumerate(self.steps):
            mark = f"{number}."
            own = {name.removeprefix(mark): value for name, value in before.items() if name.startswith(mark)}
            picture, state = step(picture, source, own, motion)
            left |= {f"{mark}{name}": value for name, value in state.items()}
        return picture, left


def finishing_chain(config: RenderConfig) -> EffectChain:
    """What is done to rendered frames."""
    steps: list[Effect] = [KeepColoursEffect()] if config.colour.keep != "none" else []
    steps += [PhotoEffect(config.photo)] if config.photo.enabled else []
    return EffectChain((*steps, *_filters(config.filters.after, config.optimize.seed)))


def source_chain(config: RenderConfig) -> EffectChain:
    """What is done to source frames before they are rendered."""
    return EffectChain(tuple(_filters(config.filters.before, config.optimize.seed)))


def _filters(filters: Sequence[FilterConfig], seed: int) -> list[Effect]:
    return [PaletteEffect(one, seed) if isinstance(one, PaletteConfig) else SuperpixelsEffect(one) for one in filters]
