"""Where bfloat16 is at home: devices that multiply it faster than float32, and lose no time by converting."""

import torch

from vidnst.config import RenderConfig

_TENSOR_CORES = (8, 0)
"""CUDA's compute capability from which GPUs multiply bfloat16."""


def supports_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16 numbers, added up in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _TENSOR_CORES
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public name for them
    return any(bool(getattr(torch.cpu, name, bool)()) for name in known)


def resolve_precision(config: RenderConfig, device: torch.device) -> RenderConfig:
    """The configuration with a `model.precision` of bfloat16 where it is auto and the device suits; else as it is."""
    return with_bfloat16(config) if config.model.precision == "auto" and supports_bfloat16(device) else config


def with_bfloat16(config: RenderConfig) -> RenderConfig:
    """The configuration with a `model.precision` of bfloat16."""
    return config.model_copy(update={"model": config.model.model_copy(update={"precision": "bfloat16"})})
