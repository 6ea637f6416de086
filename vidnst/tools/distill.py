"""Teaching slim: pictures and clips are read, a student learns from a teacher, a file with a card comes out."""

import dataclasses
import fnmatch
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from vidnst.atomic_write import write_atomically, write_bytes_atomically
from vidnst.errors import CancelledError, OutputError, RunError
from vidnst.events import Cancelled, LessonDone, OnEvent, Stage, ignore
from vidnst.frames import Pixels
from vidnst.media.images import list_images
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.probe import probe
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.distill.evaluate import head_correlations
from vidnst.style.distill.export import card_text, slim_features, to_safetensors
from vidnst.style.network.weights import Features, WeightsReport, load_features, resolve_weights, verify_weights
from vidnst.weights_file import open_weights, read_metadata, weights_fingerprint

_LONGEST_SIDE_PX = 1280
"""Larger pictures are made smaller as they are read."""
_CHECKPOINT_STEPS = 200
_LARGEST_CHECKPOINT = 2**28
_AFRESH = "start afresh with --restart, or give another -o"
_AVERAGED_CROPS = 64
"""Over which mean activations are taken in the end."""


@dataclass(frozen=True, slots=True)
class DistillRequest:
    """What the user asks for."""

    teacher: str | None
    """VGG19's weights, as for a render."""
    images: tuple[str, ...]
    """Folders, globs, pictures and clips."""
    output: Path
    """A file of safetensors; its card comes to lie beside it as Markdown."""
    settings: DistillSettings
    held_out: tuple[str, ...] = ()
    """Patterns of the names of pictures that are not learned from: the student is judged by them."""
    clip_frames: int = 8
    """Frames that are taken from each clip, evenly spread."""
    threads: int | None = None
    """Of torch; None leaves them as they are. Rounding depends on their number."""
    command: str = ""
    """How it was asked for: goes into the card."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """A picture to learn from, or to be judged by."""

    name: str
    pixels: Pixels


def distill(
    request: DistillRequest,
    *,
    restart: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> WeightsReport:
    """Teach slim and write its file; goes on from the checkpoint beside it, to the same bytes.

    Raises:
        VidnstError: a picture, the teacher or the output cannot be used, or the checkpoint is of another student.
        CancelledError: `cancelled` said so; the same request goes on.
    """
    _check_output(request.output)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    learned_from, held_out = gather(request, on_event)
    settings = request.settings
    found = resolve_weights(request.teacher)
    teacher = load_features(found, settings.learn_to)
    crops = Crops([one.pixels for one in learned_from], side_px=settings.crop_px, seed=settings.seed)
    work = Distillation(teacher, crops, settings)
    marks = _marks(request, teacher, learned_from)
    checkpoint = request.output.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists() and not restart:
        _restore(work, checkpoint, marks)
    _teach(work, checkpoint, marks, on_event, cancelled or (lambda: False))
    like = head_correlations(work.student, work.teacher, [one.pixels for one in held_out])
    features = slim_features(work.student, crops.batch(0, _AVERAGED_CROPS), seed=settings.seed)
    card = {
        **marks,
        "teacher_file": Path(found).name,
        "learned_from": f"{len(learned_from)} pictures: {', '.join(one.name for one in learned_from)}",
        "held_out": ", ".join(one.name for one in held_out) or "none",
        "likeness": json.dumps({name: round(value, 4) for name, value in like.items()}),
        "command": request.command,
    }
    write_bytes_atomically(request.output, to_safetensors(features, card))
    report = verify_weights(request.output, backbone="slim")
    text = card_text(request.output.name, report.fingerprint, report.notes)
    write_bytes_atomically(request.output.with_suffix(".md"), text.encode())
    return report


def gather(request: DistillRequest, on_event: OnEvent = ignore) -> tuple[list[Specimen], list[Specimen]]:
    """The pictures to learn from, and those that are held out.

    Raises:
        SourceError: one of them cannot be read.
    """
    files = [path for text in request.images for path in list_images(text) or (Path(text).expanduser(),)]
    kept: list[Specimen] = []
    held: list[Specimen] = []
    for number, path in enumerate(files):
        on_event(Stage("reading", number, len(files)))
        out = any(fnmatch.fnmatch(path.name, pattern) for pattern in request.held_out)
        (held if out else kept).extend(_specimens(path, request.clip_frames))
    on_event(Stage("reading", len(files), len(files)))
    return kept, held


def _specimens(path: Path, clip_frames: int) -> list[Specimen]:
    clip = probe(path)
    reader = FrameReader(clip, size=fit_size(clip.width, clip.height, _LONGEST_SIDE_PX), on_bad_frame="repeat")
    if clip.frame_count == 1:
        return [Specimen(path.name, reader.read(0).pixels)]
    count = min(clip_frames, clip.frame_count)
    indices = [(2 * index + 1) * clip.frame_count // (2 * count) for index in range(count)]
    return [Specimen(f"{path.name}:{index}", reader.read(index).pixels) for index in indices]


def _check_output(output: Path) -> None:
    if output.suffix != ".safetensors":
        raise OutputError(f"{output} does not end in .safetensors", "give such a name with -o")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"there is no folder {output.parent} to write {output.name} into", "make it")


def _marks(request: DistillRequest, teacher: Features, pictures: Sequence[Specimen]) -> dict[str, str]:
    """What decides the student's bytes, as texts."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.pixels.shape}{picture.pixels.dtype}".encode())
        digest.update(picture.pixels.tobytes())
    return {
        "teacher": weights_fingerprint(teacher),
        "pictures": digest.hexdigest(),
        "settings": json.dumps(dataclasses.asdict(request.settings)),
        "threads": str(torch.get_num_threads()),
    }


def _restore(work: Distillation, checkpoint: Path, marks: dict[str, str]) -> None:
    with open_weights(checkpoint, network="student", max_bytes=_LARGEST_CHECKPOINT, remedy=_AFRESH) as tensors:
        state = dict(tensors)
    notes = read_metadata(checkpoint)
    others = [name for name, mark in marks.items() if notes.get(name) != mark]
    if others:
        raise RunError(f"the checkpoint {checkpoint} is of another student: other {', '.join(others)}", _AFRESH)
    work.restore(state)


def _teach(
    work: Distillation, checkpoint: Path, marks: dict[str, str], on_event: OnEvent, cancelled: Cancelled
) -> None:
    began, before, steps = time.monotonic(), work.step, work.settings.steps
    while work.step < steps:
        if cancelled():
            _keep(work, checkpoint, marks)
            raise CancelledError(f"stopped after {work.step} of {steps} steps", "give the same command to go on")
        lesson = work.advance()
        seconds = time.monotonic() - began
        on_event(LessonDone(lesson.step, steps, lesson.loss, lesson.errors, seconds, before))
        if lesson.step % _CHECKPOINT_STEPS == 0 or lesson.step == steps:
            _keep(work, checkpoint, marks)


def _keep(work: Distillation, checkpoint: Path, marks: dict[str, str]) -> None:
    write_atomically(checkpoint, lambda part: save_file(work.state(), part, metadata=marks))
