"""What there is to say about the GPUs before workers start on them. Imports torch when it is asked."""

import os
from collections.abc import Sequence

from vidnst.config import FarmConfig
from vidnst.devices.gpus import check_cards
from vidnst.errors import FarmError


def check_gpus(farm: FarmConfig) -> tuple[str, ...]:
    """Check the GPUs that a render with these settings would use on this machine; returns what the user should know.

    The workers of a cluster check those of their own machines.

    Raises:
        FarmError: one of them cannot be used, or the settings want one and there is none.
    """
    if farm.device == "cpu" or joins_cluster(farm):
        return ()
    cards = check_cards()
    if farm.device == "cuda" and not cards:
        raise FarmError("farm.device is cuda, and there is no GPU", "run `vidnst doctor`, or set farm.device=cpu")
    names = [card.name for card in cards]
    if farm.executor == "inline":
        return (_inline_note(names),) if len(names) > 1 else ()
    return mixed_kinds_note(names)


def joins_cluster(farm: FarmConfig) -> bool:
    """True if workers run wherever a cluster has room for them."""
    address = farm.address or os.environ.get("RAY_ADDRESS") or "local"
    return farm.executor == "ray" and address != "local"


def mixed_kinds_note(names: Sequence[str]) -> tuple[str, ...]:
    """The note for workers on unlike GPUs; none if the names are all equal."""
    kinds = tuple(dict.fromkeys(names))
    if len(kinds) < 2:
        return ()
    return (
        f"the GPUs are of {len(kinds)} kinds ({', '.join(kinds)}), and frames of one shot are painted on all of them: "
        "they differ by more than those of one kind, least with --set model.precision=float32",
    )


def _inline_note(names: Sequence[str]) -> str:
    return (
        f"with farm.executor=inline only the first of {len(names)} GPUs paints ({names[0]}); "
        "leave the executor as it is by default, ray, to use all of them"
    )
