"""Small run folders for tests of the store: their record, their plan, and finished nodes."""

from fractions import Fraction
from typing import Any

import numpy as np

from vidnst.farm.plan import Node, StateId
from vidnst.farm.schedules import chain
from vidnst.frames import Shot
from vidnst.runs import DoneRecord, Look, Manifest, RunPlan, RunStore, StyleRecord


def manifest_of(**changes: Any) -> Manifest:
    config = {
        "losses": {"style_weight": 10.0, "style_layers": {"relu1_1": 1.0}},
        "input": {"size": None},
        **changes.pop("config", {}),
    }
    styles = changes.pop("styles", (StyleRecord(path="a/starry.jpg", fingerprint="11", weight=1.0),))
    look = Look(
        config=config,
        source=changes.pop("source", "aa"),
        styles=styles,
        backbone="vgg19",
        weights=changes.pop("network", "ww"),
    )
    look = look.model_copy(update={"flow_weights": changes.pop("flow_network", "none")})
    values: dict[str, Any] = {
        "versions": {"vidnst": "0.1.0"},
        "config": config,
        "look": look,
        "sources": ("clips/bird.mp4",),
        "weights": "net/vgg19.pth",
        "output": "out.mp4",
    }
    return Manifest(**{**values, **changes})


def plan_of(frames: int) -> RunPlan:
    rate, shots = Fraction(24000, 1001), (Shot(0, frames),)
    return RunPlan(start=0, end=frames, width=7, height=5, rate=rate, schedule="chain", shots=shots)


def nodes_of(frames: int) -> list[Node]:
    return [node for node in chain(Shot(0, frames)) if isinstance(node.id, StateId)]


def picture(seed: int, height: int = 5, width: int = 7) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(seed).integers(0, 65536, (height, width, 3), np.uint16)


def complete(store: RunStore, node: Node, *, state: bool = True) -> None:
    assert isinstance(node.id, StateId)
    if state:
        store.write(states={node.id: picture(node.id.frame)})
    store.write(frames={node.id.frame: lambda path: path.write_bytes(b"png")})
    store.record_done(
        [DoneRecord(node, worker="style-0", attempt=1, losses={"total": 0.5}, evaluations=9, seconds=1.5)]
    )
