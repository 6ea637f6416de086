"""Pretrains the transform network that ships: reads the pictures, trains, and writes its file and a model card."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vidnst.config import LossConfig
from vidnst.errors import SourceError
from vidnst.events import Cancelled, OnEvent, ignore
from vidnst.farm.workers import pick_device
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.files.weights_file import weights_fingerprint
from vidnst.media.draw.drawn_styles import drawn_style
from vidnst.style.network.backbones import deepest
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import SLIM_FILE, load_features, resolve_weights
from vidnst.style.transform.pretrained import PretrainedNetwork, encode_pretrained, read_pretrained
from vidnst.style.transform.pretraining import Pretraining, PretrainSettings
from vidnst.tools.checkpoints import Checkpoint, check_network_output, check_spared, train_with_checkpoints
from vidnst.tools.training_images import NamedImage, images_digest, read_images

_SHOWN = ("style", "content")
"""Losses that are shown during the training."""


@dataclass(frozen=True, slots=True)
class PretrainRequest:
    """The user's settings of a pretraining."""

    contents: tuple[str, ...]
    """Folders, globs, pictures and clips to paint."""
    styles: tuple[str, ...]
    """Folders, globs, pictures and clips whose styles it learns to paint."""
    output: Path
    """A safetensors file; its model card is written next to it as Markdown."""
    settings: PretrainSettings
    weights: str | None = None
    """VGG19's weights, as for a render."""
    held_out: tuple[str, ...] = ()
    """Patterns of file names that are left out."""
    clip_frames: int = 8
    """Number of evenly spread frames taken from each clip."""
    threads: int | None = None
    """Threads of torch; None leaves them as they are. Rounding depends on their number."""
    device: str = "auto"
    """Where it trains: `cpu`, `cuda`, or `auto` for a GPU if there is one. Rounding depends on it."""
    command: str = ""
    """The command line, for the model card."""


def pretrain(
    request: PretrainRequest,
    *,
    overwrite: bool = False,
    restart: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> PretrainedNetwork:
    """Train the network and write its file; resumes from the checkpoint next to it, to the same bytes.

    Raises:
        VidnstError: a picture or the output cannot be used, the output or its card exists and neither `overwrite` nor
            `restart` is set, or the checkpoint is of another network.
        CancelledError: `cancelled` returned True; the same request resumes.
    """
    check_network_output(request.output, overwrite=overwrite or restart)
    device = pick_device(request.device, setting="--device")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    contents, styles = (
        read_images(texts, held_out=request.held_out, clip_frames=request.clip_frames, on_event=on_event)[0]
        for texts in (request.contents, request.styles)
    )
    if not styles:
        raise SourceError("there are no styles to learn", "give --styles a folder that has some")
    losses = LossConfig()
    last_layer = deepest((*losses.style_layers, *losses.content_layers))
    slim = load_features(SLIM_FILE, last_layer, backbone="slim")
    weights = resolve_weights(request.weights)
    check_spared(request.output, (*request.contents, *request.styles, str(SLIM_FILE)), weights)
    vgg19 = load_features(weights, last_layer)
    training = Pretraining(
        VGG19(slim, last_layer=last_layer).to(device),
        VGG19(vgg19, last_layer=last_layer).to(device),
        [image.pixels for image in contents],
        [image.pixels for image in styles],
        drawn_style,
        request.settings,
    )
    notes = {
        "contents_digest": images_digest(contents),
        "styles_digest": images_digest(styles),
        "slim": weights_fingerprint(slim),
        "vgg19": weights_fingerprint(vgg19),
        "settings": json.dumps(dataclasses.asdict(request.settings)),
        "threads": str(torch.get_num_threads()),
        "device": device.type,
    }
    checkpoint = Checkpoint(request.output.with_suffix(".checkpoint.safetensors"), network="pretraining", notes=notes)
    if not restart:
        checkpoint.restore(training)
    train_with_checkpoints(
        training,
        partial(_advance, training),
        steps=request.settings.steps,
        checkpoint=checkpoint,
        on_event=on_event,
        cancelled=cancelled,
    )
    card = {
        **notes,
        "contents": _names(contents),
        "styles": _names(styles),
        "held_out": ", ".join(request.held_out) or "none",
        "command": request.command,
    }
    write_bytes_atomically(request.output, encode_pretrained(training.network, training.predictor, card))
    network = read_pretrained(request.output)
    text = _card_text(request.output.name, network)
    write_bytes_atomically(request.output.with_suffix(".md"), text.encode())
    return network


def _advance(training: Pretraining) -> tuple[float, dict[str, float]]:
    losses = training.advance()
    return losses["total"], {name: losses[name] for name in _SHOWN}


def _card_text(file: str, network: PretrainedNetwork) -> str:
    """The model card, in Markdown."""
    notes = network.notes
    return f"""# {file}

A transform network that paints frames in one pass, and a predictor that reads the scales and shifts of its
normalisations off a style picture: {_count(network.network)} and {_count(network.predictor)} values in half precision.
It is what `--engine instant` paints with, and where the short training of `--preset draft` starts.

- **Values**: SHA-256 {network.fingerprint}
- **Training**: from nothing, by the losses of a render. Slim judged the first steps, and VGG19 the last; the SHA-256 of
  their filters are {notes["slim"]} and {notes["vgg19"]}.
- **Command**, on {notes["device"]} and {notes["threads"]} threads: `{notes["command"]}`
- **Settings**: `{notes["settings"]}`
- **Contents**: {notes["contents"]}
- **Styles**: {notes["styles"]}; each of the varied styles is a part of one of them, a part of a content, or drawn
- **Held out**: {notes["held_out"]}
- **Limits**: strokes are coarser and alike all over the picture; a style with large shapes becomes its colours and
  strokes. Measurements are in tests/bench/RESULTS.md.
"""


def _count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


def _names(images: Sequence[NamedImage]) -> str:
    return f"{len(images)} pictures: {', '.join(image.name for image in images)}"
