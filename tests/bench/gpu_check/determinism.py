"""The same bytes every time: twice, with recomputed maps, with each optimizer; and tiles close to the whole."""

import torch
from bench.gpu_check.check import Check, gib, relative_error
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import KINDS, config_of, content_of, losses_and_gradient, stylizer_of, warm_start

from vidnst.devices.determinism import reproducible_mode
from vidnst.style.memory.modes import MemoryMode

_SIDES = {True: (208,), False: (1024, 512)}
"""Of tiles, in a dry run or not."""


def check_repeat(check: Check) -> None:
    """Paint twice, and compare the bytes."""
    size = (48, 32) if check.dry else (192, 128)
    content = content_of(check, size)
    for kind in KINDS:
        losses = {"style_kinds": {kind: 1.0}, "edges_weight": 1.0}
        stylizer = stylizer_of(check, config_of(check, losses=losses))
        one, two = (stylizer.stylize(content, iterations=2 if check.dry else 12).image for _ in range(2))
        _compare(check, f"twice, {kind}", one, two)
    for padding in ("replicate", "reflect"):  # their gradients are sums in no fixed order in some libraries
        stylizer = stylizer_of(check, config_of(check, model={"padding": padding}))
        one, two = (stylizer.stylize(content, iterations=2 if check.dry else 12).image for _ in range(2))
        _compare(check, f"twice, padding {padding}", one, two)
    _lbfgs(check, content)
    _large(check)


def _lbfgs(check: Check, content: torch.Tensor) -> None:
    stylizer = stylizer_of(check, config_of(check, optimize={"optimizer": "lbfgs"}))
    first = stylizer.stylize(content, iterations=1).losses["total"]
    runs = [stylizer.stylize(content, iterations=8 if check.dry else 20) for _ in range(2)]
    _compare(check, "twice, L-BFGS", runs[0].image, runs[1].image)
    fell = runs[0].losses["total"] / first
    check.judge("L-BFGS", f"the loss falls to {fell:.2f} of the first", fell < 0.95, bad=FAIL)


def _large(check: Check) -> None:
    size = check.size_720p
    content, start = content_of(check, size), warm_start(size, check.device)
    stylizer = stylizer_of(check, config_of(check))
    count = 2 if check.dry else 6
    one, two = (stylizer.stylize(content, start=start, iterations=count).image for _ in range(2))
    name = "x".join(map(str, size))
    _compare(check, f"twice at {name}", one, two)
    mode = MemoryMode(recompute=True)
    again = stylizer.stylize(content, start=start, iterations=count, memory_mode=mode).image
    _compare(check, f"recomputed maps at {name}", one, again)
    _tiles(check)
    if not check.dry:
        _tiles_at_4k(check)


def _tiles(check: Check) -> None:
    size = (240, 176) if check.dry else check.size_720p
    content, start = content_of(check, size), warm_start(size, check.device)
    stylizer = stylizer_of(check, config_of(check, model={"precision": "float32"}))
    with reproducible_mode():
        _, whole = losses_and_gradient(stylizer.objective(content, start=start), start.picture)
        for side in _SIDES[check.dry]:
            objective = stylizer.objective(content, start=start, memory_mode=MemoryMode(tile_px=side))
            _, tiled = losses_and_gradient(objective, start.picture)
            off = relative_error(tiled, whole)
            check.judge(f"tiles of {side}: gradient against the whole", f"{off:.2%} off", off < 0.03)


def _tiles_at_4k(check: Check) -> None:
    """What tiles cost where they are needed."""
    stylizer = stylizer_of(check, config_of(check))
    big = content_of(check, (3840, 2160))
    for name, mode in (("whole", MemoryMode()), ("tiles of 1024", MemoryMode(tile_px=1024))):
        with reproducible_mode():
            objective = stylizer.objective(big, memory_mode=mode)
            seconds = check.shortest_seconds(lambda o=objective: losses_and_gradient(o, big), tries=2)  # type: ignore[misc]
            peak = check.peak_gib(lambda o=objective: losses_and_gradient(o, big))  # type: ignore[misc]
        del objective
        check.say(f"3840x2160, {name}", f"{seconds * 1e3:.0f} ms an evaluation, {gib(peak)}")


def _compare(check: Check, what: str, one: torch.Tensor, other: torch.Tensor) -> None:
    same = torch.equal(one, other)
    text = "the same bytes" if same else f"differs by up to {float((one - other).abs().max()):.1e}"
    check.judge(what, text, same, bad=FAIL)
