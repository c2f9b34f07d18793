"""Runbooks as data: signs that can be looked up, and what is done where they hold.

A runbook is written by people and followed by a scripted player, morning after morning. It sees
what anybody on call sees, and pays for each page that a sign needs.
"""

import operator
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from itertools import chain
from statistics import median
from typing import Any

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.texts import short
from mlops_course.data.features import FEATURES
from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.looks import Look
from mlops_course.oncall.state import DAY
from mlops_course.shifts.prices import ACTIONS, SILENT
from mlops_course.shifts.watching import DAILY, WEEKLY, DayFigures, WeekFigures

AGAIN_DAYS = 7
LATELY_DAYS = 10  # in which an alarm may still come from what was acted on
SETTLED_DAYS = 7  # after which a version is no longer new
LATELY = "lately"
NONE = "none"
FORCED = "forced"
AT_ANY_TIME = ("hold", "resume")  # done whenever their signs hold, if they can be

_COMPARED = re.compile(r"([a-z_.]+) *(<=|>=|==|!=|<|>) *(-?[\w.-]+)")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Entry:
    """An entry of a runbook.

    Attributes
    ----------
    signs
        What must hold, in the order in which it is looked up; see `sign_faults`.
    do
        The actions, each perhaps with its options, as in ``retrain weeks=2``.
    cause, sure
        What is stated with them; the cause ``lately`` is that of the last days, or none.
    again_days
        Days before it is done again.
    last
        Whether the entries below it are left for another morning, if something of it was done, or
        there is nothing to do.
    """

    signs: tuple[str, ...]
    do: tuple[str, ...] = ()
    cause: str = ""
    sure: float = SILENT
    again_days: int = AGAIN_DAYS
    last: bool = False


@dataclass(frozen=True)
class Runbook:
    """Entries, in the order in which they are tried."""

    entries: tuple[Entry, ...]


# ---- what can be looked up


def _of_overview(page: Look, today: date) -> dict[str, float]:
    days: Sequence[DayFigures] = page.facts["days"]
    age = page.facts["age"]
    found = {"age": float(age or 0)}
    if not days or days[-1].day != today - DAY:
        return found
    newest = days[-1]
    earlier = [day.called_late for day in days[:-1]]
    seen = set(chain.from_iterable(day.versions for day in days[:-SETTLED_DAYS]))
    return found | {
        "unanswered": newest.unanswered,
        "ms": newest.ms,
        "called_late": newest.called_late,
        "called_late_change": newest.called_late / (median(earlier) + 0.01) if earlier else 1.0,
        "missing": newest.missing,
        "unseen": newest.unseen,
        "new_version": float(bool(seen and set(newest.versions) - seen)),
    }


def _of_rows(page: Look, today: date) -> dict[str, float]:
    if "by" not in page.facts:
        return {}
    by = page.facts["by"]
    airports = [part for name, part in by.items() if name not in ("training", "all")]
    sizes = [part["flights"] for part in airports]
    everywhere = by["all"]
    return {
        "dep_delay_lowest_tenth": everywhere["dep_delay, lowest tenth"],
        "dep_delay_largest": everywhere["dep_delay, largest"],
        "dep_delay_empty": everywhere["dep_delay, empty"],
        "hour_first": everywhere["hour, first"],
        "earliest_last_hour": min(part["hour, last"] for part in airports),
        "temp_median": everywhere["temp, median"],
        "weather_empty": everywhere["weather, empty"],
        "smallest_airport": min(sizes) / max(sizes),
        "unknown_airlines": float(len(page.facts["unknown"])),
    }


def _of_weeks(page: Look, today: date) -> dict[str, float]:
    weeks: Sequence[WeekFigures] = page.facts["weeks"]
    if not weeks:
        return {}
    newest = weeks[-1]
    uncalled = [week.observed_late - week.called_late for week in weeks[-2:]]
    return {
        "accuracy": newest.accuracy,
        "lead_over_rule": newest.accuracy - newest.rule,
        "late_uncalled": uncalled[-1],
        "late_uncalled_twice": min(uncalled),
        "labelled": newest.labelled,
        "drifted": float(sum(score > 1 for score in newest.drift.values())),
    }


def _of_registry(page: Look, today: date) -> dict[str, float]:
    newest = page.facts["moves"][-1]
    age = (today - date.fromisoformat(newest.day)).days
    return {"forced": float(newest.reason.startswith(FORCED)), "age": float(age)}


def _of_service(page: Look, today: date) -> dict[str, float]:
    return {"refused": float(page.facts.get("refused", 0))}


def _of_drift(page: Look, today: date) -> dict[str, float]:
    return dict(page.facts.get("scores", {}))


PAGES: Mapping[str, Callable[[Look, date], dict[str, float]]] = {
    "overview": _of_overview,
    "rows": _of_rows,
    "weeks": _of_weeks,
    "registry": _of_registry,
    "service": _of_service,
    "drift": _of_drift,
}
"""What each page has to say in figures; those that a page cannot tell hold for no sign."""

SIGNS: Mapping[str, tuple[str, ...]] = {
    "overview": (
        *("age", "unanswered", "ms", "called_late", "called_late_change", "missing", "unseen"),
        "new_version",
    ),
    "rows": (
        *("dep_delay_lowest_tenth", "dep_delay_largest", "dep_delay_empty", "hour_first"),
        *("earliest_last_hour", "temp_median", "weather_empty", "smallest_airport"),
        "unknown_airlines",
    ),
    "weeks": (
        *("accuracy", "lead_over_rule", "late_uncalled", "late_uncalled_twice", "labelled"),
        "drifted",
    ),
    "registry": ("forced", "age"),
    "service": ("refused",),
    "drift": FEATURES,
}


# ---- reading one


def read_runbook(text: str) -> Runbook:
    """Read a runbook that is written in TOML, a table ``[[entry]]`` for each entry.

    Raises
    ------
    ParameterError
        If it is no TOML, or an entry has a sign, an action or a cause that there is not. All that
        is wrong is named, each with the line on which its entry begins.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unusable([f"{error}."]) from error
    tables = content.get("entry")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _unusable(["It holds no entry: each begins with a line [[entry]]."])
    lines = [place for place, line in enumerate(text.splitlines(), 1) if "[[entry]]" in line]
    found = []
    entries = []
    for table, line in zip(tables, lines, strict=False):
        wrong = _faults(table)
        found += [f"Line {line}: {sentence}" for sentence in wrong]
        if not wrong:
            lists = {name: tuple(table.get(name, ())) for name in ("signs", "do")}
            entries.append(Entry(**{**table, **lists}))
    if found:
        raise _unusable(found)
    return Runbook(tuple(entries))


def built_in() -> Runbook:
    """Return the runbook of the skilled player."""
    text = files("mlops_course.oncall").joinpath("texts", "runbook.toml")
    return read_runbook(text.read_text(encoding="utf-8"))


def sign_faults(sign: object) -> str:
    """Return what is wrong with a sign; empty for one that can be looked up.

    It is ``held``, ``any alarm``, ``alarm NAME``, or a comparison: of ``weekday`` (0 for Monday),
    ``month``, ``lately`` (with a cause, or none), or a page's figure, as in ``overview.age > 0``.

    >>> sign_faults("overview.age > 0")
    ''
    >>> sign_faults("overview.agee > 0")
    "There is no 'overview.agee'; do you mean overview.age?"
    """
    if sign in ("held", "any alarm"):
        return ""
    if not isinstance(sign, str):
        return f"The sign {short(repr(sign))} is no text."
    if sign.startswith("alarm "):
        return _unknown(sign.removeprefix("alarm "), [rule.name for rule in (*DAILY, *WEEKLY)])
    parts = _COMPARED.fullmatch(sign)
    if parts is None:
        return f"{short(repr(sign))} is no comparison such as 'overview.age > 0'."
    name, _, value = parts.groups()
    if name == LATELY:
        return _unknown(value, [*INCIDENTS])
    return _unknown(name, ["weekday", "month", *_figure_names()]) or _number_faults(value)


def _figure_names() -> list[str]:
    names = []
    for page, figures in SIGNS.items():
        names += [f"{page}.{figure}" for figure in figures]
    return names


def _faults(table: Mapping[str, Any]) -> list[str]:
    known = Entry.__dataclass_fields__
    found = [f"{_unknown(name, known)}" for name in table if name not in known]
    if not isinstance(table.get("signs"), list) or not table["signs"]:
        return [*found, "signs is a list of at least one sign."]
    found += [sign_faults(sign) for sign in table["signs"]]
    do = table.get("do", [])
    found += (
        [_action_faults(action) for action in do] if isinstance(do, list) else ["do is a list."]
    )
    cause = table.get("cause", "")
    if cause and cause != LATELY:
        found.append(_unknown(str(cause), [*INCIDENTS]))
    sure = table.get("sure", SILENT)
    if isinstance(sure, bool) or not isinstance(sure, int | float) or not SILENT <= sure <= 1:
        found.append(f"sure is {short(repr(sure))}; it is a number from {SILENT:g} to 1.")
    again = table.get("again_days", AGAIN_DAYS)
    if isinstance(again, bool) or not isinstance(again, int) or again < 1:
        found.append(f"again_days is {short(repr(again))}; it is a whole number above 0.")
    return [sentence for sentence in found if sentence]


def _action_faults(action: object) -> str:
    name, *options = str(action).split()
    if wrong := _unknown(name, [*ACTIONS]):
        return wrong
    if all(re.fullmatch(r"(weeks|days)=\d+", option) for option in options):
        return ""
    return f"{short(repr(action))}: options are written as in 'retrain weeks=2'."


def _unknown(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    if name in known:
        return ""
    near = get_close_matches(name, list(known), 1)
    hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    return f"There is no {short(repr(name))}; {hint}"


def _number_faults(value: str) -> str:
    try:
        float(value)
    except ValueError:
        return f"{short(repr(value))} is no number to compare with."
    return ""


def _unusable(found: Sequence[str]) -> ParameterError:
    return ParameterError(
        f"The runbook cannot be followed. {' '.join(found[:5])}",
        "Each entry has signs that can be looked up, and actions that there are.",
        "Correct it, and try again.",
    )


# ---- following one


def follow(engine: Engine, runbook: Runbook) -> None:
    """Play a shift to its end by a runbook."""
    reader = _Reader(engine, runbook)
    while not engine.drill.over:
        if engine.drill.served:
            reader.morning()
        engine.next_day()


@dataclass
class _Reader:
    """Somebody who follows a runbook, and remembers what was done when."""

    engine: Engine
    runbook: Runbook
    done: dict[tuple[str, str], date] = field(default_factory=dict)
    seen: dict[str, dict[str, float]] = field(default_factory=dict)

    def morning(self) -> None:
        """Try the entries, from the first on; each page is looked at once."""
        self.seen = {}
        for entry in self.runbook.entries:
            if not all(self._holds(sign) for sign in entry.signs):
                continue
            done = [self._do(entry, action) for action in entry.do]
            if entry.last and (any(done) or not done):
                return

    def _holds(self, sign: str) -> bool:
        drill = self.engine.drill
        if sign == "held":
            return drill.held
        if sign == "any alarm":
            return bool(drill.alarms)
        if sign.startswith("alarm "):
            return sign.removeprefix("alarm ") in drill.alarms
        parts = _COMPARED.fullmatch(sign)
        assert parts is not None
        name, compared, value = parts.groups()
        if name == LATELY:
            return bool(_OPERATORS[compared](self._lately(), value))
        known = {"weekday": drill.today.weekday(), "month": drill.today.month}
        figure = known[name] if name in known else self._figure(name)
        return figure is not None and bool(_OPERATORS[compared](figure, float(value)))

    def _figure(self, name: str) -> float | None:
        """Return a page's figure; the page is looked at if it was not yet this morning."""
        page, _, figure = name.partition(".")
        if page not in self.seen:
            self.seen[page] = PAGES[page](self.engine.look(page), self.engine.drill.today)
        return self.seen[page].get(figure)

    def _lately(self) -> str:
        """Return the newest cause that was acted on in the last days; ``none`` if none was."""
        recent = {
            when: cause
            for (_, cause), when in self.done.items()
            if cause not in ("", NONE) and (self.engine.drill.today - when).days <= LATELY_DAYS
        }
        return recent[max(recent)] if recent else NONE

    def _do(self, entry: Entry, action: str) -> bool:
        """Do something, unless it was done these days or cannot be done now; return whether."""
        name, *options = action.split()
        cause = self._lately() if entry.cause == LATELY else entry.cause
        today = self.engine.drill.today
        last = self.done.get((action, cause), date.min)
        if name not in AT_ANY_TIME and (today - last).days < entry.again_days:
            return False
        given: dict[str, Any] = {}
        if ACTIONS[name].states and cause:
            given = {"cause": cause, "sure": entry.sure}
        for option in options:
            key, _, value = option.partition("=")
            given[key] = int(value)
        try:
            self.engine.act(name, **given)
        except CourseError:
            return False
        self.done[action, cause] = today
        return True
