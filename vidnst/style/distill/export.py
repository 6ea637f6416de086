"""Export of a trained student: a file of slim's filters in half precision, and a model card."""

import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from vidnst.style.distill.student import Student, bias_of
from vidnst.style.network.backbones import SLIM_BACKBONE
from vidnst.style.network.random_filters import random_features

_ACTIVE_SHARE = 0.85
"""Share of positions at which a channel of the random layers is above zero. On top of learned filters they should pass
on most of their input: with the share for random filters alone (0.6), strokes and content get lost."""
LICENCE = (
    "The teacher's filters are VGG19 by K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford, "
    "CC BY 4.0; these are derived from them and come under the same licence"
)


@torch.no_grad()
def slim_features(student: Student, x: Tensor, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """All of slim's filters: the student's down to its last layer, and below that random ones calibrated on top of it.

    The learned layers are scaled to a mean activation of 1, like the random ones; the next layer is scaled back (ReLU
    is homogeneous), so nothing else changes.

    Args:
        student: a trained one.
        x: `(N, 3, H, W)` float32 sRGB in [0, 1], pictures over which activations are averaged.
        seed: of the random filters.

    Returns:
        Filters named like torchvision's, float32 with values that are exact in half precision.
    """
    means = {name: float(maps.mean()) for name, maps in student(x).items()}
    learned: dict[str, NDArray[np.float32]] = {}
    before = 1.0
    for conv, module, _ in student.layers():
        after = 1 / max(means[conv.name], 1e-6)
        learned[conv.weight_key] = _half(module.weight * (after / before))
        learned[conv.bias_key] = _half(bias_of(module) * after)
        before = after
    active = dict.fromkeys((conv.name for conv in SLIM_BACKBONE.layers), _ACTIVE_SHARE)
    features = random_features(
        SLIM_BACKBONE.layers[-1].name, seed, backbone=SLIM_BACKBONE, learned=learned, active=active
    )
    return {name: values.astype(np.float16).astype(np.float32) for name, values in features.items()}


def _half(values: Tensor) -> NDArray[np.float32]:
    return values.half().float().contiguous().numpy()


def to_safetensors(features: Mapping[str, NDArray[np.float32]], card: Mapping[str, str]) -> bytes:
    """Encode filters in half precision as a safetensors file with `card` as metadata, reproducible to the byte."""
    halves = {name: values.astype(np.float16) for name, values in features.items()}
    data = save(halves, metadata={"network": "slim", **card, "licence": LICENCE})
    # The library writes the metadata in random order, so the header is rewritten in sorted order.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors must begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + data[end:]


def card_text(file: str, fingerprint: str, notes: Mapping[str, str]) -> str:
    """The model card, in Markdown.

    Args:
        file: name of the file.
        fingerprint: of its filters.
        notes: the file's metadata.
    """
    correlations = json.loads(notes["likeness"])
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in correlations.items())
    table = f"\n\n| layer | correlation |\n|---|---|\n{rows}" if correlations else " Nothing was held out."
    learn_to = json.loads(notes["settings"])["learn_to"]
    return _CARD.format(file=file, fingerprint=fingerprint, table=table, learn_to=learn_to, **notes)


_CARD = """# {file}

VGG19's order of layers with a quarter of its channels (16, 16, 32, 32, 64 four times, 128 five times),
down to relu5_1: a sixteenth of the arithmetic, half precision. For style transfer with `--backbone slim`; it
classifies nothing.

- **Filters**: SHA-256 {fingerprint}
- **Teacher**: {teacher_file}, whose filters down to {learn_to} have the SHA-256 {teacher}. Down to {learn_to} every
  layer was trained to predict the teacher's through a 1x1 projection head (not included), on crops of pictures and on
  crops that were being stylized. Deeper layers are random, calibrated on top of them.
- **Command**, on {threads} threads: `{command}`
- **Settings**: `{settings}`
- **Trained on** {learned_from}
- **Held out**: {held_out}
- **Licence**: {licence}.

Quality on the held-out pictures: the median over channels of the correlation between predicted and true maps.{table}
"""
