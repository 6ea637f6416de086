"""The run folder: what a render needs to go on after it was stopped, and what is told about it afterwards."""

from vidnst.runs.async_writer import NodeResult, Writer
from vidnst.runs.atomic_files import lock_holder
from vidnst.runs.disk_space import check_free_space, required_bytes
from vidnst.runs.event_log import LogReader, read_events
from vidnst.runs.manifest import Look, Manifest, StyleMark
from vidnst.runs.node_files import DoneRecord
from vidnst.runs.read_only import DAMAGES, holds_run, mask_path, planned_range, read_plan, reading_plan, was_writing
from vidnst.runs.run_store import RunStore

__all__ = [
    "DAMAGES",
    "DoneRecord",
    "LogReader",
    "Look",
    "Manifest",
    "NodeResult",
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
