"""Plans renders without starting them: what `--dry-run` shows, and what a forecast is computed from."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidnst.errors import VidnstError
from vidnst.events import Event, OnEvent, Warned, ignore
from vidnst.farm.plan import Node, StateId, evaluations
from vidnst.farm.schedules import by_shot, sound_plan, training_of
from vidnst.frames import Shot
from vidnst.rendering.batch.job_file import ClipSpec, read_jobs
from vidnst.rendering.batch.tail_balancing import extent
from vidnst.rendering.prepare import CheckedRequest, check_request, study_frames
from vidnst.rendering.run_opening import check_existing, existing_in_words
from vidnst.rendering.run_setup import find_shots_of
from vidnst.rendering.styles.timeline import check_shots
from vidnst.runs.request import Request


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """A prepared render with the nodes that it would run."""

    checked: CheckedRequest
    shots: list[Shot]
    nodes: list[Node]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.checked.frames

    @property
    def nodes_by_role(self) -> dict[str, int]:
        """Number of nodes of each role."""
        return dict(Counter(node.role.value for node in self.nodes))

    @property
    def evaluations(self) -> int:
        """Most evaluations of the loss; frames that settle take fewer."""
        return sum(evaluations(self.checked.config, node) for node in self.nodes)

    @property
    def workers_kept_busy(self) -> float:
        """The mean number of workers with work if there were any number: all evaluations over the longest chain's.

        Only frames are counted, not the training of a network, whose stages follow each other.
        """
        frames = (node for node in self.nodes if isinstance(node.id, StateId))
        found = extent(frames, self.checked.config, ())
        return found.work / found.path if found.path else float(self.concurrency)

    @property
    def concurrency(self) -> int:
        """Number of nodes that can run at once."""
        return len(self.shots) if self.checked.schedule.kind == "chain" else self.frames


def plan_render(request: Request, *, on_event: OnEvent = ignore, here: bool = True) -> RenderPlan:
    """Prepare a render, which may replace its output, and plan its nodes.

    Args:
        request: as for a render.
        on_event: receives progress and warnings.
        here: whether this machine's GPUs are to paint it, so that they are checked.

    Raises:
        VidnstError: whatever a render would be refused for before it starts.
    """
    checked = check_request(request, overwrite=True, on_event=on_event, here=here)
    shots = find_shots_of(checked, on_event)
    check_shots(checked.timeline, len(shots))
    training = training_of(checked.schedule, shots, checked.given) if checked.network is None else ()
    sound = sound_plan(checked.sound.chunks if checked.sound else (), number=len(shots))
    plans = (training, *by_shot(checked.schedule, shots, checked.given), sound)
    return RenderPlan(checked, shots, [node for nodes in plans for node in nodes])


def describe_render(
    request: Request, *, overwrite: bool = False, restart: bool = False
) -> tuple[dict[str, Any], VidnstError | None]:
    """Describe what `vidnst render` would do, in plain JSON values, and why it would refuse because of what exists.

    Args:
        request: as for a render.
        overwrite, restart: as for a render.
    """
    warnings: list[str] = []

    def keep_warnings(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(event.message)

    plan = plan_render(request, on_event=keep_warnings)
    checked = plan.checked
    size = (checked.width, checked.height)
    if checked.config.input.crops:  # only the motion of all frames decides the size
        size = study_frames(checked, plan.shots).size(checked.clip, checked.config.input.size)
    refusal = check_existing(checked, overwrite=overwrite, restart=restart)
    outline = {
        "source": checked.clip.source,
        "output": str(request.output),
        "run_folder": str(request.folder),
        "frames": plan.frames,
        "range": [checked.start, checked.end],
        "size": list(size),
        "rate": str(checked.clip.rate),
        "variable_rate": checked.clip.variable_rate,
        "audio": checked.clip.audio_codec,
        "fates": [row.note for row in checked.fates],
        "schedule": checked.schedule.kind,
        "shots": [[shot.start, shot.end] for shot in plan.shots],
        "nodes": plan.nodes_by_role,
        "evaluations": plan.evaluations,
        "keys": {str(key.frame): str(key.path) for key in checked.keys},
        "warnings": warnings,
        "existing": {} if refusal else existing_in_words(checked, plan.nodes, restart=restart),
        "styles": [str(replace(style.style, path=str(style.path))) for style in checked.styles],
        "config": checked.config.model_dump(mode="json"),
        "error": None if refusal is None else str(refusal),
    }
    return outline, refusal


def describe_jobs(path: Path) -> list[dict[str, Any]]:
    """Describe every job of a file in plain JSON values, in order; one that would be refused has an `error`.

    Raises:
        ConfigError: the file is wrong; the message names the place.
    """
    return [_describe_job(clip) for clip in read_jobs(path).clips]


def in_existing_folder(request: Request) -> Request:
    """Move a request's output to the nearest folder that exists, since a batch makes missing folders itself."""
    parent = next(folder for folder in request.output.parents if folder.is_dir())
    return replace(request, output=parent / request.output.name, work_dir=request.folder)


def _describe_job(clip: ClipSpec) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": clip.name,
        "entry": clip.entry,
        "source": clip.source,
        "styles": list(clip.request.styles),
        "preset": clip.preset,
        "priority": clip.priority,
        "output": str(clip.request.output),
        "run_folder": str(clip.request.folder),
        "frames": None,
        "nodes": None,
        "evaluations": None,
        "error": None,
    }
    try:
        plan = plan_render(in_existing_folder(clip.request))
    except VidnstError as error:
        return row | {"error": str(error)}
    return row | {"frames": plan.frames, "nodes": len(plan.nodes), "evaluations": plan.evaluations}
