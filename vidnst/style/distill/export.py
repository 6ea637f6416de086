"""Export of a trained student: a file of slim's filters in half precision, and a model card."""

import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.files.weights_file import encode_safetensors
from vidnst.style.distill.student import Student

_SMALLEST_SCALE = 1e-5
"""Directions of a head that are weaker than this share of the strongest are rounding errors."""
LICENCE = (
    "The teacher's filters are VGG19 by K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford, "
    "CC BY 4.0; these are derived from them and come under the same licence"
)


@torch.no_grad()
def slim_features(student: Student) -> dict[str, NDArray[np.float32]]:
    """Slim's filters, down to the last layer that the student learned; float32, exact in half precision.

    Heads are reduced: see `compact_head`.
    """
    features: dict[str, Tensor] = {}
    for conv, module, head in student.layers():
        features[conv.weight_key], features[conv.bias_key] = module.weight, module.bias
        if module.expand is not None:
            features[conv.expand_key] = module.expand.weight
        if head is not None:
            compact = compact_head(head.weight.flatten(1), head.bias)
            features |= dict(zip(conv.head_keys, compact, strict=True))
    return {name: values.half().float().cpu().contiguous().numpy() for name, values in features.items()}


def compact_head(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce a projection head to as few channels as keep all distances of its predictions.

    A head predicts the teacher's map W f + b from the student's f. Content and Gram losses see only inner products of
    such predictions, and those are the same for (W^T W)^1/2 f + r with one constant channel: r solves
    (W^T W)^1/2 r = W^T b, and the constant's square is |b|^2 - |r|^2. So slim's losses are those of the predicted
    VGG19, at the cost of a 1x1 convolution to K + 1 channels.

    Args:
        weight: `(C, K)`.
        bias: `(C,)`.

    Returns:
        Filters `(K + 1, K, 1, 1)`, symmetric but for the last row, which is zero, and biases `(K + 1,)`.
    """
    weight, bias = weight.double(), bias.double()
    squared, axes = torch.linalg.eigh(weight.T @ weight)
    scales = squared.clamp(min=0).sqrt()
    kept = scales > _SMALLEST_SCALE * scales.max()
    root = (axes * scales) @ axes.T
    offset = axes @ torch.where(kept, (axes.T @ (weight.T @ bias)) / scales.clamp(min=1e-30), 0.0)
    constant = (bias.square().sum() - offset.square().sum()).clamp(min=0).sqrt()
    rows = torch.cat([root, torch.zeros_like(root[:1])])
    return rows[..., None, None].float(), torch.cat([offset, constant[None]]).float()


def to_safetensors(features: Mapping[str, NDArray[np.float32]], card: Mapping[str, str]) -> bytes:
    """Encode filters in half precision as a safetensors file with `card` as metadata, reproducible to the byte."""
    halves = {name: values.astype(np.float16) for name, values in features.items()}
    return encode_safetensors(halves, {"network": "slim", **card, "licence": LICENCE})


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

VGG19's layers down to relu5_1 with a seventh of its arithmetic, in half precision: 24, 56 and 144 channels instead of
64, 128 and 256 in the first three blocks, and from the third on convolutions of low rank (40, 80 and 160). Where a
layer has fewer channels, it has a head, a 1x1 convolution, whose results have the inner products of the teacher's maps
as the student predicts them. For style transfer with `--backbone slim`; it classifies nothing.

- **Filters**: SHA-256 {fingerprint}
- **Teacher**: {teacher_file}, whose filters down to {learn_to} have the SHA-256 {teacher}. Every
  layer down to {learn_to} was fitted to the teacher's by least squares, then trained to predict its maps, on crops of
  pictures and on crops that were being stylized.
- **Command**, on {device} and {threads} threads: `{command}`
- **Settings**: `{settings}`
- **Trained on** {learned_from}
- **Held out**: {held_out}
- **Licence**: {licence}.

Quality on the held-out pictures: the median over channels of the correlation between predicted and true maps.{table}
"""
