"""One picture in the style of others: what an actor holds, and what it does with each frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.config import OptimizeConfig, RenderConfig, Role
from vidnst.determinism import deterministic_cudnn
from vidnst.frames import Pixels
from vidnst.style.guidance import Guidance
from vidnst.style.initial_image import first_guess
from vidnst.style.losses import terms
from vidnst.style.losses.laplacian import check_edge_cells
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.memory.mode_cache import ModeCache, ModeView
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.minimize import Minimum, StepReport, minimize
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.normalise_filters import scale_to_unit
from vidnst.style.network.precision import resolve_precision
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.pyramid import relit, scale_sizes, split_evaluations
from vidnst.style.tensors import from_pixels, resized, to_state

__all__ = [
    "OnStep",
    "StepReport",
    "StylizeResult",
    "Stylizer",
    "WarmStart",
    "from_pixels",
    "last_layer",
    "stylize",
    "to_state",
]

OnStep = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True)
class StylizeResult:
    """A stylized picture and how it came about."""

    image: Tensor
    """`(1, 3, H, W)` float32 sRGB in [0, 1], on the stylizer's device."""
    losses: dict[str, float]
    """Of that picture: total (weighted sum), and content, style, tv, temporal, edges without their weights. Empty
    where nothing was evaluated."""
    evaluations: int
    """Of the loss, over all scales."""


@dataclass(frozen=True, slots=True)
class _Work:
    """How one picture is painted, at any of its scales."""

    view: ModeView
    seed: int
    step_scale: float | Tensor
    on_step: OnStep | None
    guidance: Guidance | None
    every_step: bool = False


class Stylizer:
    """Holds the network and the style targets; stylizes any number of pictures of any sizes.

    Args:
        features: VGG19's filters, as `load_features` gives them.
        styles: pictures `(H, W, 3)` uint8 or uint16 sRGB with their weights, above 0: their style losses are summed,
            each with its weight over the sum of weights.
        config: `model`, `styles`, `losses` and `optimize` are read.
        device: where to compute.
    """

    def __init__(
        self,
        features: Mapping[str, NDArray[np.float32]],
        styles: Sequence[tuple[Pixels, float]],
        config: RenderConfig,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._device = torch.device(device)
        self._config = config = resolve_precision(config, self._device)
        model = config.model
        network = VGG19(features, last_layer=last_layer(config), pooling=model.pooling, padding=model.padding)
        if model.unit:
            scale_to_unit(network, [from_pixels(pixels) for pixels, _ in styles])
        self._network = network.to(self._device)
        self._styles = styles
        self._views = ModeCache(self._network, styles, config, self._device)
        self._views.under(NO_SAVINGS)

    def stylize(
        self,
        content: Tensor,
        *,
        start: WarmStart | None = None,
        iterations: int | None = None,
        seed: int | None = None,
        step_scale: float = 1.0,
        on_step: OnStep | None = None,
        every_step: bool = False,
        guidance: Guidance | None = None,
        memory_mode: MemoryMode = NO_SAVINGS,
    ) -> StylizeResult:
        """Stylize one picture. The same arguments give the same bytes on the same machine.

        Args:
            content: `(1, 3, H, W)` float32 sRGB in [0, 1]; left as it is.
            start: what a warm start begins at and is pulled toward; None starts cold, from coarse to fine.
            iterations: the most evaluations of the loss over all scales; None takes the configuration's for a cold or
                a `warm` frame. 0 gives the start, or else the content, back.
            seed: of the noise that a cold start may begin with; None takes the configuration's.
            step_scale: factor on the step size.
            on_step: progress, from time to time; may raise to cancel.
            every_step: tell `on_step` after every evaluation of a cold start, also on a GPU, which costs it some time.
            guidance: which styles pull where; None lets all pull everywhere. Where only the source is to show, the
                result holds it, but not where it is to show partly.
            memory_mode: how memory is saved. The result always has the picture's size; painted smaller, its
                losses are those of the smaller picture.

        Raises:
            ConfigError: the picture is too small for the layers, or for the cells of edges; tiles are wanted, and a
                statistic cannot be added up over them.
            NumericalError: NaN or infinity on the way.
        """
        if iterations is None:
            iterations = self._config.evaluations(Role.COLD if start is None else Role.WARM)
        check_edge_cells(self._config.losses, height=content.shape[2], width=content.shape[3])
        content = content.detach().to(self._device)
        start = None if start is None else start.to(self._device)
        if iterations == 0:
            first = content if start is None else start.picture
            return StylizeResult(first.clamp(0, 1), {}, 0)
        seed = self._config.optimize.seed if seed is None else seed
        work = _Work(self._views.under(memory_mode), seed, step_scale, on_step, guidance, every_step=every_step)
        size = self._smaller(memory_mode.scale, *content.shape[-2:])
        small = resized(content, *size)
        with deterministic_cudnn():
            if start is not None:
                found = self._warm(small, start.resized(*size), iterations, work)
            else:
                found = self._cold(small, iterations, work)
        return found if small is content else self._enlarged(found, content, work)

    def evaluate(self, content: Tensor, picture: Tensor, guidance: Guidance | None = None) -> dict[str, float]:
        """The losses of a finished picture, without changing it.

        Args:
            content: `(1, 3, H, W)` float32 sRGB in [0, 1].
            picture: shaped like `content`.
            guidance: which styles pull where; None lets all pull everywhere.

        Returns:
            The values of `objective.TERMS`, as `stylize` gives them for a cold start.

        Raises:
            ConfigError: the picture is too small for the layers.
        """
        content, picture = content.detach().to(self._device), picture.detach().to(self._device)
        view = self._views.under(NO_SAVINGS)
        target = view.targets.at(guidance, *content.shape[-2:])
        with torch.no_grad(), deterministic_cudnn():
            terms = Objective(view.network, content, target.styles, self._config.losses)(picture)
        return {name: float(term) for name, term in terms.items()}

    def _smaller(self, share: float, height: int, width: int) -> tuple[int, int]:
        """Height and width at that share of the sides, none of them too small for the network."""
        least = self._network.smallest_side_px
        return max(min(height, least), round(height * share)), max(min(width, least), round(width * share))

    def _enlarged(self, found: StylizeResult, content: Tensor, work: "_Work") -> StylizeResult:
        image = resized(found.image, *content.shape[-2:])
        unstyled = work.view.targets.unstyled(work.guidance, *content.shape[-2:])
        return replace(found, image=image if unstyled is None else torch.where(unstyled, content, image))

    def _warm(self, content: Tensor, start: WarmStart, iterations: int, work: "_Work") -> StylizeResult:
        start, tried = self._lit(start, content, work)
        at_pace = replace(work, step_scale=work.step_scale * start.pace(), every_step=False)
        found = self._refine(start.picture, content, iterations, at_pace, start=start)
        return StylizeResult(found.image, found.losses, tried + found.evaluations)

    def _lit(self, start: WarmStart, content: Tensor, work: "_Work") -> tuple[WarmStart, int]:
        """The start in the frame's light, and the evaluations that took.

        A painting may follow its source's light, or keep to its style's whatever happens, and not everywhere alike. So
        both sources are painted, small and each on its own; by what one is brighter than the other around every place,
        the start is made brighter. On its own the optimisation of a start that is held would take many evaluations.
        """
        if start.before is None:
            return start, 0
        size, evaluations = relit(self._config, *content.shape[-2:])
        quiet = replace(work, on_step=None, every_step=False)
        painted = [
            self._refine(picture, picture, evaluations, quiet)
            for picture in (resized(content, *size), resized(start.before, *size))
        ]
        change = terms.smooth(painted[0].image - painted[1].image, resized(start.mask, *size))
        # Smooth, and below zero where it has grown darker: nothing that `resized` is for.
        change = functional.interpolate(change, content.shape[-2:], mode="bilinear", align_corners=False)
        lit = start.picture + start.mask * change
        return replace(start, picture=lit.clamp(0, 1), before=None), sum(found.evaluations for found in painted)

    def _cold(self, content: Tensor, iterations: int, work: "_Work") -> StylizeResult:
        sizes = scale_sizes(self._config, *content.shape[-2:])
        budget = split_evaluations(iterations, len(sizes))
        sizes = sizes[-len(budget) :]
        picture = first_guess(resized(content, *sizes[0]), self._styles, self._config.optimize, seed=work.seed)
        done = 0
        for size, evaluations in zip(sizes, budget, strict=True):
            at_scale = replace(work, on_step=_shifted(work.on_step, done, iterations))
            found = self._refine(resized(picture, *size), resized(content, *size), evaluations, at_scale)
            picture, done = found.image, done + found.evaluations
        return StylizeResult(picture, found.losses, done)

    def _refine(
        self, picture: Tensor, content: Tensor, evaluations: int, work: "_Work", *, start: WarmStart | None = None
    ) -> Minimum:
        view = work.view
        target = view.targets.at(work.guidance, *content.shape[-2:])
        objective = Objective(
            view.network,
            content,
            target.styles,
            self._config.losses,
            start=start,
            unstyled=target.unstyled,
            memory_mode=view.memory_mode,
            seed=work.seed,
        )
        found = minimize(
            objective,
            picture,
            config=_remembering(self._config.optimize, view.memory_mode.lbfgs_history),
            evaluations=evaluations,
            step_scale=work.step_scale,
            steady=self._config.optimize.steady if start is None else 0.0,
            on_step=work.on_step,
            every_step=work.every_step,
        )
        return (
            found
            if target.unstyled is None
            else replace(found, image=torch.where(target.unstyled, content, found.image))
        )


def _remembering(config: OptimizeConfig, history: int | None) -> OptimizeConfig:
    return config if history is None else config.model_copy(update={"history": min(history, config.history)})


def _shifted(on_step: OnStep | None, done: int, limit: int) -> OnStep | None:
    """A callback that counts evaluations over all scales."""
    if on_step is None:
        return None
    return lambda report: on_step(replace(report, evaluation=done + report.evaluation, limit=limit))


def stylize(
    content: Tensor,
    style: Tensor | Sequence[tuple[Tensor, float]],
    *,
    config: RenderConfig | None = None,
    features: Mapping[str, NDArray[np.float32]] | None = None,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """One picture in the style of another, or of several.

    Args:
        content: `(3, H, W)` or `(1, 3, H, W)` float32 sRGB in RGB order, in [0, 1].
        style: a picture like `content` of any size, or pictures with their weights.
        config: everything that can be decided; None takes the defaults.
        features: VGG19's filters; None loads those that `config.model.weights` names (see `resolve_weights`).
        device: where to compute; None takes a GPU where there is one.
        on_step: progress, from time to time; may raise to cancel.

    Returns:
        A picture shaped like `content`, on the CPU.

    Raises:
        WeightsError: no usable weights.
        ConfigError: the picture is too small for the layers.
        NumericalError: NaN or infinity on the way.
    """
    config = RenderConfig() if config is None else config
    if features is None:
        backbone = config.model.backbone
        found = resolve_weights(config.model.weights, backbone=backbone)
        features = load_features(found, last_layer(config), backbone=backbone)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    pairs = [(style, 1.0)] if isinstance(style, Tensor) else list(style)
    pictures = [(to_state(picture.reshape(1, *picture.shape[-3:])), weight) for picture, weight in pairs]
    stylizer = Stylizer(features, pictures, config, device=device)
    result = stylizer.stylize(content.reshape(1, *content.shape[-3:]), on_step=on_step)
    return result.image.reshape(content.shape).cpu()
