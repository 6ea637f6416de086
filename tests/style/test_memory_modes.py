"""Ways to save memory: each against painting without it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.tensors import seeded
from torch import Tensor

from vidnst.config import RenderConfig
from vidnst.errors import ConfigError
from vidnst.style.guidance import Guidance, RegionGuidance, StyleMix
from vidnst.style.losses import feature_queries
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.memory import footprint, tiling
from vidnst.style.memory.footprint import estimate_footprint
from vidnst.style.memory.modes import MemoryMode, fallback_modes
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.targets.guide_maps import Guide
from vidnst.style.targets.style_targets import StyleTarget, StyleTargets
from vidnst.style.textures import moments_and_mmd
from vidnst.style.textures.registry import STATISTICS

Features = dict[str, NDArray[np.float32]]
Picture = NDArray[np.uint8]
HEIGHT, WIDTH, SIDE = 200, 250, 176
ADDITIVE = sorted(kind for kind, statistic in STATISTICS.items() if statistic.additive)


def config(**sections: dict[str, Any]) -> RenderConfig:
    return RenderConfig.model_validate({"model": {"backbone": "slim", "precision": "float32"}, **sections})


@pytest.fixture(scope="module")
def slim() -> Features:
    return dict(load_features(resolve_weights(None, backbone="slim"), "relu5_1", backbone="slim"))


@pytest.fixture(scope="module")
def content() -> Tensor:
    """`(1, 3, 200, 250)`: neither side a multiple of 16, waves and a little noise."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    waves = torch.stack([torch.sin(x / 9 + y / 30), torch.cos(y / 7), torch.sin((x - y) / 17)])
    return (0.5 + 0.4 * waves + 0.1 * seeded(3, HEIGHT, WIDTH, dtype=torch.float32)).clamp(0, 1)[None]


@pytest.fixture(scope="module")
def regions(painting: Picture) -> Callable[[VGG19, RenderConfig], list[StyleTarget]]:
    """Targets in two regions, one of which many tiles have nothing of."""

    def make(network: VGG19, config: RenderConfig) -> list[StyleTarget]:
        wanted = config.losses
        made = StyleTargets(
            [(painting, 1.0)], network=network, layers=wanted.style_layers, kinds=wanted.style_kinds
        ).at(HEIGHT, WIDTH)[0]
        left = torch.zeros(1, 1, HEIGHT, WIDTH)
        left[..., :70] = 1
        left[..., 70:90] = 0.4
        return [StyleTarget(share, made.textures, Guide(whole)) for share, whole in ((0.3, left), (0.7, 1 - left))]

    return make


def gradient(objective: Objective, picture: Tensor) -> tuple[Tensor, dict[str, float]]:
    picture = picture.clone().requires_grad_()
    terms = objective(picture)
    (found,) = torch.autograd.grad(terms["total"], picture)
    return found, {name: float(term.detach()) for name, term in terms.items()}


def off(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


def peak_kept(objective: Objective, picture: Tensor) -> int:
    """The most bytes that autograd keeps at a time, each storage counted once, from forward to the end of backward."""
    kept: dict[int, tuple[int, int]] = {}
    most = 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal most
            self.tensor, self.key = tensor, tensor.untyped_storage().data_ptr()
            users, size = kept.get(self.key, (0, tensor.untyped_storage().nbytes()))
            kept[self.key] = users + 1, size
            most = max(most, sum(size for _, size in kept.values()))

        def __del__(self) -> None:
            users, size = kept.pop(self.key)
            if users > 1:
                kept[self.key] = users - 1, size

    def pack(tensor: Tensor) -> Tensor | Held:
        return tensor if isinstance(tensor, torch.nn.Parameter) else Held(tensor.detach())

    def unpack(held: Tensor | Held) -> Tensor:
        return held.tensor if isinstance(held, Held) else held

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        gradient(objective, picture)
    return most


@pytest.mark.parametrize(("padding", "scale"), [("zeros", "relative"), ("zeros", "mean"), ("reflect", "gatys")])
def test_tiles_with_full_context_have_the_exact_gradient(
    padding: str, scale: str, slim: Features, content: Tensor, regions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiling.cut_tiles.__kwdefaults__ or {}, "halo_px", 80)
    wanted = config(losses={"scale": scale, "style_kinds": {"gram": 1.0, "moments": 0.5}, "tv_weight": 0})
    network = VGG19(slim, last_layer="relu5_1", padding=padding)  # type: ignore[arg-type]
    targets, picture = regions(network, wanted), seeded(1, 3, HEIGHT, WIDTH, seed=3, dtype=torch.float32)
    whole, terms = gradient(Objective(network, content, targets, wanted.losses), picture)
    tiled = Objective(network, content, targets, wanted.losses, memory_mode=MemoryMode(tile_px=240), seed=5)
    for _ in range(2):  # shifted in another way each time
        found, others = gradient(tiled, picture)
        assert off(found, whole) < 1e-3  # rounding: with 96 pixels of context it is no less
        assert others == pytest.approx(terms, rel=1e-4)


@pytest.mark.parametrize("kind", ADDITIVE)
def test_tiles_with_the_default_halo_have_nearly_the_gradient(
    kind: str, slim: Features, content: Tensor, regions: Any
) -> None:
    wanted = config(losses={"style_kinds": {kind: 1.0}})
    network = VGG19(slim, last_layer="relu5_1")
    targets, picture = regions(network, wanted), content.flip(3)
    whole, terms = gradient(Objective(network, content, targets, wanted.losses), picture)
    found, others = gradient(
        Objective(network, content, targets, wanted.losses, memory_mode=MemoryMode(tile_px=SIDE)), picture
    )
    assert 0 < off(found, whole) < 0.015
    assert others == pytest.approx(terms, rel=1e-3)


def test_tile_shifts_are_random_but_reproducible(slim: Features, content: Tensor, regions: Any) -> None:
    wanted, strip = config(), content[..., :64, :]
    network = VGG19(slim, last_layer="relu5_1")
    targets = [StyleTarget(1.0, regions(network, wanted)[0].textures)]

    def gradients(seed: int) -> list[Tensor]:
        tiled = Objective(network, strip, targets, wanted.losses, memory_mode=MemoryMode(tile_px=SIDE), seed=seed)
        return [gradient(tiled, strip.flip(3))[0] for _ in range(2)]

    first, again, other = gradients(1), gradients(1), gradients(2)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(("height", "width"), [(1, 900), (360, 640), (357, 401), (160, 161), (143, 145), (65, 1000)])
def test_cores_cover_every_pixel_once_and_borders_are_aligned(height: int, width: int) -> None:
    shifts = set()
    for number in range(8):
        covered = np.zeros((height, width), int)
        cut = tiling.cut_tiles(height, width, tile_px=SIDE, seed=(0, number), halo_px=32)
        for tile in cut:
            core, seen = tile.core, tile.seen
            covered[core.top : core.bottom, core.left : core.right] += 1
            assert not any(side % 16 for side in (core.top, core.left, seen.top, seen.left))
            assert seen.bottom - seen.top < SIDE + 16
            assert seen.right - seen.left < SIDE + 16
            assert core.bottom - core.top >= min(16, height)
            assert core.right - core.left >= min(16, width)
        assert (covered == 1).all()
        shifts.add(tuple(tile.core for tile in cut))
    assert len(shifts) > 1 or (height <= SIDE and width <= SIDE)


def test_tiles_no_larger_than_their_halos_are_refused() -> None:
    with pytest.raises(ConfigError, match="halo"):
        tiling.cut_tiles(500, 500, tile_px=128)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"losses": {"style_kinds": {"gram": 1.0, "sliced": 1.0, "wasserstein": 1.0}}},
        {
            "model": {"backbone": "slim", "padding": "replicate", "pooling": "average"},
            "losses": {"content_layers": {"relu2_1": 1.0, "relu4_2": 1.0}, "edges_weight": 1.0},
        },
    ],
)
@pytest.mark.parametrize("half", [False, True])
def test_recomputed_maps_give_the_same_bytes(
    half: bool, sections: dict[str, Any], slim: Features, painting: Picture, photo: Tensor
) -> None:
    made = Stylizer(slim, [(painting, 1.0)], config(**sections))
    left = np.zeros((64, 96), np.uint8)
    left[:, :40] = 255
    pulls = (StyleMix(1.0, ((0, 1.0),)),)
    guidance = Guidance((RegionGuidance(pulls, left), RegionGuidance(pulls, 255 - left)))
    plain, saving = (
        made.stylize(photo, iterations=3, guidance=guidance, memory_mode=MemoryMode(bfloat16=half, recompute=recompute))
        for recompute in (False, True)
    )
    assert torch.equal(plain.image, saving.image)
    assert plain.losses == saving.losses


@pytest.mark.slow
def test_bfloat16_maps_give_nearly_the_same_picture(slim: Features, painting: Picture, content: Tensor) -> None:
    made = Stylizer(slim, [(painting, 1.0)], config())
    full, half = (
        made.stylize(content, iterations=12, memory_mode=memory_mode).image
        for memory_mode in (MemoryMode(), MemoryMode(bfloat16=True))
    )
    assert half.dtype == torch.float32
    losses = [made.evaluate(content, image) for image in (full, half)]
    assert losses[1]["style"] == pytest.approx(losses[0]["style"], rel=0.02)
    assert losses[1]["content"] == pytest.approx(losses[0]["content"], rel=0.02)
    noise = (full - half).square().mean()
    assert noise > 0
    assert -10 * noise.log10() > 18  # optimisations diverge in detail: tiles without any error have some 26


@pytest.mark.parametrize("kind", sorted(STATISTICS))
def test_textures_of_bfloat16_maps_are_float32(
    kind: str, slim: Features, content: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_queries, "_BAND_VALUES", 16 * WIDTH * 5)  # in many bands
    network, guide = (
        VGG19(slim, last_layer="relu1_1").to_bfloat16(),
        Guide(seeded(1, 1, HEIGHT, WIDTH, seed=1, dtype=torch.float32)),
    )
    picture = content.clone().requires_grad_()
    request = feature_queries.StatisticsRequest(kinds=(kind,), layers=("relu1_1",), guides=(None, guide))
    statistics = feature_queries.FeatureExtractor(network)(picture, request)
    maps = network(picture, ("relu1_1",))["relu1_1"]
    assert maps.dtype == torch.bfloat16
    for index, one in enumerate((None, guide)):
        wanted = STATISTICS[kind].compute(maps.float(), None if one is None else one.at(*maps.shape[-2:]))
        found = statistics[kind, "relu1_1", index]
        gradients = [
            torch.autograd.grad(sum(p.sum() for p in t), picture, retain_graph=True)[0] for t in (found, wanted)
        ]
        for one_part, other in zip(found, wanted, strict=True):
            assert one_part.dtype == other.dtype != torch.bfloat16
            rough = kind == "gram"  # of maps with both signs, whose products cancel
            tolerance = 1e-3 * float(other.detach().abs().max()) if rough else 1e-4
            torch.testing.assert_close(one_part, other, rtol=4e-3 if rough else 1e-4, atol=tolerance)
        assert off(gradients[0], gradients[1]) < 0.02


def test_every_mode_stores_less_for_the_backward_pass(slim: Features, content: Tensor, regions: Any) -> None:
    wanted = config()
    kept = []
    for memory_mode in (
        MemoryMode(),
        MemoryMode(recompute=True),
        MemoryMode(bfloat16=True),
        MemoryMode(bfloat16=True, recompute=True),
    ):
        network = VGG19(slim, last_layer="relu5_1")
        network = network.to_bfloat16() if memory_mode.bfloat16 else network
        targets = regions(network, wanted)[:1]
        kept.append(
            peak_kept(Objective(network, content, targets, wanted.losses, memory_mode=memory_mode), content.flip(3))
        )
    whole, recomputed, half, both = kept
    assert recomputed < 0.75 * whole
    assert half < 0.7 * whole
    assert both < 0.75 * half
    network, wide = VGG19(slim, last_layer="relu5_1"), torch.cat([content[..., :96, :]] * 4, dim=3)
    made = StyleTargets([(np.zeros((64, 64, 3), np.uint8), 1.0)], network=network, layers=wanted.losses.style_layers)
    objectives = (
        Objective(network, wide, made.at(*wide.shape[-2:]), wanted.losses, memory_mode=memory_mode)
        for memory_mode in (MemoryMode(), MemoryMode(tile_px=SIDE))
    )
    whole, tiled = (peak_kept(objective, wide.flip(3)) for objective in objectives)
    assert tiled < 0.5 * whole


def test_style_pictures_are_tiled_too(slim: Features, content: Tensor) -> None:
    network, seen = VGG19(slim, last_layer="relu5_1"), []
    picture = (content[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    layers = ("relu1_1", "relu3_1", "relu5_1")

    def textures(memory_mode: MemoryMode) -> dict[str, Tensor]:
        made = StyleTargets([(picture, 1.0)], network=network, layers=layers, memory_mode=memory_mode).at(HEIGHT, WIDTH)
        return {name: texture[0] for name, texture in made[0].textures["gram"].items()}

    whole = textures(MemoryMode())
    network._convs[0].register_forward_hook(lambda _module, x, _y: seen.append(max(x[0].shape[-2:])))
    for name, found in textures(MemoryMode(tile_px=SIDE)).items():
        assert off(found, whole[name]) < 1e-3
    assert max(seen) < SIDE + 16


def test_tiles_refuse_statistics_that_are_not_additive(slim: Features, painting: Picture, photo: Tensor) -> None:
    wanted = config(losses={"style_kinds": {"gram": 1.0, "sliced": 1.0, "moments": 0.0}})
    made = Stylizer(slim, [(painting, 1.0)], wanted)
    with pytest.raises(ConfigError, match=r"sliced cannot be summed over tiles of 512"):
        made.stylize(photo, iterations=1, memory_mode=MemoryMode(tile_px=512))
    assert made.stylize(photo, iterations=2, memory_mode=MemoryMode(recompute=True)).evaluations == 2


@pytest.mark.parametrize("kind", sorted(STATISTICS))
def test_tiles_are_tried_only_for_additive_statistics(kind: str) -> None:
    def has_tiles(kinds: dict[str, float]) -> bool:
        return any(mode.tile_px for mode in fallback_modes(config(losses={"style_kinds": kinds})))

    assert has_tiles({kind: 1.0}) == STATISTICS[kind].additive
    assert has_tiles({kind: 0.0, "gram": 1.0})


def test_scaled_mode_keeps_size_and_unstyled_regions(slim: Features, painting: Picture, photo: Tensor) -> None:
    made = Stylizer(slim, [(painting, 1.0)], config())
    left = np.zeros((64, 96), np.uint8)
    left[:, :48] = 255
    guidance = Guidance((RegionGuidance((StyleMix(1.0, ((0, 1.0),)),), left), RegionGuidance((), 255 - left)))
    half = MemoryMode(scale=0.5)
    cold = made.stylize(photo, iterations=4, guidance=guidance, memory_mode=half)
    assert cold.image.shape == photo.shape
    assert torch.equal(cold.image[..., 48:], photo[..., 48:])
    assert not torch.equal(cold.image[..., :40], photo[..., :40])
    start = WarmStart(
        cold.image,
        seeded(1, 1, 64, 96, dtype=torch.float32),
        light=seeded(1, 1, 64, 96, seed=2, dtype=torch.float32) - 0.5,
        before=photo,
    )
    sizes: list[tuple[int, int]] = []
    warm = made.stylize(
        photo, start=start, iterations=2, memory_mode=half, on_step=lambda step: sizes.append((step.height, step.width))
    )
    assert set(sizes) == {(32, 48)}
    assert warm.image.shape == photo.shape
    assert made.stylize(photo, iterations=1, memory_mode=MemoryMode(scale=0.01)).image.shape == photo.shape


def test_lbfgs_history_limit_equals_configured_history(slim: Features, painting: Picture, photo: Tensor) -> None:
    def paint(history: int, memory_mode: MemoryMode) -> Tensor:
        optimize = {"optimizer": "lbfgs", "history": history}
        return (
            Stylizer(slim, [(painting, 1.0)], config(optimize=optimize))
            .stylize(photo, iterations=8, memory_mode=memory_mode)
            .image
        )

    assert torch.equal(paint(8, MemoryMode(lbfgs_history=2)), paint(2, MemoryMode()))
    assert torch.equal(paint(2, MemoryMode(lbfgs_history=5)), paint(2, MemoryMode()))
    assert not torch.equal(paint(8, MemoryMode()), paint(2, MemoryMode()))


@pytest.mark.parametrize("suits", [True, False])
def test_auto_precision_follows_the_device(
    suits: bool, slim: Features, painting: Picture, photo: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidnst.style.network.precision.supports_bfloat16", lambda device: suits)
    auto, full, half = (
        config(model={"backbone": "slim", "precision": name}) for name in ("auto", "float32", "bfloat16")
    )
    images = [Stylizer(slim, [(painting, 1.0)], one).stylize(photo, iterations=2).image for one in (auto, full, half)]
    saving = (
        Stylizer(slim, [(painting, 1.0)], auto)
        .stylize(photo, iterations=2, memory_mode=MemoryMode(bfloat16=True))
        .image
    )
    assert torch.equal(images[0], images[2 if suits else 1])
    assert torch.equal(images[2], saving)
    assert not torch.equal(images[1], images[2])
    assert any(rung.bfloat16 for rung in fallback_modes(auto))
    assert not any(rung.bfloat16 for one in (full, half) for rung in fallback_modes(one))


@pytest.mark.parametrize("backbone", ["slim", "vgg19"])
def test_footprint_never_grows_along_the_fallback_modes(backbone: str) -> None:
    wanted = config(model={"backbone": backbone}, optimize={"optimizer": "lbfgs"})
    estimates = [estimate_footprint(wanted, rung).bytes_at(3840, 2160) for rung in fallback_modes(wanted, smaller=True)]
    assert estimates == sorted(estimates, reverse=True)
    assert len(estimates) > 6
    assert estimates[-1] < estimates[0] / 8


VGG = {"backbone": "vgg19", "precision": "float32"}


@pytest.mark.parametrize(("kind", "times"), [("sliced", 2.0), ("mmd_gaussian", 2.8)])
@pytest.mark.parametrize("recompute", [False, True])
def test_footprint_counts_statistics_that_are_not_additive(kind: str, times: float, recompute: bool) -> None:
    mode = MemoryMode(recompute=recompute)
    gram, other, both = (
        estimate_footprint(config(losses={"style_kinds": kinds}, model=VGG), mode).per_pixel
        for kinds in ({"gram": 1.0}, {kind: 1.0}, {"gram": 1.0, kind: 1.0})
    )
    assert other / gram > times
    assert other == both
    unused = config(losses={"style_kinds": {"gram": 1.0, kind: 0.0}}, model=VGG)
    assert estimate_footprint(unused, mode).per_pixel == gram


def test_footprint_knows_the_number_of_frequencies() -> None:
    assert footprint.FREQUENCIES == moments_and_mmd.FREQUENCIES
