"""What the program does not do yet, measured to show whether it would pay. These parts run only by name."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from bench.gpu_check.check import Check, Size, relative_error
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import backbone, config_of, content_of, losses_and_gradient, stylizer_of, warm_start
from torch import Tensor, nn
from torch.nn import functional

from vidnst.devices.determinism import reproducible_mode
from vidnst.style.losses.objective import Objective
from vidnst.style.network.backbones import BACKBONES, ConvLayer
from vidnst.style.network.vgg import VGG19

_REPEATS = 8


def check_graphs(check: Check) -> None:
    """An evaluation with its gradient, and with its step, as a CUDA graph."""
    if check.dry:
        check.needs_cuda("CUDA graphs")
        return
    for size in ((256, 144), (640, 360), (1280, 720), (1920, 1080)):
        name = "x".join(map(str, size))
        with reproducible_mode():
            try:
                _graph(check, name, size)
            except RuntimeError as error:
                check.say(name, f"no graph: {str(error).splitlines()[0][:120]}", FAIL)
        check.tidy()


def _graph(check: Check, name: str, size: Size) -> None:
    start = warm_start(size, check.device)
    objective = stylizer_of(check, config_of(check)).objective(content_of(check, size), start=start)
    leaf = start.picture.clone().requires_grad_(True)
    gradient, mean, square = (torch.zeros_like(leaf, requires_grad=False) for _ in range(3))

    def evaluate() -> None:
        (found,) = torch.autograd.grad(objective(leaf)["total"] * leaf.numel(), leaf)
        gradient.copy_(found)

    def step() -> None:
        evaluate()
        with torch.no_grad():
            mean.lerp_(gradient, 0.1)
            square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
            leaf.add_((mean / square.sqrt().add_(1e-20)).mul_(-0.003)).clamp_(0, 1)

    evaluate()
    usual = gradient.clone()
    eager = check.shortest_seconds(lambda: _repeat(evaluate)) / _REPEATS
    replay = _captured(evaluate)
    gradient.zero_()
    replay()
    same, off = torch.equal(gradient, usual), relative_error(gradient, usual)
    graphed = check.shortest_seconds(lambda: _repeat(replay)) / _REPEATS
    replay_step = _captured(step)
    stepped = check.shortest_seconds(lambda: _repeat(replay_step)) / _REPEATS
    check.keep(**{name: {"eager_ms": eager * 1e3, "graph_ms": graphed * 1e3, "step_ms": stepped * 1e3, "same": same}})
    text = f"{eager * 1e3:.2f} ms, as a graph {graphed * 1e3:.2f}, with its step {stepped * 1e3:.2f}"
    check.judge(name, f"{text}; {'the same bytes' if same else f'off by {off:.1e}'}", same)


def _captured(work: Callable[[], None]) -> Callable[[], None]:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay


def _repeat(work: Callable[[], object]) -> None:
    for _ in range(_REPEATS):
        work()


class _ConvRelu(torch.autograd.Function):
    """A convolution with bias and ReLU, one kernel forward on a GPU; no gradient for the filters."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if x.is_cuda:
            result = torch.cudnn_convolution_relu(x, weight, bias, [1, 1], [1, 1], [1, 1], 1)
        else:
            result = functional.relu_(functional.conv2d(x, weight, bias, padding=1))
        context.save_for_backward(x, weight, result)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, weight, result = context.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, result, 0)
        return _backward_convolution(passed, x, weight), None, None


def _backward_convolution(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient to a convolution's input."""
    sizes = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, False, False])
    found: Tensor = torch.ops.aten.convolution_backward(gradient, x, weight, None, *sizes)[0]
    return found


def _fused_block(
    self: VGG19, convs: list[tuple[str, nn.Module]], layers: Collection[str], x: Tensor, *, first: bool, pooled: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """`VGG19._block` for plain convolutions with zeros around them."""
    maps: dict[str, Tensor] = {}
    if first:
        x = torch.addcmul(self.offset, x, self.factor).to(self.dtype, memory_format=torch.channels_last)
    for name, module in convs:
        x = _ConvRelu.apply(x, module.weight, module.bias)
        if name in layers:
            maps[name] = x
    return self._pool(x, 2) if pooled else x, maps


def _compiled_block() -> Callable[..., Any]:
    """`VGG19._block`, compiled for each block."""
    plain, compiled = VGG19._block, {}

    def block(self: VGG19, convs: Any, layers: Any, x: Tensor, *, first: bool, pooled: bool) -> Any:
        wanted = tuple(name for name, _ in convs if name in layers)
        key = (tuple(name for name, _ in convs), first, pooled)

        def work(x: Tensor) -> Any:
            x, maps = plain(self, list(convs), wanted, x, first=first, pooled=pooled)
            return (x, *(maps[name] for name in wanted))

        if key not in compiled:
            compiled[key] = torch.compile(work, dynamic=False)
        x, *found = compiled[key](x)
        return x, dict(zip(wanted, found, strict=True))

    return block


@contextmanager
def _blocks(block: Callable[..., Any]) -> Iterator[None]:
    """Put other blocks into the network while the block runs."""
    usual = VGG19._block
    VGG19._block = block  # type: ignore[method-assign]
    try:
        yield
    finally:
        VGG19._block = usual  # type: ignore[method-assign]


def check_fusion(check: Check) -> None:
    """Convolution, bias and ReLU in one kernel: by cuDNN, and by torch.compile."""
    if check.dry:
        check.needs_cuda("fused blocks")
        return
    for size in ((640, 360), (1280, 720)):
        start = warm_start(size, check.device)
        with reproducible_mode():
            objective = stylizer_of(check, config_of(check)).objective(content_of(check, size), start=start)
            _, usual = losses_and_gradient(objective, start.picture)
            before = _evaluation_ms(check, objective, start.picture)
            for name, block in (("cuDNN's convolution with ReLU", _fused_block), ("torch.compile", _compiled_block())):
                with _blocks(block):
                    _, found = losses_and_gradient(objective, start.picture)
                    _, twice = losses_and_gradient(objective, start.picture)
                    after = _evaluation_ms(check, objective, start.picture)
                what = f"{size[0]}x{size[1]}, {name}"
                off, same = relative_error(found, usual), torch.equal(found, twice)
                check.keep(**{what: {"before_ms": before, "after_ms": after, "off": off, "same_twice": same}})
                check.judge(what, f"{before:.2f} ms to {after:.2f}; gradient off by {off:.1e}", same)


def _evaluation_ms(check: Check, objective: Objective, picture: Tensor) -> float:
    return 1e3 * check.shortest_seconds(lambda: losses_and_gradient(objective, picture), tries=6, warm=2)


def check_layers(check: Check) -> None:
    """Each convolution at 1280x720, forward and backward to its input, in both layouts."""
    rate = (check.facts.get("card", {}).get("rates") or {}).get("bfloat16")
    for name, layout in (("channels last", torch.channels_last), ("channels first", torch.contiguous_format)):
        rows = {}
        with reproducible_mode():
            for conv in BACKBONES["vgg19"].up_to("relu2_1" if check.dry else "relu5_1"):
                rows[conv.name] = _layer(check, conv, layout, rate)
        check.keep(**{name: rows})
        totals = [sum(row[key] for row in rows.values()) for key in ("forward_ms", "backward_ms")]
        check.say(f"all convolutions, {name}", f"forward {totals[0]:.2f} ms, backward {totals[1]:.2f}")
        if rate and layout is torch.channels_last:
            for layer, row in rows.items():
                shares = f"{row['forward_share']:.0%} and {row['backward_share']:.0%} of the rate"
                check.say(layer, f"{row['forward_ms']:.3f} and {row['backward_ms']:.3f} ms, {shares}")
    check.say("backbone that is checked", backbone(check))


def _layer(check: Check, conv: ConvLayer, layout: torch.memory_format, rate: float | None) -> dict[str, float]:
    width, height = (side >> conv.block for side in check.size_720p)
    options: dict[str, Any] = {"device": check.device, "dtype": torch.bfloat16}
    x, weight, gradient = (
        torch.randn(*shape, **options).contiguous(memory_format=layout)
        for shape in (
            (1, conv.inputs, height, width),
            (conv.outputs, conv.inputs, 3, 3),
            (1, conv.outputs, height, width),
        )
    )
    bias = torch.randn(conv.outputs, **options)
    forward = check.shortest_seconds(lambda: _repeat(lambda: functional.conv2d(x, weight, bias, padding=1))) / _REPEATS
    backward = check.shortest_seconds(lambda: _repeat(lambda: _backward_convolution(gradient, x, weight))) / _REPEATS
    row = {"forward_ms": forward * 1e3, "backward_ms": backward * 1e3}
    if rate:
        operations = 2 * 9 * conv.inputs * conv.outputs * width * height
        row |= {"forward_share": operations / forward / rate, "backward_share": operations / backward / rate}
    return row
