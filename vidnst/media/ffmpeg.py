"""ffmpeg as a child process: no shell, local files only, exit status and error output checked."""

import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from vidnst.errors import CancelledError, DiskFullError, EncoderError, VidnstError
from vidnst.media.child_process import run_child
from vidnst.processes.child_guard import CHILD_GUARD

PROTOCOL_OPTIONS = ("-protocol_whitelist", "file,pipe")
"""Input options that keep playlists and other containers from accessing the network."""

_BASE = ("-nostdin", "-hide_banner")
_TAIL_LINES = 40
_MAX_OUTPUT_BYTES = 256 << 20
_POLL_SECONDS = 0.1
_ADDRESSES = re.compile(r"^(\[[^\]]* @ (0x)?[0-9a-f]+\] )+")
"""Names of ffmpeg's objects, with their addresses, in front of its messages."""
_CONSEQUENCES = ("Task finished", "Terminating thread", "Nothing was written", "Svt[info]", "Svt[warn]")
"""Beginnings of messages that do not tell why."""
_DISK_FULL_MESSAGE = "No space left on device"


@cache
def executable() -> Path:
    """Return the path of imageio-ffmpeg's ffmpeg, or of the one in IMAGEIO_FFMPEG_EXE.

    Raises:
        EncoderError: there is none for this platform.
    """
    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise EncoderError(
            "no ffmpeg executable was found", "install one and set IMAGEIO_FFMPEG_EXE to its path"
        ) from error


@cache
def encoders() -> frozenset[str]:
    """Return the names of the encoders in this ffmpeg.

    Raises:
        EncoderError: ffmpeg does not run.
    """
    status, out, err = run_and_capture(["-encoders"])
    if status:
        raise EncoderError(f"{executable()} does not list its encoders: {err.strip()[-300:]}")
    _, _, listing = out.decode(errors="replace").partition("------")
    return frozenset(line.split()[1] for line in listing.splitlines() if len(line.split()) > 1)


@cache
def has_filter(name: str) -> bool:
    """Return whether this ffmpeg has a filter: the static ones have nearly all, those of some systems lack some.

    Raises:
        EncoderError: ffmpeg does not run.
    """
    status, out, err = run_and_capture(["-filters"])
    if status:
        raise EncoderError(f"{executable()} does not list its filters: {err.strip()[-300:]}")
    return any(line.split()[1:2] == [name] for line in out.decode(errors="replace").splitlines())


def file_url(path: Path) -> str:
    """Return the file URL of a path, so that ffmpeg takes no name for an option, a URL or a list."""
    return f"file:{path.absolute()}"


def run_and_capture(
    args: Sequence[str | Path], *, max_bytes: int = _MAX_OUTPUT_BYTES, seconds: float | None = None
) -> tuple[int, bytes, str]:
    """Run ffmpeg and return its exit status, standard output and standard error.

    Args:
        args: arguments; inputs need `PROTOCOL_OPTIONS`, and paths `file_url`.
        max_bytes: most bytes of standard output; with more ffmpeg is killed, and the status is not 0.
        seconds: time limit, after which it is killed, too; None is no limit.

    Only the first megabyte of the standard error is kept.
    """
    command = [str(executable()), *_BASE, *map(str, args)]
    result = run_child(command, max_bytes=max_bytes, seconds=seconds)
    return result.status, result.output, result.error_output


def run(
    args: Sequence[str | Path],
    *,
    feed: Iterable[bytes] | None = None,
    on_progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Run ffmpeg, report the frames that it has written, and check its exit status.

    Args:
        args: arguments; inputs need `PROTOCOL_OPTIONS`, and paths `file_url`.
        feed: the data of `pipe:0`, in pieces; an error that it raises ends the run and is raised here.
        on_progress: called with the number of encoded frames, whenever it grows.
        cancelled: polled about ten times a second; True kills ffmpeg.

    Raises:
        DiskFullError: no space left on the disk.
        EncoderError: ffmpeg failed; the message contains its last lines.
        CancelledError: `cancelled` returned True.
    """
    command = [str(executable()), *_BASE, "-loglevel", "warning", "-stats_period", "0.2", "-progress", "pipe:1"]
    process = subprocess.Popen(
        [*command, *map(str, args)],
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CHILD_GUARD.environment(),
        start_new_session=True,  # Ctrl-C in the terminal must reach this program only, which then kills ffmpeg
    )
    pipes = _Pipes(process)
    try:
        pipes.start(feed)
        pipes.watch(on_progress, cancelled)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        pipes.join()
    pipes.check()


@dataclass(slots=True)
class _Pipes:
    """The three pipes of a running ffmpeg, each served by a thread so that none blocks another."""

    process: subprocess.Popen[bytes]
    frames: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    feed_error: BaseException | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, feed: Iterable[bytes] | None) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._spawn(self._read_progress, self.process.stdout)
        self._spawn(self._read_tail, self.process.stderr)
        if feed is not None:
            assert self.process.stdin is not None
            self._spawn(self._write, self.process.stdin, feed)

    def watch(self, on_progress: Callable[[int], None] | None, cancelled: Callable[[], bool] | None) -> None:
        reported = 0
        while True:
            try:
                self.process.wait(_POLL_SECONDS)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
            if on_progress and self.frames > reported:
                reported = self.frames
                on_progress(reported)
            if ended or self.feed_error is not None:
                return
            if cancelled and cancelled():
                raise CancelledError("stopped while ffmpeg was running")

    def join(self) -> None:
        for thread in self.threads:
            thread.join()

    def check(self) -> None:
        if self.feed_error is not None:
            raise self.feed_error
        if self.process.returncode:
            raise ffmpeg_error(self.process.returncode, "\n".join(self.tail))

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _read_progress(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                key, _, value = line.strip().partition(b"=")
                if key == b"frame" and value.isdigit():
                    self.frames = int(value)

    def _read_tail(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self.tail.append(line.decode(errors="replace").rstrip())

    def _write(self, pipe: IO[bytes], feed: Iterable[bytes]) -> None:
        try:
            for piece in feed:
                pipe.write(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # ffmpeg has exited; its status tells why
        except BaseException as error:  # raised in the caller's thread
            self.feed_error = error
        finally:
            with suppress(OSError):  # the process has exited before it read the buffer
                pipe.close()
            if isinstance(feed, Generator):  # in this thread, and now: it may own threads
                feed.close()


def ffmpeg_error(status: int, error_output: str) -> VidnstError:
    """Return the error for an ffmpeg that exited with `status`, given its last error output."""
    if _DISK_FULL_MESSAGE in error_output:
        return DiskFullError("no space left on the disk while ffmpeg was writing", "free some space and resume")
    lines = [_ADDRESSES.sub("", line).strip() for line in error_output.splitlines()]
    telling = [line for line in lines if line and not line.startswith(_CONSEQUENCES)]
    shown = list(dict.fromkeys(telling or filter(None, lines)))[-4:]
    return EncoderError(f"ffmpeg failed with status {status}: {' | '.join(shown).rstrip('.') or 'without a message'}")
