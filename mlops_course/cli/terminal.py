"""How the commands talk to a terminal: exit statuses, and sentences beside the output."""

import os
import signal
import sys
from contextlib import suppress
from typing import TextIO

DONE = 0
FAILED = 1  # of a command that decides: refused
MISUSED = 2
UNDECIDED = 3  # of a command that decides: it could not come to a decision
INTERRUPTED = 130


def say(sentence: str) -> None:
    """Tell how it goes; standard output belongs to what the command was asked for."""
    if sys.stderr is None:
        return
    try:
        print(sentence, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        forget(sys.stderr)  # where it goes is full, which is no reason to stop


def write_any_letter() -> None:
    """Let standard output escape what its encoding lacks, as standard error does anyway."""
    with suppress(AttributeError):  # a closed stream, or no stream of Python's own
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def forget(stream: TextIO) -> None:
    """Let nothing more be written to a stream that takes no more; Python would try at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def end_on_sigterm() -> None:
    """Let a terminated run close its MLflow run and its service, as an interrupted one does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):
        signal.signal(signal.SIGTERM, interrupt)
