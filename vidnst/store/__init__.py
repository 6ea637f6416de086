"""The run folder: what a render needs to go on after it was stopped, and what is told about it afterwards."""

from vidnst.store.atomic import lock_holder
from vidnst.store.events import LogReader, read_events
from vidnst.store.manifest import Look, Manifest, StyleMark
from vidnst.store.peek import DAMAGES, holds_run, mask_path, planned_range, read_plan, reading_plan, was_writing
from vidnst.store.results import Done
from vidnst.store.run import RunStore
from vidnst.store.space import check_free_space, required_bytes
from vidnst.store.writer import Result, Writer

__all__ = [
    "DAMAGES",
    "Done",
    "LogReader",
    "Look",
    "Manifest",
    "Result",
    "RunStore",
    "StyleMark",
    "Writer",
    "check_free_space",
    "holds_run",
    "lock_holder",
    "mask_path",
    "planned_range",
    "read_events",
    "read_plan",
    "reading_plan",
    "required_bytes",
    "was_writing",
]
