"""Chains of effects on frames before and after the stylization: colours, photo transfer, palette, superpixels."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FilterConfig, PaletteConfig, PhotoConfig, RenderConfig, SuperpixelsConfig
from vidnst.media.effects import photo_transfer
from vidnst.media.effects.colour_space import FloatImage
from vidnst.media.effects.colour_transfer import transfer_chroma
from vidnst.media.effects.labels import warp_labels
from vidnst.media.effects.palette import assign_colours, extract_palette, paint_labels
from vidnst.media.effects.superpixels import flatten_cells, segment_first, segment_next

EffectState: TypeAlias = Mapping[str, NDArray[Any]]
"""The values that an effect hands to the next frame of the shot."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Backward optical flow from a frame to the one before."""

    vectors_px: NDArray[np.float32]
    """`(H, W, 2)`, x then y: the frame shows at p what the one before shows at p + vectors[p]."""
    valid: NDArray[np.bool_]
    """`(H, W)`, where the vectors are trusted."""


class Effect(ABC):
    """One effect on every frame of a shot, applied in order of the frames."""

    sequential: ClassVar[bool] = False
    """True if a frame needs the state that the frame before left."""
    needs_fit: ClassVar[bool] = False
    """True if the effect must be fitted to some frames of the shot first."""

    def fit(self, images: Sequence[FloatImage]) -> "Effect":
        """Return the effect fitted to frames that represent a shot."""
        return self

    @abstractmethod
    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """Apply the effect; return the new image and the state for the next frame.

        Args:
            image: `(H, W, 3)` float32 sRGB in [0, 1].
            source: the source frame, of the same size.
            before: the state that the frame before left; empty for the first one.
            motion: motion from the frame before; None for the first frame, and for effects that are not sequential.
        """


@dataclass(frozen=True, slots=True)
class KeepColoursEffect(Effect):
    """Combines the image's luma with the source's chroma."""

    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        return transfer_chroma(source, image), {}


@dataclass(frozen=True, slots=True)
class PhotoEffect(Effect):
    """Puts the image's colours on the source's edges, by photo transfer."""

    settings: PhotoConfig
    sequential: ClassVar[bool] = True

    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        photo = self.settings
        shape = photo_transfer.GridShape.of(*source.shape[:2], cells=photo.cells, luma_bins=photo.luma_bins)
        equations = photo_transfer.gather_equations(source, image, shape, smoothness=photo.smoothness)
        if motion is not None and "equations" in before:
            equations = photo_transfer.blend_equations(
                before["equations"], equations, motion.vectors_px, motion.valid, steadiness=photo.steadiness
            )
        return photo_transfer.apply_maps(source, photo_transfer.solve_maps(equations)), {"equations": equations}


@dataclass(frozen=True, slots=True)
class PaletteEffect(Effect):
    """Reduces the image to a few colours, which are the same for all frames of a shot."""

    settings: PaletteConfig
    seed: int = 0
    colours: FloatImage | None = field(default=None, compare=False)
    needs_fit: ClassVar[bool] = True

    @property
    def sequential(self) -> bool:  # type: ignore[override]
        """True if pixels tend to keep the colours that they had."""
        return self.settings.steadiness > 0

    def fit(self, images: Sequence[FloatImage]) -> "PaletteEffect":
        """Return the effect with the palette of the images."""
        return replace(self, colours=extract_palette(images, self.settings.colours, seed=self.seed))

    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        assert self.colours is not None, "a palette must be fitted first"
        known = None
        if motion is not None and "labels" in before:
            known = warp_labels(before["labels"].astype(np.int32), motion.vectors_px, motion.valid)
        labels = assign_colours(image, self.colours, known, steadiness=self.settings.steadiness)
        return paint_labels(labels, self.colours), {"labels": labels.astype(np.uint8)} if self.sequential else {}


@dataclass(frozen=True, slots=True)
class SuperpixelsEffect(Effect):
    """Replaces the image by superpixels of their mean colour, which move with the source."""

    settings: SuperpixelsConfig
    sequential: ClassVar[bool] = True

    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """See `Effect`."""
        cells, compactness = self.settings.cells, self.settings.compactness
        if motion is None or "labels" not in before:
            labels = segment_first(image, cells, compactness)
        else:
            vectors_px, valid = motion.vectors_px, motion.valid
            labels = segment_next(image, before["labels"], vectors_px, valid, cells=cells, compactness=compactness)
        return flatten_cells(image, labels), {"labels": labels}


@dataclass(frozen=True, slots=True)
class EffectChain:
    """Effects applied one after the other to the frames of one shot."""

    effects: tuple[Effect, ...]

    @property
    def sequential(self) -> bool:
        """True if a frame needs the one before to be finished."""
        return any(effect.sequential for effect in self.effects)

    @property
    def needs_fit(self) -> bool:
        """True if the chain must be fitted to some frames of the shot first."""
        return any(effect.needs_fit for effect in self.effects)

    def fit(self, frames: Sequence[tuple[FloatImage, FloatImage]]) -> "EffectChain":
        """Return the chain fitted to frames that represent a shot.

        Args:
            frames: pairs of an image and its source frame. Each effect is fitted to the output of the effects before
                it, which are applied to each frame on its own.
        """
        images, effects = [image for image, _ in frames], list(self.effects)
        for number, effect in enumerate(effects):
            effects[number] = effect.fit(images)
            if any(later.needs_fit for later in effects[number + 1 :]):
                pairs = zip(images, (source for _, source in frames), strict=True)
                images = [effects[number](image, source, {}, None)[0] for image, source in pairs]
        return EffectChain(tuple(effects))

    def __call__(
        self, image: FloatImage, source: FloatImage, before: EffectState, motion: Motion | None
    ) -> tuple[FloatImage, EffectState]:
        """Apply all effects, as `Effect`; their states are merged, each under its effect's number."""
        states: dict[str, NDArray[Any]] = {}
        for number, effect in enumerate(self.effects):
            prefix = f"{number}."
            own = {name.removeprefix(prefix): value for name, value in before.items() if name.startswith(prefix)}
            image, state = effect(image, source, own, motion)
            states |= {f"{prefix}{name}": value for name, value in state.items()}
        return image, states


def finishing_chain(config: RenderConfig) -> EffectChain:
    """Return the effects on rendered frames."""
    effects: list[Effect] = [KeepColoursEffect()] if config.colour.keep != "none" else []
    effects += [PhotoEffect(config.photo)] if config.photo.enabled else []
    return EffectChain((*effects, *_filters(config.filters.after, config.optimize.seed)))


def source_chain(config: RenderConfig) -> EffectChain:
    """Return the effects on source frames before they are rendered."""
    return EffectChain(tuple(_filters(config.filters.before, config.optimize.seed)))


def _filters(filters: Sequence[FilterConfig], seed: int) -> list[Effect]:
    return [PaletteEffect(one, seed) if isinstance(one, PaletteConfig) else SuperpixelsEffect(one) for one in filters]
