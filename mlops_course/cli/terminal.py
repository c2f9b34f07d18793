"""How the commands talk to a terminal: exit statuses, and sentences beside the output."""

import signal
import sys
from contextlib import suppress

DONE = 0
FAILED = 1  # of a command that decides: refused
MISUSED = 2
UNDECIDED = 3  # of a command that decides: it could not come to a decision
INTERRUPTED = 130


def say(sentence: str) -> None:
    """Tell how it goes; standard output belongs to what the command was asked for."""
    print(sentence, file=sys.stderr, flush=True)


def end_on_sigterm() -> None:
    """Let a terminated run close its MLflow run and its service, as an interrupted one does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):
        signal.signal(signal.SIGTERM, interrupt)
