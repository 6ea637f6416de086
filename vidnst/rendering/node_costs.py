"""What nodes cost, in evaluations of a whole frame: how much longer one takes than another, whatever the machine.

An evaluation is a pass through the backbone and back, without the gradients of its filters: twice the arithmetic of the
pass forward. A node's last evaluation has no way back, and that makes up for the features of its content.
"""

from vidnst.config import RenderConfig, Role
from vidnst.farm.plan import NetworkId, Node, evaluations
from vidnst.style.network.backbones import BACKBONES, last_layer
from vidnst.style.pyramid import renewal_pass, scale_sizes, split_evaluations

_TRAINED_PASSES = 3
"""Arithmetic of a step over a network's pass forward: gradients of maps and of filters cost as much again, each."""
_LEAST_COST = 0.01


def cost_of(config: RenderConfig, node: Node, width: int, height: int, *, training_speed: float = 1.0) -> float:
    """Return the most evaluations of a whole frame that a node is worth.

    Args:
        config: the settings.
        node: a node that paints, trains or restyles.
        width, height: of the frames, in pixels.
        training_speed: how many times faster a training's workers compute, since they use more threads.
    """
    if isinstance(node.id, NetworkId):
        return max(_LEAST_COST, _training_cost(config, node.id.stage, width, height) / training_speed)
    if node.role is Role.PAINT:
        return max(_LEAST_COST, network_share(config) / 2)
    most = evaluations(config, node)
    if not most:
        return _LEAST_COST
    if node.role is Role.COLD:
        sizes = scale_sizes(config, height, width)
        counts = split_evaluations(most, len(sizes))
        areas = [one * two / (height * width) for one, two in sizes[-len(counts) :]]
        return max(_LEAST_COST, sum(count * area for count, area in zip(counts, areas, strict=True)))
    if len(node.sources) == 1 and config.motion.renew_at is not None:
        (small_height, small_width), more = renewal_pass(config, height, width)
        return most + more * small_height * small_width / (height * width)
    return float(most)


def network_share(config: RenderConfig) -> float:
    """Return the arithmetic of painting a frame with a network, over that of a pass through the backbone."""
    from vidnst.style.transform.network import multiply_adds_per_pixel

    side = 256
    backbone = BACKBONES[config.model.backbone].flops(side, side, last_layer(config)) / (2 * side * side)
    return multiply_adds_per_pixel() / backbone


def _training_cost(config: RenderConfig, stage: int, width: int, height: int) -> float:
    """The cost of a stage: steps on crops, each a painting that is judged, and later also the painting of a neighbour.

    The first stage takes the statistics of frames.
    """
    training, painting = config.schedule.training, network_share(config) / 2
    share = min(width, training.crop) * min(height, training.crop) / (width * height)
    if stage == 1:
        return share * painting * 2 * training.pairs
    steps, before = training.steps_of(stage), training.steps_before(stage)
    alone = min(max(0, training.alone * training.steps - before), steps)
    judged = steps * (1 + _TRAINED_PASSES * painting) + (steps - alone) * painting
    contents = 2 * training.pairs / 2  # of each frame the content's features, which is half an evaluation
    return share * (judged + contents)
