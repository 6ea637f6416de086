"""The weights of the networks that paint and estimate motion: found, read, and compared with a run's record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.config.authority import AUTHORITIES
from vidnst.errors import ConfigError, WeightsError
from vidnst.events import OnEvent, Stage, ignore
from vidnst.rendering.manifest_builder import weights_print
from vidnst.rendering.styles.style_spec import StylePicture, needs_guidance
from vidnst.runs.manifest import Look
from vidnst.style.network.backbones import last_layer

if TYPE_CHECKING:  # it brings torch
    from vidnst.style.transform.network_file import NetworkFile


def read_network(styles: Sequence[StylePicture], config: RenderConfig) -> "NetworkFile | None":
    """Read the transform network that was given.

    Raises:
        ConfigError: no frame would be painted by it, or it has another number of styles.
        WeightsError: the file cannot be used.
    """
    if config.model.network is None:
        return None
    if config.schedule.kind != "network":
        raise ConfigError(
            f"model.network {config.model.network} needs schedule.kind network, not {config.schedule.kind}",
            "add --engine network, or leave the network out",
        )
    from vidnst.style.transform.network_file import read_network_file

    network = read_network_file(Path(config.model.network).expanduser())
    wanted = len(styles) if needs_guidance(styles, config) else 1
    if network.styles != wanted:
        raise ConfigError(
            f"{config.model.network} has learned {network.styles} styles, and this render needs {wanted}",
            "give the styles that it was trained with, or train one with these",
        )
    return network


def read_features(
    config: RenderConfig, *, digest: str | None = None, on_event: OnEvent = ignore
) -> dict[str, NDArray[np.float32]]:
    """Find and read the backbone's filters up to the deepest layer that the losses use.

    Args:
        config: the settings.
        digest: fingerprint that they must have; None for any.
        on_event: hears of a download.

    Raises:
        WeightsError: they cannot be used, or are others.
    """
    features = load_weights(find_weights(config, on_event=on_event), config)
    if digest is not None:
        check_digest("model.weights", weights_print(features), digest)
    return features


def check_digest(key: str, found: str, recorded: str) -> None:
    """Make sure that a file which only the record of a run names still has the contents that it had in that run.

    Raises:
        WeightsError: it has others.
    """
    if found != recorded:
        raise WeightsError(
            f"the file of {key} that the record of the run names does not hold what it held in that run",
            f"put the file back, or give {AUTHORITIES[key].option} yourself",
        )


def find_weights(config: RenderConfig, *, on_event: OnEvent = ignore) -> Path | Literal["random"]:
    """Find the backbone's filters; download VGG19's if they are nowhere."""
    from vidnst.style.network.weights import resolve_weights

    def report(done: int, total: int | None) -> None:
        on_event(Stage("weights", done, total))

    return resolve_weights(config.model.weights, backbone=config.model.backbone, on_progress=report)


def load_weights(weights: Path | Literal["random"], config: RenderConfig) -> dict[str, NDArray[np.float32]]:
    from vidnst.style.network.weights import load_features

    return load_features(weights, last_layer(config), backbone=config.model.backbone)


def read_raft(config: RenderConfig, *, on_event: OnEvent = ignore) -> dict[str, NDArray[np.float32]] | None:
    """Read RAFT's weights, downloading them if they are nowhere; None if the settings need no flow from RAFT."""
    if config.motion.method != "raft" or config.schedule.kind == "independent":
        return None
    from vidnst.motion.raft import load_raft_weights, resolve_raft_weights

    def report(done: int, total: int | None) -> None:
        on_event(Stage("weights", done, total))

    return load_raft_weights(resolve_raft_weights(config.motion.raft_weights, on_progress=report))


def check_digests(digests: Mapping[str, str], look: Look) -> None:
    """Make sure that the files that only the record of a run names have the contents that they had in that run.

    Raises:
        WeightsError: one of them has others.
    """
    found = {"model.weights": look.weights, "model.network": look.network, "motion.raft_weights": look.flow_weights}
    for key, digest in digests.items():
        check_digest(key, found[key], digest)
