"""A shift in a TOML file, composed without code: read with every fault found, each with its line.

A file has a few fields of the shift, ``FIELDS``, and an ``[[incident]]`` for each that strikes,
with the fields of ``INCIDENT_FIELDS``. A file of incidents alone is what a game master injects.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import one_line, short
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import Strike
from mlops_course.shifts.plans import FIRST_MONDAY, MAX_WEEKS, Planned, Reply, Shift, struck

FIELDS = ("name", "seed", "first", "weeks")
INCIDENT_FIELDS = (
    *("what", "day", "severity", "onset_days", "lasts"),
    *("upstream_days", "upstream_honest"),
)
STRIKING = tuple(name for name in INCIDENTS if name != "none")
END = FIRST_MONDAY + timedelta(weeks=MAX_WEEKS)  # the first day of which there are no flights
UNNAMED = "a shift from a file"
MAX_TOLD = 5
MAX_NAME = 80
MAX_DAYS = MAX_WEEKS * 7
_BEGINS = re.compile(r"\s*\[\[\s*incident\s*\]\]")
_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")
# A date that is none would end the reading of TOML; as a text it is found with all other faults.
_DATE = re.compile(r"^(\s*\w+\s*=\s*)(\d+-\d+-\d+)(\s*(?:#.*)?)$", re.MULTILINE)


def read_shift(path: Path) -> Shift:
    """Read a shift file.

    Raises
    ------
    ParameterError
        If it cannot be read, is no TOML, or describes no shift that can be played. The message
        names the file and each fault's line.
    """
    return parse_shift(_text_of(path), str(path))


def parse_shift(text: str, origin: str) -> Shift:
    """Return the shift that a text in the format of a shift file describes.

    Parameters
    ----------
    origin
        What the text is called in a message.

    Raises
    ------
    ParameterError
        As `read_shift`.
    """
    reading = _Reading(origin, text)
    content = reading.content
    reading.check_names(content, FIELDS, None, also=("incident",))
    name = reading.name(content)
    seed = reading.whole(content, "seed", None, 0, 2**32 - 1)
    weeks = reading.whole(content, "weeks", None, 1, MAX_WEEKS)
    first = reading.monday(content)
    if first is None or weeks is None:
        span = None
    else:
        span = Span(first, first + timedelta(weeks=weeks))
        if span.end > END:
            most = (END - first).days // 7
            told = f"weeks is {weeks}; from {first} on there are flights for {most}."
            reading.fault(None, "weeks", told)
    planned = reading.incidents(span)
    reading.end()
    assert seed is not None and first is not None and weeks is not None
    return Shift(seed, first, weeks, tuple(planned), name)


def read_incidents(path: Path, shift: Shift, tomorrow: date) -> tuple[Planned, ...]:
    """Read incidents that are to strike in a shift that is being played.

    Parameters
    ----------
    tomorrow
        The first day on which one may strike; one without a day strikes then, and so does one
        whose day has passed.

    Raises
    ------
    ParameterError
        If the file cannot be used, or names what the shift has already.
    """
    reading = _Reading(str(path), _text_of(path))
    reading.check_names(reading.content, (), None, also=("incident",))
    span = Span(shift.first, shift.last + timedelta(days=1))
    planned = reading.incidents(span, tomorrow)
    for one in planned:
        if one.incident.name in {there.incident.name for there in shift.planned}:
            reading.found.append(f"{one.incident.name} strikes in this shift already.")
    reading.end()
    return tuple(planned)


def write_shift(shift: Shift) -> str:
    """Return the text of a shift file that is read back as the same shift.

    An incident that stays for ever is written as one that stays until the shift's last day.
    """
    lines = [
        f"name = {_quoted(shift.name or UNNAMED)}",
        f"seed = {shift.seed}",
        f"first = {shift.first}",
        f"weeks = {shift.weeks}",
    ]
    for planned in sorted(shift.planned, key=lambda one: one.strike.first):
        lines += ["", *_lines_of(planned, shift)]
    return "\n".join(lines) + "\n"


def write_incident(name: str, day: date | None) -> str:
    """Return the lines that `read_incidents` reads an incident from; None strikes tomorrow."""
    lines = ["[[incident]]", f"what = {_quoted(name)}", *([f"day = {day}"] if day else [])]
    return "\n".join(lines) + "\n"


def _lines_of(planned: Planned, shift: Shift) -> list[str]:
    strike = planned.strike
    end = shift.last + timedelta(days=1)
    usual = struck(planned.incident.name, strike.first, end)
    last = strike.last or shift.last
    lines = ["[[incident]]", f"what = {_quoted(planned.incident.name)}", f"day = {strike.first}"]
    if strike.severity != 1:
        lines.append(f"severity = {float(strike.severity)!r}")
    if strike.onset_days:
        lines.append(f"onset_days = {strike.onset_days}")
    if last != usual.last:
        lines.append(f"lasts = {(last - strike.first).days + 1}")
    if planned.reply.days != Reply().days:
        lines.append(f"upstream_days = {planned.reply.days}")
    if not planned.reply.honest:
        lines.append("upstream_honest = false")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(one_line(text), ensure_ascii=False)


@dataclass(frozen=True)
class Span:
    """The days of a shift; ``end`` is the first day after it."""

    first: date
    end: date


@dataclass
class _Reading:
    """A file that is being read, and the faults found so far, each with its line."""

    origin: str
    text: str
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.content: Mapping[str, Any] = tomllib.loads(_DATE.sub(r'\1"\2"\3', self.text))
        except tomllib.TOMLDecodeError as error:
            self.found.append(f"{error}.")
            self.end()
        self._lines = _lines(self.text)

    def end(self) -> None:
        """Raise if something was found."""
        if not self.found:
            return
        more = f" And {len(self.found) - MAX_TOLD} more." if len(self.found) > MAX_TOLD else ""
        raise ParameterError(
            f"The shift file {short(self.origin)} cannot be used. "
            f"{' '.join(self.found[:MAX_TOLD])}{more}",
            "notebooks/10_shift.toml shows how one is written.",
            "Correct the file, and try again.",
        )

    def fault(self, place: int | None, name: str, sentence: str) -> None:
        """Write down a fault of a field, or of its table where the field is not there.

        Parameters
        ----------
        place
            Which incident, counted from 0; None for the shift's own fields.
        """
        number = 0 if place is None else place + 1
        lines = self._lines[number] if number < len(self._lines) else {}
        line = lines.get(name, lines.get("", 1))
        self.found.append(f"Line {line}: {sentence}")

    def check_names(
        self,
        table: Mapping[str, Any],
        known: Sequence[str],
        place: int | None,
        also: Sequence[str] = (),
    ) -> None:
        """Find fields that there are not."""
        for name in table:
            if name in known or name in also:
                continue
            near = get_close_matches(name, [*known, *also], 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join([*known, *also])}."
            self.fault(place, name, f"there is no field {short(name)!r}; {hint}")

    def name(self, table: Mapping[str, Any]) -> str:
        """Return what the shift is called."""
        given = table.get("name", UNNAMED)
        if isinstance(given, str) and given.isprintable() and 0 < len(given) <= MAX_NAME:
            return given
        self.fault(
            None,
            "name",
            f"name is {short(repr(given))}; it is a text of one line, of 1 to {MAX_NAME} letters.",
        )
        return ""

    def whole(
        self,
        table: Mapping[str, Any],
        name: str,
        place: int | None,
        least: int,
        most: int,
        usual: int | None = None,
    ) -> int | None:
        """Return a whole number; None if there is none."""
        given = table.get(name, usual)
        if given is None:
            self.fault(place, "", f"{name} is missing: a whole number from {least} to {most}.")
        elif type(given) is not int or not least <= given <= most:
            told = f"{name} is {short(repr(given))}; it is a whole number from {least} to {most}."
            self.fault(place, name, told)
            return None
        return given

    def monday(self, table: Mapping[str, Any]) -> date | None:
        """Return the shift's first day."""
        day = self.day(table, "first", None, FIRST_MONDAY, END - timedelta(days=7))
        if day is not None and day.weekday():
            before = day - timedelta(days=day.weekday())
            after = before + timedelta(days=7)
            told = f"first is {day}, a {day:%A}; a shift begins on a Monday: {before} or {after}."
            self.fault(None, "first", told)
            return None
        return day

    def day(
        self, table: Mapping[str, Any], name: str, place: int | None, least: date, most: date
    ) -> date | None:
        """Return a date; None if there is none."""
        wanted = f"a day from {least} to {most}"
        if name not in table:
            self.fault(place, "", f"{name} is missing: {wanted}.")
            return None
        given = table[name]
        try:
            day = date.fromisoformat(given) if isinstance(given, str) else given
        except ValueError:
            day = None
        if not isinstance(day, date) or isinstance(day, datetime):
            self.fault(place, name, f"{name} is {short(given)}, which is no date; it is {wanted}.")
            return None
        if not least <= day <= most:
            self.fault(place, name, f"{name} is {day}; it is {wanted}.")
            return None
        return day

    def incidents(self, span: Span | None, tomorrow: date | None = None) -> list[Planned]:
        """Return the incidents, in order of time."""
        tables = self.content.get("incident", [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            self.fault(None, "incident", "an incident begins with a line [[incident]].")
            return []
        planned: list[Planned] = []
        named: set[str] = set()
        for place, table in enumerate(tables):
            self.check_names(table, INCIDENT_FIELDS, place)
            name = self._what(table, place, named)
            named.add(name)
            one = self._planned(table, place, name, span, tomorrow)
            planned += [one] if one is not None else []
        return sorted(planned, key=lambda one: one.strike.first)

    def _what(self, table: Mapping[str, Any], place: int, named: set[str]) -> str:
        """Return the incident's name; an empty one if it is none that can strike here."""
        name = table.get("what")
        if not isinstance(name, str) or name not in STRIKING:
            near = get_close_matches(str(name), STRIKING, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(STRIKING)}."
            self.fault(place, "what", f"there is no incident {short(repr(name))}; {hint}")
            return ""
        if name in named:
            self.fault(place, "what", f"{name} strikes twice; a shift has each incident once.")
            return ""
        return name

    def _planned(
        self,
        table: Mapping[str, Any],
        place: int,
        name: str,
        span: Span | None,
        tomorrow: date | None,
    ) -> Planned | None:
        least = span.first if span else FIRST_MONDAY
        most = (span.end if span else END) - timedelta(days=1)
        if tomorrow is not None and "day" not in table:
            day: date | None = tomorrow
        else:
            day = self.day(table, "day", place, least, most)
        severity = self._severity(table, place, name)
        onset = self.whole(table, "onset_days", place, 0, MAX_DAYS, 0)
        if name and onset and _is_sudden(name):
            self.fault(place, "onset_days", f"{name} is there at once or not at all; leave it out.")
        lasts = self.whole(table, "lasts", place, 1, MAX_DAYS, MAX_DAYS)
        answers = self.whole(table, "upstream_days", place, 1, MAX_DAYS, Reply().days)
        honest = table.get("upstream_honest", True)
        if not isinstance(honest, bool):
            told = f"upstream_honest is {short(repr(honest))}; it is true or false."
            self.fault(place, "upstream_honest", told)
        if not name or None in (day, severity, onset, lasts, answers) or span is None:
            return None
        assert day is not None and severity is not None and onset is not None
        assert lasts is not None and answers is not None
        day = max(day, tomorrow) if tomorrow else day
        strike = struck(name, day, span.end, severity, onset)
        if "lasts" in table:
            last = min(day + timedelta(days=lasts), span.end) - timedelta(days=1)
            strike = Strike(strike.incident, day, last, severity, onset)
        return Planned(strike, Reply(answers, bool(honest)))

    def _severity(self, table: Mapping[str, Any], place: int, name: str) -> float | None:
        given = table.get("severity", 1.0)
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not 0 < given <= 1:
            told = f"severity is {short(repr(given))}; it is a share of flights above 0, at most 1."
            self.fault(place, "severity", told)
            return None
        if name and given != 1 and _is_sudden(name):
            self.fault(place, "severity", f"{name} is there wholly or not at all; leave it out.")
            return None
        return float(given)


def _is_sudden(name: str) -> bool:
    """Return whether an incident has no share of flights that it hits."""
    incident = INCIDENTS[name]
    return bool(incident.release) or incident.blinds


def _lines(text: str) -> list[dict[str, int]]:
    """Return where the fields stand: of the file, and of each incident; the table itself as ''."""
    tables: list[dict[str, int]] = [{"": 1}]
    for number, line in enumerate(text.splitlines(), 1):
        if _BEGINS.match(line):
            tables.append({"": number})
        elif found := _KEY.match(line):
            tables[-1].setdefault(found[1], number)
    return tables


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ParameterError(
            f"The shift file {short(path)} cannot be read ({short(error)}).",
            "It is a TOML file in UTF-8.",
            "Give its path, for instance notebooks/10_shift.toml.",
        ) from error
