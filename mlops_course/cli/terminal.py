"""How the commands talk to a terminal: exit statuses, sentences beside the output, safe lines."""

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


def one_line(text: str) -> str:
    r"""Return a text as one line without characters that a terminal would act on.

    >>> one_line("late\n  flights \x1b[2J")
    'late flights ?[2J'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def end_on_sigterm() -> None:
    """Let a terminated run close its MLflow run and its service, as an interrupted one does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):
        signal.signal(signal.SIGTERM, interrupt)
