"""The stylizer: it holds the network and the style targets, and stylizes one picture after another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidnst.config import OptimizeConfig, RenderConfig, Role, StylesConfig
from vidnst.devices.determinism import reproducible_mode
from vidnst.frames import Pixels
from vidnst.style.guidance import Guidance
from vidnst.style.initial_image import initial_image
from vidnst.style.losses import terms
from vidnst.style.losses.feature_queries import FeatureExtractor
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.losses.painted_patches import PaintedPatchLoss
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode, check_additive
from vidnst.style.minimize import OnStep, StylizeResult, minimize
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.precision import resolve_precision
from vidnst.style.network.vgg import VGG19
from vidnst.style.pyramid import relight_pass, renewal_pass, scale_sizes, split_evaluations
from vidnst.style.size_checks import check_edge_cells
from vidnst.style.staleness import release, staleness
from vidnst.style.targets.frame_targets import FrameTargets
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.tensors import from_pixels, resize


@dataclass(frozen=True, slots=True)
class _ModeSetup:
    """The network and the style targets in one memory mode."""

    network: VGG19
    targets: FrameTargets
    memory_mode: MemoryMode


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of one picture, for all of its scales."""

    setup: _ModeSetup
    seed: int
    step_scale: float | Tensor
    on_step: OnStep | None
    guidance: Guidance | None
    every_step: bool


class Stylizer:
    """Stylizes any number of pictures of any sizes with the same network and styles.

    Args:
        features: VGG19's filters, as `load_features` returns them.
        styles: pictures `(H, W, 3)` uint8 or uint16 sRGB with their weights, above 0, by which their style losses are
            averaged.
        preset: name of a preset that ships; None takes the defaults.
        config: `model`, `styles`, `losses` and `optimize` are used.
        device: device of all computations.
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
            network.scale_to_unit_means([from_pixels(pixels) for pixels, _ in styles])
        self._network = network.to(self._device)
        self._bfloat16_network: VGG19 | None = None
        self.styles = styles
        """Pictures with their weights."""
        self._setups: dict[tuple[bool, bool, int | None], _ModeSetup] = {}
        self._setup(NO_SAVINGS)

    @property
    def styles_config(self) -> StylesConfig:
        """Scales and rotations of the styles."""
        return self._config.styles

    @property
    def clip_share(self) -> float:
        """Share of the losses of a clip's training where painted keys are learned, too; else 1."""
        return self._config.keys.clip_share if self._config.keys.are_given else 1.0

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
            content: `(1, 3, H, W)` float32 sRGB in [0, 1]; left unchanged.
            start: the warm start; None starts cold, from coarse to fine.
            iterations: upper limit of the evaluations over all scales; None takes the configured number for a cold or
                a warm frame. 0 returns the start, or else the content.
            seed: of the noise in a cold start's initial image; None takes the configured one.
            step_scale: factor on the step size.
            on_step: called with the progress from time to time; may raise to cancel.
            every_step: True calls `on_step` after every evaluation of a cold start, also on a GPU, at some cost.
            guidance: the styles of each region; None applies all styles everywhere. The result shows the source where
                nothing else is to be seen, but is not blended with it where both are.
            memory_mode: memory-saving measures. The result always has the content's size; the losses are those of
                the size at which it was stylized.

        Raises:
            ConfigError: the picture is too small for the layers or for the cells of the edge loss; or the memory mode
                has tiles, and a statistic cannot be summed over them.
            NumericalError: a loss is NaN or infinite.
        """
        if iterations is None:
            iterations = self._config.evaluations(Role.COLD if start is None else Role.WARM)
        check_edge_cells(self._config.losses, height=content.shape[2], width=content.shape[3])
        content = content.detach().to(self._device)
        start = None if start is None else start.to(self._device)
        if iterations == 0:
            unchanged = content if start is None else start.picture
            return StylizeResult(unchanged.clamp(0, 1), {}, 0)
        seed = self._config.optimize.seed if seed is None else seed
        setup = self._setup(memory_mode)
        options = _Options(setup, seed, step_scale, on_step, guidance, every_step)
        size = self._scaled_size(memory_mode.scale, *content.shape[-2:])
        scaled = resize(content, *size)
        with reproducible_mode():
            if start is not None:
                result = self._warm(scaled, start.resize(*size), iterations, options)
            else:
                result = self._cold(scaled, iterations, options)
        if scaled is content:
            return result
        image = resize(result.image, *content.shape[-2:])
        unstyled = setup.targets.unstyled(guidance, *content.shape[-2:])
        return replace(result, image=image if unstyled is None else torch.where(unstyled, content, image))

    def evaluate(self, content: Tensor, picture: Tensor, guidance: Guidance | None = None) -> dict[str, float]:
        """Compute the losses of a finished picture.

        Args:
            content: `(1, 3, H, W)` float32 sRGB in [0, 1].
            picture: shaped like `content`.
            guidance: the styles of each region; None applies all styles everywhere.

        Returns:
            The values of `objective.TERMS`, as `stylize` returns them for a cold start.

        Raises:
            ConfigError: the picture is too small for the layers.
        """
        content, picture = content.detach().to(self._device), picture.detach().to(self._device)
        setup = self._setup(NO_SAVINGS)
        styles = setup.targets.at(guidance, *content.shape[-2:]).styles
        with torch.no_grad(), reproducible_mode():
            losses = Objective(setup.network, content, styles, self._config.losses)(picture)
        return {name: float(loss) for name, loss in losses.items()}

    def unstyled(self, guidance: Guidance | None, height: int, width: int) -> Tensor | None:
        """`(1, 1, H, W)` bool, where the content stays as it is; None for nowhere."""
        return self._setup(NO_SAVINGS).targets.unstyled(guidance, height, width)

    @property
    def device(self) -> torch.device:
        """The device of all computations."""
        return self._device

    def objective(
        self,
        content: Tensor,
        *,
        start: WarmStart | None = None,
        guidance: Guidance | None = None,
        memory_mode: MemoryMode = NO_SAVINGS,
    ) -> Objective:
        """The losses of pictures of one content: see `stylize` for the arguments, which must be on the device."""
        setup = self._setup(memory_mode)
        target = setup.targets.at(guidance, *content.shape[-2:])
        return Objective(
            setup.network,
            content,
            target.styles,
            self._config.losses,
            start=start,
            unstyled=target.unstyled,
            memory_mode=setup.memory_mode,
        )

    def patch_loss(self, *, memory_mode: MemoryMode = NO_SAVINGS) -> PaintedPatchLoss:
        """The distance of patches from what a person has painted."""
        keys = self._config.keys
        return PaintedPatchLoss(
            self._setup(memory_mode).network, pixels_weight=keys.pixels_weight, features_weight=keys.features_weight
        )

    def _setup(self, memory_mode: MemoryMode) -> _ModeSetup:
        """The setup of a memory mode, made once; ConfigError if a statistic cannot be summed over its tiles."""
        bfloat16 = memory_mode.bfloat16 or self._config.model.precision == "bfloat16"
        memory_mode = replace(memory_mode, bfloat16=bfloat16)
        check_additive(self._config, memory_mode)
        key = (bfloat16, memory_mode.recompute, memory_mode.tile_px)
        if key not in self._setups:
            network, losses = self._network, self._config.losses
            if bfloat16:
                network = self._bfloat16_network = self._bfloat16_network or network.to_bfloat16()
            targets = StyleTargets(
                self.styles,
                network=network,
                layers=tuple(terms.shares(losses.style_layers)),
                kinds=[kind for kind, weight in losses.style_kinds.items() if weight > 0],
                config=self._config.styles,
                memory_mode=memory_mode,
            )
            self._setups[key] = _ModeSetup(network, FrameTargets(targets, self._device), memory_mode)
        return replace(self._setups[key], memory_mode=memory_mode)

    def _scaled_size(self, scale: float, height: int, width: int) -> tuple[int, int]:
        """Height and width at a scale, neither of them too small for the network."""
        least = self._network.smallest_side_px
        return max(min(height, least), round(height * scale)), max(min(width, least), round(width * scale))

    def _warm(self, content: Tensor, start: WarmStart, iterations: int, options: _Options) -> StylizeResult:
        start, before = self._relit(start, content, options)
        stale_of, least = None, start.renew_at
        if least is not None:
            stale_of, evaluations = self._staleness(content, options)
            freed = release(stale_of(start.picture), least)
            freed = functional.interpolate(freed, content.shape[-2:], mode="bilinear", align_corners=False)
            start, before = start.released(freed), before + evaluations
        options = replace(options, step_scale=options.step_scale * start.step_share(), every_step=False)
        result = self._optimize(start.picture, content, iterations, options, start=start)
        stale = None if stale_of is None else float(stale_of(result.image).mean())
        return replace(result, evaluations=before + result.evaluations, staleness=stale)

    def _staleness(self, content: Tensor, options: _Options) -> tuple[Callable[[Tensor], Tensor], int]:
        """A function that gives the staleness of pictures of a content, and the evaluations that it took to make.

        The fresh painting that it compares them with is small, so it costs a fraction of the frame.
        """
        size, evaluations = renewal_pass(self._config, *content.shape[-2:])
        small = resize(content, *size)
        fresh = self._optimize(small, small, evaluations, replace(options, on_step=None, every_step=False))
        shares = terms.shares(self._config.losses.content_layers)
        maps_of = partial(FeatureExtractor(options.setup.network, options.setup.memory_mode).maps, layers=tuple(shares))
        with torch.no_grad():
            content_maps, fresh_maps = maps_of(small), maps_of(fresh.image)

        def stale(picture: Tensor) -> Tensor:
            with torch.no_grad():
                return staleness(maps_of(resize(picture, *size)), fresh_maps, content_maps, shares)

        return stale, fresh.evaluations

    def _relit(self, start: WarmStart, content: Tensor, options: _Options) -> tuple[WarmStart, int]:
        """Give a warm start the light of its frame; returns it with the evaluations that this took.

        A stylized picture may follow the light of its source, or keep to its style regardless, and not everywhere
        alike. So both sources are stylized, small and independently, and the local difference of their brightness is
        added to the start. The temporal term would make the optimisation of the start alone take many evaluations.
        """
        if start.before is None:
            return start, 0
        size, evaluations = relight_pass(self._config, *content.shape[-2:])
        options = replace(options, on_step=None, every_step=False)
        now, before = (
            self._optimize(source, source, evaluations, options)
            for source in (resize(content, *size), resize(start.before, *size))
        )
        change = terms.smooth(now.image - before.image, resize(start.mask, *size))
        # Smooth, and negative where it got darker: not what `resize` is for.
        change = functional.interpolate(change, content.shape[-2:], mode="bilinear", align_corners=False)
        picture = (start.picture + start.mask * change).clamp(0, 1)
        return replace(start, picture=picture, before=None), now.evaluations + before.evaluations

    def _cold(self, content: Tensor, iterations: int, options: _Options) -> StylizeResult:
        sizes = scale_sizes(self._config, *content.shape[-2:])
        budget = split_evaluations(iterations, len(sizes))
        sizes = sizes[-len(budget) :]
        picture = initial_image(resize(content, *sizes[0]), self.styles, self._config.optimize, seed=options.seed)
        done = 0
        for size, evaluations in zip(sizes, budget, strict=True):
            at_scale = replace(options, on_step=_over_all_scales(options.on_step, done, iterations))
            result = self._optimize(resize(picture, *size), resize(content, *size), evaluations, at_scale)
            picture, done = result.image, done + result.evaluations
        return replace(result, evaluations=done)

    def _optimize(
        self, picture: Tensor, content: Tensor, evaluations: int, options: _Options, *, start: WarmStart | None = None
    ) -> StylizeResult:
        setup, config = options.setup, self._config
        target = setup.targets.at(options.guidance, *content.shape[-2:])
        objective = Objective(
            setup.network,
            content,
            target.styles,
            config.losses,
            start=start,
            unstyled=target.unstyled,
            memory_mode=setup.memory_mode,
            seed=options.seed,
        )
        result = minimize(
            objective,
            picture,
            config=_with_history(config.optimize, setup.memory_mode.lbfgs_history),
            evaluations=evaluations,
            step_scale=options.step_scale,
            steady=config.optimize.steady if start is None else 0.0,
            on_step=options.on_step,
            every_step=options.every_step,
        )
        if target.unstyled is None:
            return result
        return replace(result, image=torch.where(target.unstyled, content, result.image))


def _with_history(config: OptimizeConfig, limit: int | None) -> OptimizeConfig:
    return config if limit is None else config.model_copy(update={"history": min(limit, config.history)})


def _over_all_scales(on_step: OnStep | None, done: int, limit: int) -> OnStep | None:
    """A callback that counts the evaluations of all scales."""
    if on_step is None:
        return None
    return lambda report: on_step(replace(report, evaluation=done + report.evaluation, limit=limit))
