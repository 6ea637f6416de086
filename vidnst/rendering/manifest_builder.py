"""The record of a request: what identifies a render, and how to repeat it."""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.frames import ClipInfo
from vidnst.media.input.fingerprint import fingerprint
from vidnst.rendering.given_keys import absolute_keys
from vidnst.rendering.sound_check import CheckedSound, style_path
from vidnst.rendering.styles.regions import absolute_masks
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.runs import Look, Manifest, StyleRecord
from vidnst.runs.request import Request
from vidnst.style.network.backbones import WEIGHTS_NAMES

if TYPE_CHECKING:  # it brings torch
    from vidnst.style.transform.network_file import NetworkFile


def build_manifest(
    request: Request,
    clip: ClipInfo,
    styles: Sequence[StylePicture],
    marks: tuple[dict[str, str], dict[str, str]],
    weights: Path | Literal["random"] | None,
    features: Mapping[str, NDArray[np.float32]] | None,
    raft: Mapping[str, NDArray[np.float32]] | None,
    network: "NetworkFile | None",
    sound: CheckedSound | None,
) -> Manifest:
    """Return the manifest of a request whose inputs have been read.

    Args:
        marks: fingerprints of the regions' masks by their names, and of the painted keys by their frames.
        weights: where the backbone's filters come from; None if nothing is stylized.
        features, raft: the weights of the backbone and of RAFT, if they are used.
        network: the transform network that was given.
        sound: the soundtrack, if it is restyled.
    """
    config = request.config
    records = tuple(StyleRecord(fingerprint=style.fingerprint, **asdict(style.style)) for style in styles)
    look = Look(
        config=config.look(),
        source=fingerprint(clip.paths),
        styles=records,
        masks=marks[0],
        keys=marks[1],
        backbone=config.model.backbone,
        weights=weights_print(features),
        flow_weights=weights_print(raft),
        network=_network_fingerprint(network, config),
        sound=sound.fingerprint if sound is not None else "none",
    )
    sources = [request.source] if isinstance(request.source, (str, Path)) else request.source
    spec, raft_spec = config.model.weights, config.motion.raft_weights
    return Manifest(
        versions={name: _version(name) for name in ("vidnst", "torch", "opencv-python", "numpy", "scikit-image")},
        config=_portable_config(config),
        look=look,
        sources=tuple(_absolute(part) for part in sources),
        weights=_absolute(spec) if spec not in (None, *WEIGHTS_NAMES) else spec,
        weights_title=_weights_title(weights),
        raft_weights=_absolute(raft_spec) if raft_spec is not None else None,
        network=_absolute(config.model.network) if config.model.network is not None else None,
        output=_absolute(request.output),
    )


def _network_fingerprint(network: "NetworkFile | None", config: RenderConfig) -> str:
    """Return the fingerprint of the network that paints the frames, or that its training starts from."""
    if network is not None:
        return network.fingerprint
    if config.schedule.kind != "network" or config.schedule.training.start != "pretrained":
        return "none"
    from vidnst.style.transform.pretrained import PRETRAINED_FILE, read_pretrained

    return read_pretrained(PRETRAINED_FILE).fingerprint


def _portable_config(config: RenderConfig) -> dict[str, Any]:
    """Return the configuration as JSON values that mean the same from any working directory."""
    values = config.model_dump(mode="json")
    values["regions"]["masks"] = absolute_masks(config)
    values["audio"]["style"] = style_path(config)
    values["keys"] = absolute_keys(config)
    return values


def _weights_title(weights: Path | Literal["random"] | None) -> str:
    if weights is None:
        return "none"
    from vidnst.style.network.weights import weights_title

    return weights_title(weights)


def weights_print(weights: Mapping[str, NDArray[np.float32]] | None) -> str:
    """Return the fingerprint of weights in a record; `none` without weights."""
    if weights is None:
        return "none"
    from vidnst.files.weights_file import weights_fingerprint

    return weights_fingerprint(weights)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # another build of the same library, or a checkout on the path
        return "unknown"
