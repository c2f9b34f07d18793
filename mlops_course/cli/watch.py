"""The commands that watch: has a window of data drifted, and does an alert rule fire?

The first compares flights of the real year, chosen by their days, or two files of anybody's. The
second reads what a service has written down, and the labels that have arrived.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from itertools import chain
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_course.cli.terminal import DONE, FAILED, MISUSED, UNDECIDED
from mlops_course.core.errors import DataError, ParameterError, WorkspaceError
from mlops_course.core.texts import one_line, short
from mlops_course.core.workspace import CLONE, Workspace, default_home, open_workspace

if TYPE_CHECKING:
    import pandas as pd

    from mlops_course.alerting.alerts import Alert
    from mlops_course.alerting.rules import Rule, Watched
    from mlops_course.data.periods import Days
    from mlops_course.drift.calm_weeks import Moved, Reference
    from mlops_course.drift.reports import Bar, Report
    from mlops_course.monitoring.figures import Terms
    from mlops_course.monitoring.windows import Record

DRIFT_STATUSES = (
    "Exit status: 0 calm; 1 alarm: the window is stranger than every calm week; 2 there is no "
    "verdict: too few calm weeks or rows, no time column, or the command was misused."
)
MONITOR_STATUSES = (
    "Exit status: 0 no rule fires on the latest window; 1 one does; 2 the command or the rules "
    "file was misused; 3 it could not be judged: there is no log, no label store, no flight, or so "
    "little on the latest window that no rule can tell."
)
RULES_FILE = CLONE / "notebooks" / "07_rules.toml"
MAX_SHOWN = 40
NAME_WIDTH = 24


def drift(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Compare a window with a reference and print the report; the status is the verdict."""
    _check_use(options)
    from mlops_course.drift.reports import as_record, compare

    if options.files:
        reference, window = _own_files(options.files, options.time)
        time = options.time
        days = None
    else:
        reference, window = _flights(options.reference, options.window, options.incident)
        time = "date"
        days = options.window
    if options.rows is not None:
        window = _drawn(window, options.rows, options.seed)
    report = compare(reference, window, time, days=days, without=options.without)
    if options.json:
        print(json.dumps(as_record(report), allow_nan=False))
    else:
        print("\n".join(_told(report)))
    if report.alarm is None:
        return MISUSED
    return FAILED if report.alarm else DONE


def _check_use(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    names = ("reference", "window", "incident")
    for_flights = [f"--{name}" for name in names if getattr(options, name) is not None]
    if options.files and for_flights:
        raise ParameterError(
            f"{' and '.join(for_flights)} are for flights, and files are named.",
            "Flights of the year are compared with each other, or two files.",
            "Leave out the options, or the files.",
        )
    if options.files and len(options.files) != 2:
        raise ParameterError(
            f"Files are compared two at a time, and {len(options.files)} are named.",
            "The first is the reference, the second the window.",
            "Write drift REFERENCE WINDOW --time COLUMN.",
        )
    if not options.files and not (options.reference and options.window):
        raise ParameterError(
            "It is not said what to compare.",
            "It takes calm days and the days to judge, or two files.",
            "Write for instance drift --reference 2013-01-01..2013-03-31 --window "
            "2013-09-02..2013-09-08.",
        )
    if options.time is not None and not options.files:
        raise ParameterError(
            f"The flights have no need of --time {short(options.time)}.",
            "Their days are known; the option is for files.",
            "Leave it out.",
        )
    if options.without and options.files and options.time is None:
        raise ParameterError(
            "Without a time column no days can be left out.",
            "--without goes by the days of the rows.",
            "Name the column that says when a row was with --time.",
        )
    if not 0 <= options.seed < 2**63:
        raise ParameterError(
            f"The seed is {short(options.seed)}.",
            "A seed is a whole number from 0 on, below 2 to the power of 63.",
            "Give --seed 1, for instance.",
        )


def _own_files(files: Sequence[Path], time: str | None) -> "tuple[pd.DataFrame, pd.DataFrame]":
    from mlops_course.data.tables import read_table

    return read_table(files[0], keep=time), read_table(files[1], keep=time)


def _flights(
    reference: "Days", window: "Days", incident: str | None
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the flights of both periods, with what the model sees; an incident hits the window."""
    from mlops_course.data.features import FEATURES
    from mlops_course.data.flights import FIRST_DAY, LAST_DAY, load_flights
    from mlops_course.data.incidents import INCIDENTS

    changing = ["none", *(name for name, one in INCIDENTS.items() if one.changes_flights)]
    if incident is not None and incident not in changing:
        known = incident in INCIDENTS
        raise ParameterError(
            f"The incident {incident!r} changes no flight."
            if known
            else f"There is no incident {short(incident)!r}.",
            f"Those that change flights are {', '.join(changing)}.",
            "Choose one of these.",
        )
    for days in (reference, window):
        if days.first < FIRST_DAY or days.last > LAST_DAY:
            raise ParameterError(
                f"The flights do not reach from {days.first} to {days.last}.",
                f"The data covers {FIRST_DAY} to {LAST_DAY}.",
                "Choose days inside it.",
            )
    workspace = open_workspace()
    calm = load_flights(workspace, reference.first, reference.last)
    rows = load_flights(workspace, window.first, window.last)
    rows = INCIDENTS[incident or "none"].apply(rows)
    columns = ["date", *FEATURES]
    return calm[columns], rows[columns]


def _drawn(window: "pd.DataFrame", rows: int, seed: int) -> "pd.DataFrame":
    """Return so many rows of the window by lot, in their order."""
    import numpy as np

    if not 0 < rows <= len(window):
        raise ParameterError(
            f"The window has {len(window):,} rows; {short(rows)} were to be drawn.",
            "Some of its rows can be drawn, each once.",
            f"Give --rows from 1 to {len(window)}, or leave it out.",
        )
    order = np.random.default_rng(seed).permutation(len(window))[:rows]
    return window.iloc[np.sort(order)]


def _told(report: "Report") -> Iterator[str]:
    """Yield the lines of a report: the verdict, its promise, the features, the findings."""
    yield _verdict(report)
    if report.at_most is not None:
        yield (
            f"Of windows like the calm ones at most 1 in {report.periods + 1} "
            f"({report.at_most:.1%}) alarms. That is promised for one look, at days of the same "
            "season."
        )
    if report.bar is not None:
        yield _bar_in_words(report.bar)
    yield ""
    shown = report.features[:MAX_SHOWN]
    width = max([len("feature"), *(min(len(one.name), NAME_WIDTH) for one in shown)])
    yield f"{'feature':<{width}}  {'measure':<18}  distance  score  missing"
    for one in shown:
        yield _line(one, width)
    if len(report.features) > MAX_SHOWN:
        yield f"... and {len(report.features) - MAX_SHOWN} more, which --json holds."
    if report.findings:
        yield ""
        yield from (f"- {one_line(finding)}" for finding in report.findings[:MAX_SHOWN])
    if len(report.findings) > MAX_SHOWN:
        yield f"... and {len(report.findings) - MAX_SHOWN} more, which --json holds."


def _verdict(report: "Report") -> str:
    """Return the verdict as a sentence, or why there is none."""
    from mlops_course.drift.calm_weeks import MIN_WEEKS
    from mlops_course.drift.findings import rows_in_words
    from mlops_course.drift.reports import MIN_ROWS

    rows = rows_in_words(report.rows)
    like = _periods(report.period_days)
    if report.alarm:
        return f"ALARM: {rows}, stranger than each of {report.periods} {like}."
    if report.alarm is not None:
        return f"Calm: {rows}, no stranger than the strangest of {report.periods} {like}."
    if not report.period_days:
        why = "it takes a column that says when a row was; name it with --time"
    elif report.rows < MIN_ROWS:
        why = f"the window has {rows}, and it takes {MIN_ROWS}"
    else:
        why = f"the reference holds {report.periods} {like}, and it takes {MIN_WEEKS}"
    return f"No verdict: {why}. What follows are distances; how far is far, only other weeks tell."


def _bar_in_words(bar: "Bar") -> str:
    """Return which calm period a window would have had to pass, and how to leave it out."""
    return (
        f"The bar: {bar.days} lies {bar.times:.1f} times as far out in "
        f"{short(bar.feature, NAME_WIDTH)} as any other calm period, and only a stranger window "
        f"alarms. If its cause is known, leave it out with --without {bar.days}."
    )


def _periods(days: int) -> str:
    if days == 7:
        return "calm weeks"
    return "calm days" if days == 1 else f"calm stretches of {days} days"


def _line(one: "Moved", width: int) -> str:
    score = "" if isnan(one.score) else f"{one.score:.2f}"
    mark = "  DRIFTED" if one.drifted else ""
    name = short(one.name, NAME_WIDTH)
    return (
        f"{name:<{width}}  {one.measure:<18}  {one.distance:>8.3f}  {score:>5}  "
        f"{one.missing:>7.1%}{mark}"
    )


def monitor(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Hold what a service has written down against alert rules, window by window."""
    from mlops_course.alerting.rule_files import read_rules
    from mlops_course.alerting.rules import evaluate
    from mlops_course.monitoring.windows import read_record

    file = read_rules(options.rules or RULES_FILE)
    record = read_record(options.log or _latest_log(Workspace(default_home())))
    if record.flights.empty:
        raise DataError(
            "The label store announces no flight.",
            "Windows are made of the flights that were to be asked about.",
            "Write them down with monitoring.labels.expect, or run `mlops-course simulate`.",
        )
    terms, reference = _as_trained(file.terms, record)
    watched = evaluate(file.rules, record, terms, reference)
    if options.json:
        print(json.dumps(_watch_record(watched, record, terms), allow_nan=False))
    else:
        print("\n".join(_watch_lines(watched, record, file.rules)))
    if _firing(watched):
        return FAILED
    return DONE if _told_now(watched, file.rules) else UNDECIDED


def _latest_log(workspace: Workspace) -> Path:
    """Return the prediction log with a label store that was written last."""
    from mlops_course.core.workspace import logs
    from mlops_course.monitoring.labels import beside

    with_labels = [log for log in logs(workspace) if beside(log).exists()]
    if not with_labels:
        raise WorkspaceError(
            f"The workspace {workspace.root} has no prediction log with a label store beside it.",
            "A pipeline run leaves both.",
            "Run `mlops-course simulate` first, or name a log with --log.",
        )
    return max(with_labels, key=lambda log: log.stat().st_mtime)


def _as_trained(terms: "Terms", record: "Record") -> "tuple[Terms, Reference | None]":
    """Return the terms with what training knew, and the calm weeks to compare inputs with.

    There are none where the log is of other days than those of the data.
    """
    from mlops_course.data.features import vocabulary_of
    from mlops_course.data.flights import FIRST_DAY, LAST_DAY, LAST_HELD_OUT, load_flights
    from mlops_course.data.stream import WEEK
    from mlops_course.drift.calm_weeks import ROLLING_WEEKS, fit_reference

    winter = load_flights(open_workspace(), FIRST_DAY, LAST_HELD_OUT)
    known = replace(terms, vocabulary=vocabulary_of(winter))
    begin = record.flights["date"].min().date()
    if not FIRST_DAY + ROLLING_WEEKS * WEEK <= begin <= LAST_DAY:
        return known, None
    before = load_flights(open_workspace(), begin - ROLLING_WEEKS * WEEK, begin - timedelta(days=1))
    return known, fit_reference(winter, before)


def _firing(watched: "Sequence[Watched]") -> list[str]:
    """Return the names of the rules that fire on the latest window of their length."""
    return [alert.rule for alert in _alerts(_latest(watched))]


def _told_now(watched: "Sequence[Watched]", rules: "Sequence[Rule]") -> bool:
    """Return whether any rule can tell about the latest window of its length."""
    latest = _latest(watched)
    lengths = {one.length for one in latest}
    asked = [rule.name for rule in rules if rule.window in lengths]
    unknown = {found.rule for found in chain.from_iterable(one.look.unknown for one in latest)}
    return any(name not in unknown for name in asked)


def _latest(watched: "Sequence[Watched]") -> "list[Watched]":
    """Return the latest window of each length."""
    return list({one.length: one for one in watched}.values())


def _alerts(watched: "Iterable[Watched]") -> "Iterator[Alert]":
    return chain.from_iterable(one.look.alerts for one in watched)


def _watch_record(
    watched: "Sequence[Watched]", record: "Record", terms: "Terms"
) -> dict[str, object]:
    """Return the object that ``monitor --json`` prints; what nobody can know is null."""
    from mlops_course.monitoring.figures import measured

    windows = []
    for one in watched:
        quality = one.window.quality
        figures = measured(one.window, terms)
        windows.append(
            {
                "window": one.window.name,
                "length": one.length,
                "start": one.window.start.isoformat(),
                "end": one.window.end.isoformat(),
                "answered": quality.answered,
                "unanswered": quality.unanswered,
                "labelled": quality.labelled,
                "figures": {name: _known(value) for name, value in figures.items()},
                "unknown": [unknown.rule for unknown in one.look.unknown],
            }
        )
    alerts = [asdict(alert) for alert in _alerts(watched)]
    return {"windows": windows, "alerts": alerts, "findings": list(record.findings)}


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def _watch_lines(
    watched: "Sequence[Watched]", record: "Record", rules: "Sequence[Rule]"
) -> Iterator[str]:
    """Yield what fired, an episode a line, and what nobody could tell."""
    flights = record.flights
    yield (
        f"{len(flights):,} flights from {flights['date'].min():%Y-%m-%d} to "
        f"{flights['date'].max():%Y-%m-%d}, {len(watched)} windows."
    )
    now = _firing(watched)
    for alert in _alerts(watched):
        if alert.since != alert.window:
            continue
        yield f"{alert.severity:<6}  {alert.rule}: {one_line(alert.message)}"
        yield f"        {alert.owner}: {one_line(alert.runbook)}"
    calm = "No rule fires now." if _told_now(watched, rules) else "No rule can tell now."
    yield f"Firing now: {', '.join(now)}." if now else calm
    yield from (f"- {finding}" for finding in record.findings)
    unknown: dict[str, list[str]] = {}
    for one in chain.from_iterable(seen.look.unknown for seen in watched):
        unknown.setdefault(one.rule, []).append(one.window)
    for rule, windows in unknown.items():
        times = "once" if len(windows) == 1 else f"{len(windows)} times"
        yield f"- {rule}: could not tell {times}, the last for {windows[-1]}."
