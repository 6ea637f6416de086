"""ffmpeg as a checked child process: no shell, files only, exit status and last words looked at."""

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

PROTOCOL_OPTIONS = ("-protocol_whitelist", "file,pipe")
"""Input option that keeps play lists and other containers from reaching for the network."""

_BASE = ("-nostdin", "-hide_banner")
_TAIL_LINES = 40
_MOST_BYTES = 256 << 20
_MOST_WORDS_BYTES = 1 << 20
_POLL_SECONDS = 0.1
_DISK_FULL = "No space left on device"


@cache
def executable() -> Path:
    """The ffmpeg that imageio-ffmpeg brings, or the one that IMAGEIO_FFMPEG_EXE names.

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
    """Names of the encoders that this ffmpeg was built with.

    Raises:
        EncoderError: ffmpeg does not run.
    """
    status, out, err = run_and_capture(["-encoders"])
    if status:
        raise EncoderError(f"{executable()} does not list its encoders: {err.strip()[-300:]}")
    _, _, listing = out.decode(errors="replace").partition("------")
    return frozenset(line.split()[1] for line in listing.splitlines() if len(line.split()) > 1)


def file_url(path: Path) -> str:
    """`path` as ffmpeg must be given it: absolute and with its protocol, so that no name is taken for an option,
    a URL or a list.
    """
    return f"file:{path.absolute()}"


def run_and_capture(
    args: Sequence[str | Path], *, max_bytes: int = _MOST_BYTES, seconds: float | None = None
) -> tuple[int, bytes, str]:
    """Run ffmpeg and return its exit status, standard output and standard error.

    Args:
        args: everything after the program's name; inputs need `PROTOCOL_OPTIONS` and names need `file_url`.
        max_bytes: of standard output; with more ffmpeg is ended, and the status is not 0.
        seconds: after which it is ended, too; none waits.

    Of the standard error the first megabyte is kept.
    """
    command = [str(executable()), *_BASE, *map(str, args)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        clock = threading.Timer(seconds or 0, process.kill)
        clock.daemon = True
        if seconds is not None:
            clock.start()
        said: list[bytes] = []
        listener = threading.Thread(target=_listen, args=(process, said), daemon=True)
        listener.start()
        try:
            assert process.stdout is not None
            out = process.stdout.read(max_bytes)
            if len(out) == max_bytes:
                process.kill()
        except BaseException:
            process.kill()
            raise
        finally:
            listener.join()
            process.wait()
            clock.cancel()
    return process.returncode, out, b"".join(said).decode(errors="replace")


def _listen(process: subprocess.Popen[bytes], said: list[bytes]) -> None:
    """Read all that a process says, so that it is never kept waiting, and keep the first of it."""
    assert process.stderr is not None
    kept = 0
    while block := process.stderr.read(1 << 16):
        if kept < _MOST_WORDS_BYTES:
            said.append(block)
            kept += len(block)


def run(
    args: Sequence[str | Path],
    *,
    feed: Iterable[bytes] | None = None,
    on_progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Run ffmpeg, report the frames it has written, and see that it ends well.

    Args:
        args: everything after the program's name; inputs need `PROTOCOL_OPTIONS` and names need `file_url`.
        feed: what it reads from `pipe:0`, in pieces; an error raised by it ends the run and is raised here.
        on_progress: called with the number of frames that the encoder has finished, whenever that grows.
        cancelled: asked some ten times a second; true ends ffmpeg.

    Raises:
        DiskFullError: ffmpeg found no space left.
        EncoderError: it ended with another error; its last lines are in the message.
        CancelledError: `cancelled` said so.
    """
    command = [str(executable()), *_BASE, "-loglevel", "warning", "-stats_period", "0.2", "-progress", "pipe:1"]
    process = subprocess.Popen(
        [*command, *map(str, args)],
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for this program, which then ends ffmpeg itself
    )
    talk = _Talk(process)
    try:
        talk.start(feed)
        talk.watch(on_progress, cancelled)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        talk.join()
    talk.check()


@dataclass(slots=True)
class _Talk:
    """The three pipes of a running ffmpeg, each served by a thread so that none of them can block another."""

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
            pass  # ffmpeg has ended; its exit status says why
        except BaseException as error:  # carried to the caller's thread
            self.feed_error = error
        finally:
            with suppress(OSError):  # what was still buffered went to a process that has ended
                pipe.close()
            if isinstance(feed, Generator):  # in this thread, and now: it may have threads of its own
                feed.close()


def ffmpeg_error(status: int, last_words: str) -> VidnstError:
    """The error for an ffmpeg that ended with `status`, from what it last wrote to its standard error."""
    if _DISK_FULL in last_words:
        return DiskFullError("no space was left on the disk while ffmpeg was writing", "free some and resume")
    lines = [line for line in last_words.splitlines() if line.strip()]
    return EncoderError(f"ffmpeg failed with status {status}: {' | '.join(lines[-4:]) or 'it said nothing'}")
