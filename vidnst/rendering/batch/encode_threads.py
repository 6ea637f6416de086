"""The threads that pack and measure clips whose frames are all there."""

from vidnst.errors import CancelledError, DiskFullError
from vidnst.rendering.batch.shared_state import BatchState
from vidnst.rendering.pipeline import finish


def pack_all(floor: BatchState) -> None:
    """Pack one clip after the other, until None comes."""
    while (clip := floor.rendered.get()) is not None:
        ticket = clip.ticket
        try:
            finish(clip.begun, floor.stopper(ticket))
        except CancelledError:
            floor.end(clip, None)
        except Exception as error:
            if isinstance(error, DiskFullError):
                floor.fatal = error
            floor.end(clip, error)
        else:
            clip.close()
            floor.board.change(ticket, "done")
