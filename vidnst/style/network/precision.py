"""Resolution of the `auto` precision: bfloat16 on devices that multiply it faster than float32.

Only feature maps are ever bfloat16; pixels, textures, losses and their gradients are float32.
"""

import torch

from vidnst.config import RenderConfig

_TENSOR_CORES = (8, 0)
"""CUDA's compute capability from which GPUs multiply bfloat16."""


def supports_bfloat16(device: torch.device) -> bool:
    """True if a device has instructions for bfloat16 products with float32 sums."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _TENSOR_CORES
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name for them
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def resolve_precision(config: RenderConfig, device: torch.device) -> RenderConfig:
    """Replace a `model.precision` of auto by bfloat16 if the device supports it; otherwise return the configuration."""
    if config.model.precision == "auto" and supports_bfloat16(device):
        return with_bfloat16(config)
    return config


def with_bfloat16(config: RenderConfig) -> RenderConfig:
    """The configuration with a `model.precision` of bfloat16."""
    return config.model_copy(update={"model": config.model.model_copy(update={"precision": "bfloat16"})})
