"""The command line: everything the course does outside a notebook."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.workspace import (
    CLONE,
    HOME_VARIABLE,
    Workspace,
    default_home,
    open_workspace,
    reset_workspace,
)
from mlops_course.pipeline.events import (
    AlertRaised,
    Event,
    Promoted,
    Rejected,
    Retrained,
    RunStarted,
    StageFailed,
    StageFinished,
    WeekScored,
)
from mlops_course.pipeline.state import RunState, fold, result_of

if TYPE_CHECKING:
    from mlops_course.serving.service import Service

FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"
# No telemetry; and allocators that give freed memory back, which saves a kernel some 70 MB.
SURROUNDINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and not options.passes_on:
        _parser().error(f"unrecognised: {' '.join(rest)}; see mlops-course {options.command} -h")
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    if options.workspace:
        os.environ[HOME_VARIABLE] = str(Path(options.workspace).expanduser().resolve())
    try:
        return int(options.run(options, rest))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ParameterError) else 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what was finished is kept.", file=sys.stderr)
        return 130


def summarise(state: RunState) -> dict[str, Any]:
    """Return a run as one plain record, the object that ``simulate --json`` prints."""
    result = result_of(state)
    started = state.started
    weeks = result.weeks[["week", "rows", "accuracy", "model_version", "drifted", "alert"]]
    seconds = result.stages.groupby("stage", sort=False)["seconds"].sum()
    record = {
        "scenario": started and started.scenario,
        "seed": started and started.seed,
        "threshold": started and started.threshold,
        "weeks": weeks.astype(object).where(weeks.notna(), None).to_dict("records"),
        "alerts": result.alerts.to_dict("records"),
        "promotions": result.promotions.to_dict("records"),
        "stages": seconds.to_dict(),
        "total_seconds": state.seconds,
    }
    return record | ({"failed": state.error} if state.error else {})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mlops-course", description="A hands-on MLOps course.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str, passes_on: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, passes_on=passes_on)
        sub.add_argument("--workspace", metavar="PATH", help="the workspace folder to use")
        return sub

    command("lab", _lab, "Open the course in JupyterLab; further options go to JupyterLab.", True)
    command("test", _test, "Check everything; further options go to pytest.", True)
    command("bench", _bench, "Measure the course's figures on this machine.")
    command("doctor", _doctor, "Look at versions, memory, disk, ports and store.")
    _simulate_options(command("simulate", _simulate, "Run the pipeline without a notebook."))
    serve = command("serve", _serve, "Serve the champion over HTTP until interrupted.")
    serve.add_argument("--port", type=int, default=0, metavar="N", help="0 takes a free one")
    serve.add_argument("--alias", default="champion", metavar="NAME", help="the alias to follow")
    gate = command("gate", _gate, "Judge a registered version; the status says passed or not.")
    gate.add_argument("candidate", metavar="CANDIDATE", help="the version's number")
    gate.add_argument("--report", type=Path, metavar="FILE", help="write the Markdown there, too")
    notebooks = command("notebooks", _notebooks, "Execute the notebooks, or check their outputs.")
    mode = notebooks.add_mutually_exclusive_group(required=True)
    mode.add_argument("--execute", action="store_true", help="run them and store the outputs")
    mode.add_argument("--check", action="store_true", help="compare stored outputs with a run")
    mode.add_argument("--solved", action="store_true", help="write solved copies to solved/")
    notebooks.add_argument("numbers", nargs="*", metavar="NN", help="lesson numbers; default all")
    reset = command("reset", _reset, "Delete the workspace's runs, models and files.")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", default="good", metavar="NAME", help="what to run")
    parser.add_argument("--weeks", type=int, metavar="N", help="weeks of production")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the rows")
    parser.add_argument("--retrain", default="auto", metavar="auto|never")
    parser.add_argument("--threshold", type=float, default=0.90, metavar="X")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")


def _simulate(options: argparse.Namespace, _: Sequence[str]) -> int:
    from mlops_course.pipeline.scenarios import SCENARIOS, RunConfig

    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:<14} {scenario.title}. {scenario.story}")
        return 0
    config = RunConfig(
        options.scenario, options.weeks, options.seed, options.threshold, options.retrain
    )
    workspace = open_workspace()
    _end_on_sigterm()

    from mlops_course.pipeline.loop import run_pipeline

    with closing(run_pipeline(config, workspace)) as events:
        state = fold(_narrated(events))
    if options.json:
        print(json.dumps(summarise(state), allow_nan=False))
    elif not state.error:
        print(f"{state.seconds:.1f} s for {len(state.weeks)} of {config.planned_weeks} weeks.")
    return 1 if state.error else 0


def _narrated(events: Iterator[Event]) -> Iterator[Event]:
    """Pass events on, and tell each of them on stderr."""
    for event in events:
        if line := _line(event):
            _say(line)
        yield event


def _line(event: Event) -> str:
    match event:
        case RunStarted():
            return f"{event.title}: {event.weeks} weeks, seed {event.seed}."
        case StageFinished():
            return f"{event.stage:<9} {event.seconds:5.2f} s  {event.headline}"
        case StageFailed():
            return f"{event.stage:<9} {event.seconds:5.2f} s  FAILED  {event.message}"
        case WeekScored():
            moved = f"  moved: {', '.join(event.drifted[:4])}" if event.drifted else ""
            version = f"version {event.model_version}"
            return f"week {event.week}  accuracy {event.accuracy:.3f}  {version}{moved}"
        case AlertRaised():
            return f"ALERT     {event.message}"
        case Retrained():
            return f"retrained on {event.rows:,} flights of {' and '.join(event.weeks)}"
        case Promoted():
            return f"promoted  version {event.to_version}. {event.reason}"
        case Rejected():
            return f"rejected  {event.reason}"
        case _:
            return ""


def _gate(options: argparse.Namespace, _: Sequence[str]) -> int:
    from mlops_course.core.verdicts import as_markdown
    from mlops_course.release import gate
    from mlops_course.training import tracking

    store = tracking.connect(open_workspace())
    verdict = gate.judge(store, options.candidate)
    text = as_markdown(verdict, gate.title(verdict))
    print(text)
    print(f"Kept in run {gate.record(store, options.candidate, verdict)}.")
    if options.report:
        options.report.write_text(text, encoding="utf-8")
    return 0 if verdict.passed else 1


def _serve(options: argparse.Namespace, _: Sequence[str]) -> int:
    if not 0 <= options.port <= 65_535:
        raise ParameterError(
            f"The port is {options.port}.",
            "Ports go from 0 to 65535.",
            "Leave it out for a free one.",
        )
    workspace = open_workspace()
    _end_on_sigterm()

    from mlops_course.serving.service import Service

    service = Service(options.port, workspace.predictions, access_log="-")
    with closing(service):
        # The service needs two seconds to start, and so does what tells it the model.
        starting = threading.Thread(target=_start_quietly, args=(service,))
        starting.start()

        from mlops_course.release.follower import serve
        from mlops_course.training import tracking

        starting.join()
        store = tracking.connect(workspace)
        with (
            suppress(KeyboardInterrupt),
            serve(store, options.alias, service=service, tell=_say),
        ):
            print(service.url, flush=True)
            threading.Event().wait()
    _say("Stopped.")
    return 0


def _start_quietly(service: "Service") -> None:
    """Start a service ahead of time; whoever uses it meets its trouble again."""
    with suppress(CourseError):
        service.start()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _end_on_sigterm() -> None:
    """Let a terminated run close its MLflow run and its service, as an interrupted one does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with suppress(ValueError):
        signal.signal(signal.SIGTERM, interrupt)


def _lab(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from jupyterlab.labapp import main as start_lab

    clone = _clone("lab", FIRST_NOTEBOOK)
    arguments = [
        f"--ServerApp.root_dir={clone}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=",
        "--ServerApp.ip=127.0.0.1",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    start_lab([*arguments, *rest])
    return 0


def _test(options: argparse.Namespace, rest: Sequence[str]) -> int:
    clone = _clone("test", "tests")
    return subprocess.call([sys.executable, "-m", "pytest", *rest], cwd=clone)


def _bench(options: argparse.Namespace, _: Sequence[str]) -> int:
    script = _clone("bench", "tests/bench.py") / "tests" / "bench.py"
    return subprocess.call([sys.executable, str(script)])


def _notebooks(options: argparse.Namespace, _: Sequence[str]) -> int:
    script = _clone("notebooks", "tests/tools/executor.py") / "tests" / "tools" / "executor.py"
    mode = next(f"--{name}" for name in ("execute", "check", "solved") if getattr(options, name))
    return subprocess.call([sys.executable, str(script), mode, *options.numbers])


def _doctor(options: argparse.Namespace, _: Sequence[str]) -> int:
    from mlops_course.cli.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok  ' if finding.fine else 'FIX '}{finding.name:<10} {finding.seen}")
        if not finding.fine:
            print(f"    {finding.advice}")
    return 0 if all(finding.fine for finding in findings) else 1


def _reset(options: argparse.Namespace, _: Sequence[str]) -> int:
    workspace = Workspace(default_home())
    if not options.yes:
        if not sys.stdin.isatty():
            raise ParameterError(
                f"Nothing was deleted in {workspace.root}.",
                "Deleting runs and models takes a confirmation.",
                "Add --yes to the command.",
            )
        answer = input(f"Delete all runs and models in {workspace.root}? Type yes: ")
        if answer.strip().lower() != "yes":
            print("Nothing was deleted.")
            return 0
    reset_workspace(workspace)
    print(f"{workspace.root} is empty.")
    return 0


def _clone(command: str, needed: str) -> Path:
    """Return the clone's folder, which holds what an installed package does not."""
    if not (CLONE / needed).exists():
        raise CourseError(
            f"`mlops-course {command}` does not find {needed}.",
            "It works inside a clone of the course.",
            "Clone the repository and run `python3 course.py` there.",
        )
    return CLONE
