"""The commands that decide which version serves, and the one that serves it.

The gate, a promotion, a rollback and the log's audit say by their exit status what became of it:
done, refused, or could not be judged.
"""

import argparse
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_course.cli.terminal import DONE, FAILED, end_on_sigterm, say
from mlops_course.core.errors import (
    CourseError,
    DataError,
    ParameterError,
    WorkspaceError,
)
from mlops_course.core.texts import one_line, short
from mlops_course.core.workspace import Workspace, check_place, default_home, open_workspace

if TYPE_CHECKING:
    from mlops_course.core.verdicts import Verdict
    from mlops_course.registry.promotions import Entry
    from mlops_course.serving.service import Service
    from mlops_course.training.tracking import Store

# The exit statuses, as each command's help tells them.
GATE_STATUSES = (
    "Exit status: 0 it passed; 1 it is blocked; 2 the command was misused; 3 it could not be "
    "judged: there is no such version, the flights to judge on are unfit or worn out, or the store "
    "or the service is in trouble."
)
PROMOTE_STATUSES = (
    "Exit status: 0 it is champion; 1 refused: no reason, no passed verdict on this version, or "
    "one against a version that is champion no longer; 2 the command was misused; 3 it could not "
    "be judged: there is no such version, or the store is in trouble."
)
ROLLBACK_STATUSES = (
    "Exit status: 0 the former champion is back; 1 refused: no reason, or nothing to go back to; "
    "2 the command was misused; 3 it could not be judged: that version was deleted, or the store "
    "is in trouble."
)
LOG_STATUSES = (
    "Exit status: 0 done, and the audit, if asked for, passed; 1 the audit failed; 2 the command "
    "was misused; 3 the log could not be read: the store is in trouble."
)


def gate(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Judge a version, print the report, and keep the verdict as evidence for a promotion.

    An exam that is worn out is replaced by later days, so these can be chosen; it says nothing
    about the version, so nothing is kept of it.
    """
    from mlops_course.core.verdicts import as_markdown
    from mlops_course.data.flights import FIRST_HELD_OUT, LAST_DAY, LAST_HELD_OUT
    from mlops_course.registry import exams
    from mlops_course.release.gate import judge, record, title

    first = options.first or FIRST_HELD_OUT
    last = options.last or min(first, LAST_DAY) + (LAST_HELD_OUT - FIRST_HELD_OUT)
    with _report_at(options.report) as write, _open_store() as store:
        verdict = judge(store, options.version, first, last)
        failed = [check for check in verdict.checks if not check.passed]
        if [check.name for check in failed] == [exams.NAME]:
            raise DataError(
                f"Version {short(options.version)} was not judged.",
                failed[0].seen,
                "Name them with --first and --last.",
            )
        text = as_markdown(verdict, title(verdict))
        kept = record(store, options.version, verdict)
        print(text)
        print(f"Kept in run {kept}.")
        write(text)
    return DONE if verdict.passed else FAILED


def promote(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Make a version the champion, on the evidence named or on the newest passed verdict."""
    from mlops_course.registry import promotions

    with _open_store() as store:
        entry = promotions.promote(
            store,
            options.version,
            options.reason,
            evidence=options.evidence,
            who=options.who,
            force=options.force,
        )
    print(_line(entry))
    return DONE


def roll_back(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Make the champion before the current one the champion again."""
    from mlops_course.registry import promotions

    with _open_store() as store:
        entry = promotions.roll_back(store, options.reason, who=options.who)
    print(_line(entry))
    return DONE


def show_log(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print the promotion log and, if asked for, its audit."""
    from mlops_course.registry import promotions

    with _open_store() as store:
        entries = promotions.history(store)
        verdict = promotions.audit(store) if options.audit else None
    if options.json:
        print(json.dumps(_record(entries, verdict)))
    else:
        _print_log(entries, verdict)
    return FAILED if verdict and not verdict.passed else DONE


def serve(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Serve the version that an alias points at until interrupted."""
    if not 0 <= options.port <= 65_535:
        raise ParameterError(
            f"The port is {options.port}.",
            "Ports go from 0 to 65535.",
            "Leave it out for a free one.",
        )
    workspace = _open_used_workspace()
    end_on_sigterm()

    from mlops_course.serving.service import Service

    service = Service(options.port, workspace.predictions, "-", options.allow_host)
    with closing(service):
        # The service needs two seconds to start, and so does what tells it the model.
        starting = threading.Thread(target=_start_quietly, args=(service,))
        starting.start()

        from mlops_course.release import follower
        from mlops_course.training import tracking

        starting.join()
        store = tracking.connect(workspace)
        with (
            suppress(KeyboardInterrupt),
            follower.serve(store, options.alias, service=service, tell=say),
        ):
            print(service.url, flush=True)
            threading.Event().wait()
    say("Stopped.")
    return DONE


@contextmanager
def _open_store() -> Iterator["Store"]:
    """Open the workspace's store; trouble with it inside the block becomes a sentence."""
    from mlops_course.training import tracking

    try:
        yield tracking.connect(_open_used_workspace())
    except tracking.STORE_ERRORS as error:
        raise tracking.explain(error) from error


def _open_used_workspace() -> Workspace:
    """Open the workspace, and make none where nothing was ever registered: its name is a slip."""
    home = default_home()
    check_place(home)
    if not Workspace(home).database.exists():
        raise WorkspaceError(
            f"The workspace {home} has no store of runs and versions.",
            "This command works on what a lesson or the pipeline has registered there.",
            "Name another with --workspace, or run `mlops-course simulate` first.",
        )
    return open_workspace()


@contextmanager
def _report_at(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Give what writes the report, once it was tried: the exam is not to be taken in vain.

    Where nothing is judged no report stays behind, an older one neither.
    """

    def write(text: str) -> None:
        if path is None:
            return
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ParameterError(
                f"The report could not be written to {path} ({error.strerror}).",
                "It is tried before the gate judges; a verdict is kept in the run then named.",
                "Name a file in a folder that exists and can be written.",
            ) from error

    write("The gate is judging.\n")
    try:
        yield write
    except BaseException:
        if path and path.is_file():
            path.unlink()
        raise


def _print_log(entries: Sequence["Entry"], verdict: "Verdict | None") -> None:
    for entry in entries:
        print(_line(entry))
    if not entries:
        print("The log has no entry: nothing was promoted yet.")
    if verdict is None:
        return
    print()
    for check in verdict.checks:
        print(f"{'ok  ' if check.passed else 'FAIL'} {check.name:<28} {one_line(check.seen)}")
    print(f"The audit {'passed' if verdict.passed else 'failed'}.")


def _line(entry: "Entry") -> str:
    """Return an entry as one line: number, when (UTC), action, from and to, who, reason."""
    moved = f"{entry.before or 'none'} -> {entry.after or 'none'}"
    texts = (entry.action, moved, entry.who, entry.reason)
    action, moved, who, reason = (one_line(text) for text in texts)
    return f"{entry.number:>4}  {_when(entry)}  {action:<11}  {moved:<10}  {who}  {reason}"


def _when(entry: "Entry") -> str:
    """Return the time of an entry, also where somebody has made it an impossible one."""
    try:
        return f"{entry.when:%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{entry.at} ms since 1970"


def _record(entries: Sequence["Entry"], verdict: "Verdict | None") -> dict[str, Any]:
    """Return the object that ``log --json`` prints; ``when`` is ``at`` again, for people."""
    told = [{**asdict(entry), "when": _when(entry)} for entry in entries]
    record: dict[str, Any] = {"entries": told}
    if verdict:
        checks = [asdict(check) for check in verdict.checks]
        record["audit"] = {"passed": verdict.passed, "checks": checks}
    return record


def _start_quietly(service: "Service") -> None:
    """Start a service ahead of time; whoever uses it meets its trouble again."""
    with suppress(CourseError):
        service.start()
