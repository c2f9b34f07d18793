"""The command line: everything the course does outside a notebook.

Here are the parser and the way from an error to an exit status. What a command does is in the
room named for it, which loads what is heavy only when it runs.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlops_course.cli import checkout, doctor, release, watch
from mlops_course.cli.oncall import oncall
from mlops_course.cli.reset import reset
from mlops_course.cli.simulate import open_simulator, simulate
from mlops_course.cli.terminal import (
    FAILED,
    INTERRUPTED,
    MISUSED,
    UNDECIDED,
    forget,
    say,
    write_any_letter,
)
from mlops_course.core import memory
from mlops_course.core.errors import CourseError, ParameterError, Refusal
from mlops_course.core.texts import short
from mlops_course.core.workspace import HOME_VARIABLE, folder_named
from mlops_course.deciding.choices import CHOICES
from mlops_course.pipeline.policies import NAMED, POLICIES

if TYPE_CHECKING:
    from mlops_course.data.periods import Days

SURROUNDINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", **memory.ENVIRONMENT}
MAX_COMPLAINT = 2_000
# A text of the system ends at NUL, and a lone surrogate stands for a byte that is no character.
_IMPOSSIBLE = frozenset(("\0", *map(chr, range(0xD800, 0xE000))))
Command = Callable[[argparse.Namespace, Sequence[str]], int]
AddCommand = Callable[..., argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    It is 0 for done, 1 for failed, 2 for misused and 130 for interrupted. Of the commands that
    decide (``gate``, ``promote``, ``rollback``, ``log``, ``monitor``, ``doctor``, ``test``,
    ``notebooks``) 1 says that something was refused or found, and 3 that it could not be judged. Of
    ``drift`` 1 is an alarm, and 2 says that there is no verdict, because it was misused or for any
    other reason.
    """
    write_any_letter()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(character in _IMPOSSIBLE for character in "".join(given)):
        _parser().error("an argument holds NUL or a byte that is no character")
    options, rest = _parser().parse_known_args(given)
    if rest and not options.passes_on:
        _parser().error(f"unrecognised: {' '.join(rest)}; see mlops-course {options.command} -h")
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    undecided = options.undecided
    try:
        if options.workspace:
            os.environ[HOME_VARIABLE] = str(folder_named(options.workspace))
        status = options.run(options, rest)
        if sys.stdout:  # a closed one is none
            sys.stdout.flush()  # a reader that went away is met here, not at the very end
        return int(status)
    except CourseError as error:
        say(short(error, MAX_COMPLAINT))
        return _status(error, undecided)
    except BrokenPipeError:
        forget(sys.stdout)
        return undecided
    except OSError as error:
        forget(sys.stdout)
        say(short(f"The system does not allow it: {error}.", MAX_COMPLAINT))
        return undecided
    except KeyboardInterrupt:
        say("Interrupted; what was finished is kept.")
        return INTERRUPTED
    except Exception:
        if undecided == FAILED:
            raise
        traceback.print_exc()  # Python's own status would be 1, which here is a decision
        return undecided


def _status(error: CourseError, undecided: int) -> int:
    if isinstance(error, ParameterError):
        return MISUSED
    return FAILED if isinstance(error, Refusal) else undecided


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints quote little, and nothing that a terminal would act on."""

    def error(self, message: str) -> NoReturn:
        super().error(short(message, MAX_COMPLAINT))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("mlops-course", description="A hands-on MLOps course.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str,
        run: Command,
        text: str,
        *,
        passes_on: bool = False,
        statuses: str = "",
        undecided: int = FAILED,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=statuses)
        sub.set_defaults(run=run, passes_on=passes_on, undecided=undecided)
        sub.add_argument("--workspace", metavar="PATH", help="the workspace folder to use")
        return sub

    opening = "Open the course in JupyterLab; further options go to JupyterLab."
    command("lab", checkout.open_lab, opening, passes_on=True)
    testing = "Check everything; further options go to pytest."
    deciding = _deciding(checkout.TEST_STATUSES)
    command("test", checkout.run_tests, testing, passes_on=True, **deciding)
    measuring = "Measure the course's figures on this machine."
    bench = command("bench", checkout.run_benchmarks, measuring)
    counting = "count instead how often each stated bound keeps its promise"
    kinds = bench.add_mutually_exclusive_group()
    kinds.add_argument("--statistics", action="store_true", help=counting)
    comparing = "compare instead the drift report with other packages, which pip installs for it"
    kinds.add_argument("--peers", action="store_true", help=comparing)
    trying = "try instead retraining policies on the year, its days in other orders; write a CSV"
    kinds.add_argument("--retraining", action="store_true", help=trying)
    playing = "let instead scripted players play shifts on call; write a CSV"
    kinds.add_argument("--oncall", action="store_true", help=playing)
    looking = "Look at versions, memory, disk, ports and store."
    command("doctor", doctor.report, looking, **_deciding(doctor.STATUSES))
    _add_simulate(command)
    _add_simulator(command)
    _add_oncall(command)
    _add_drift(command)
    _add_monitor(command)
    _add_decisions(command)
    serve = command("serve", release.serve, "Serve the champion over HTTP until interrupted.")
    serve.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one")
    serve.add_argument("--alias", default="champion", metavar="NAME", help="the alias to follow")
    naming = "answer under this name, too, for instance a proxy's; may be given again"
    serve.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=naming)
    _add_notebooks(command)
    emptying = command("reset", reset, "Delete the workspace's runs, models and files.")
    emptying.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _add_simulate(command: AddCommand) -> None:
    parser = command("simulate", simulate, "Run the pipeline without a notebook.")
    line = "a run's settings as it shows them: 'drift weeks=8 seed=0 alert=90%% retrain=auto'"
    parser.add_argument("--settings", metavar="LINE", help=line)
    # What is not given is left out: then `RunConfig` says what is usual.
    parser.add_argument("--scenario", default=argparse.SUPPRESS, metavar="NAME", help="what to run")
    parser.add_argument(
        "--weeks", default=argparse.SUPPRESS, type=int, metavar="N", help="weeks to run"
    )
    parser.add_argument(
        "--seed", default=argparse.SUPPRESS, type=int, metavar="N", help="draws the days anew"
    )
    parser.add_argument(
        "--as-they-were",
        dest="seed",
        action="store_const",
        default=argparse.SUPPRESS,
        const=None,
        help="take the days as they were, instead of drawing them",
    )
    deciding = parser.add_mutually_exclusive_group()
    deciding.add_argument("--retrain", default=argparse.SUPPRESS, metavar="|".join(POLICIES))
    choosing = "decides when to retrain, and is scored by its regret"
    deciding.add_argument("--policy", metavar="|".join(NAMED), help=choosing)
    answering = "what to choose at an alert, in order; may be given again"
    deciding.add_argument("--choose", action="append", metavar="|".join(CHOICES), help=answering)
    pricing = "what a training costs, in wrong calls (50)"
    parser.add_argument("--price", type=float, metavar="N", help=pricing)
    parser.add_argument("--threshold", default=argparse.SUPPRESS, type=float, metavar="X")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    recording = "save the run as one HTML page, to be played without a kernel"
    parser.add_argument("--html", type=Path, metavar="FILE", help=recording)
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")


def _add_simulator(command: AddCommand) -> None:
    """Add the command that opens the simulator without Jupyter, for instance for a projector."""
    text = "Open the simulator alone in the browser, as large as the window, until interrupted."
    parser = command("simulator", open_simulator, text)
    parser.add_argument("--scenario", default="good", metavar="NAME", help="what is chosen first")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one")
    quietly = "print the address, and open no browser"
    parser.add_argument("--no-browser", action="store_true", help=quietly)


def _add_oncall(command: AddCommand) -> None:
    """Add the command that plays a shift, or lets a script play it."""
    text = "Be on call for a shift: in the terminal, by a scripted player, or as its game master."
    parser = command("oncall", oncall, text)
    drawing = "draws the shift and its days (0); with a shift file, its days"
    parser.add_argument("--seed", type=int, metavar="N", help=drawing)
    parser.add_argument("--level", metavar="easy|normal|hard", help="how hard it is (normal)")
    reading = "play this shift instead, such as notebooks/10_shift.toml"
    parser.add_argument("--shift", type=Path, metavar="FILE", help=reading)
    scripting = "let a scripted player play it"
    parser.add_argument(
        "--policy", metavar="nothing|retrain|rollback|skilled|oracle", help=scripting
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    rehearsing = "play in memory, without a registry and a service"
    parser.add_argument("--rehearse", action="store_true", help=rehearsing)
    anew = "begin anew; what is kept of this shift is put aside"
    parser.add_argument("--afresh", action="store_true", help=anew)
    parser.add_argument("--result", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--who", default="", metavar="NAME", help="who plays, for the result")
    telling = "write the debrief and a post-mortem of each incident there, as Markdown"
    parser.add_argument("--debrief", type=Path, metavar="FILE", help=telling)
    comparing = "compare results of one shift, each counted anew from its steps"
    parser.add_argument("--compare", nargs="+", type=Path, metavar="FILE", help=comparing)
    leading = "for the game master: show what strikes, and how far the play is"
    parser.add_argument("--master", action="store_true", help=leading)
    injecting = "for the game master: have this strike in the shift that is being played"
    parser.add_argument("--inject", metavar="NAME", help=injecting)
    dating = "when it strikes, as 2013-06-03; by default as soon as it can"
    parser.add_argument("--day", type=_day, metavar="DAY", help=dating)


def _add_decisions(command: AddCommand) -> None:
    """Add the commands whose exit status is the answer."""
    text = "Judge a registered version; the status says passed or not."
    gate = command("gate", release.gate, text, **_deciding(release.GATE_STATUSES))
    gate.add_argument("version", metavar="VERSION", help="the version's number")
    gate.add_argument("--report", type=Path, metavar="FILE", help="write the Markdown there, too")
    first = "the exam's first day, as 2013-04-01; by default the day after the winter's training"
    gate.add_argument("--first", type=_day, metavar="DAY", help=first)
    last = "the exam's last day; by default it has two weeks"
    gate.add_argument("--last", type=_day, metavar="DAY", help=last)

    text = "Promote a version that the gate has passed: it becomes the champion."
    promote = command("promote", release.promote, text, **_deciding(release.PROMOTE_STATUSES))
    promote.add_argument("version", metavar="VERSION", help="the version's number")
    promote.add_argument(
        "--evidence",
        metavar="RUN",
        help="the run that holds the gate's verdict; by default the newest, which must be a pass",
    )
    forcing = "why it may replace a champion that the gate did not compare it with, for the log"
    promote.add_argument("--force", default="", metavar="REASON", help=forcing)

    text = "Make the former champion the champion again."
    rollback = command("rollback", release.roll_back, text, **_deciding(release.ROLLBACK_STATUSES))
    for parser in (promote, rollback):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the log")
        parser.add_argument(
            "--who", default="", metavar="NAME", help="who decided; by default the user"
        )

    text = "Print who made which version the champion, when and why."
    log = command("log", release.show_log, text, **_deciding(release.LOG_STATUSES))
    log.add_argument("--audit", action="store_true", help="check that nobody has changed it")
    log.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _deciding(statuses: str) -> dict[str, Any]:
    """Return what marks a command that decides: its statuses, and the one for no decision."""
    return {"statuses": statuses, "undecided": UNDECIDED}


def _add_drift(command: AddCommand) -> None:
    """Add the command that compares a window with a reference."""
    text = (
        "Say whether a window of rows has drifted from a reference: flights of the real year, "
        "chosen by their days, or two files of your own."
    )
    drift = command("drift", watch.drift, text, statuses=watch.DRIFT_STATUSES, undecided=MISUSED)
    files = "two CSV or Parquet files; without them, flights"
    drift.add_argument("files", nargs="*", type=Path, metavar="REFERENCE WINDOW", help=files)
    calm = "the calm days of the flights to compare with, as 2013-01-01..2013-03-31"
    drift.add_argument("--reference", type=_days, metavar="FROM..TO", help=calm)
    drift.add_argument("--window", type=_days, metavar="FROM..TO", help="the days to judge")
    leaving = "days of the reference to leave out; may be given again"
    drift.add_argument(
        "--without", type=_days, action="append", default=[], metavar="FROM..TO", help=leaving
    )
    timing = "the column of your files that says when a row was; a verdict takes one"
    drift.add_argument("--time", metavar="COLUMN", help=timing)
    drift.add_argument("--rows", type=int, metavar="N", help="draw so many rows of the window")
    drift.add_argument("--seed", type=int, default=0, metavar="N", help="draws other rows")
    striking = "let an incident strike the window's flights"
    drift.add_argument("--incident", metavar="NAME", help=striking)
    drift.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _add_monitor(command: AddCommand) -> None:
    """Add the command that holds a prediction log against alert rules."""
    text = "Hold a prediction log and its labels against alert rules."
    monitor = command("monitor", watch.monitor, text, **_deciding(watch.MONITOR_STATUSES))
    ruling = "a file of alert rules; by default notebooks/07_rules.toml of the clone"
    monitor.add_argument("--rules", type=Path, metavar="FILE", help=ruling)
    logging = (
        "the prediction log; by default the workspace's latest that has a label store beside it"
    )
    monitor.add_argument("--log", type=Path, metavar="FILE", help=logging)
    monitor.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _days(text: str) -> "Days":
    """Return the days that an option names, both included."""
    from mlops_course.data.periods import Days

    first, separator, last = text.partition("..")
    try:
        days = Days(date.fromisoformat(first), date.fromisoformat(last if separator else first))
    except ValueError as error:
        told = f"{text!r} are no days; write them as 2013-01-01..2013-03-31"
        raise argparse.ArgumentTypeError(told) from error
    if days.last < days.first:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return days


def _day(text: str) -> date:
    """Return the day that an option names."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write one as 2013-04-01") from error


def _add_notebooks(command: AddCommand) -> None:
    text = "Execute the notebooks, or check their outputs."
    deciding = _deciding(checkout.NOTEBOOK_STATUSES)
    parser = command("notebooks", checkout.run_notebooks, text, **deciding)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--execute", action="store_true", help="run them and store the outputs")
    mode.add_argument("--check", action="store_true", help="compare stored outputs with a run")
    mode.add_argument("--solved", action="store_true", help="write solved copies to solved/")
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lesson numbers; default all")
