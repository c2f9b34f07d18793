"""A shift played in a terminal: pager, clock, numbered looks and actions, one line after another.

It reads lines from anywhere, also a pipe, and shows what `oncall.looks` shows, so no truth.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

from mlops_course.console.kept import Elsewhere
from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.texts import one_line, short
from mlops_course.data.incidents import INCIDENTS
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.looks import Look
from mlops_course.shifts.prices import ACTIONS, LOOKS

STARTS_AT = 9  # o'clock
MAX_ROWS = 40
COMMANDS = {
    "next": "let the day end",
    "wait": "let days pass until the pager calls or an answer comes",
    "pager": "the open alarms, in full",
    "log": "the last lines of the log",
    "causes": "the causes that can be stated, with their numbers",
    "help": "this list",
    "quit": "leave; the steps are kept, and the shift goes on here the next time",
}
HINT = (
    "A number or a name looks or acts; a cause and how sure may follow, as in `fix-feed hours 0.9`."
)
SHOWN_LOG = 12
ASKED_WEEKS = "4"
ASKED_DAYS = "7"


class Left(Exception):
    """Whoever plays has left: by a command, or because there is no more input."""


@dataclass
class TextConsole:
    """A shift on a terminal.

    Parameters
    ----------
    engine
        The shift in play.
    read
        Asks with a prompt, and returns the line; raises EOFError where there is none.
    write
        Shows a line.
    keep
        Is called after each step, to write the steps down.
    morning
        Is called each morning before anything is shown; what it returns is told.
    """

    engine: Engine
    read: Callable[[str], str]
    write: Callable[[str], None]
    keep: Callable[[], None]
    morning: Callable[[], str]

    def __post_init__(self) -> None:
        self._told = len(self.engine.drill.log)

    def play(self) -> bool:
        """Play until the shift is over or somebody leaves; return whether it is over.

        Raises
        ------
        Elsewhere
            If another console has taken the shift over.
        """
        if self.engine.drill.steps:
            self.write("`help` lists what can be looked at and done.")
        else:
            self._menu()
        self._show_morning()
        while not self.engine.drill.over:
            try:
                self._do(self._ask("> "))
            except Left:
                return False
            except Elsewhere:
                raise  # what would be done from here on, nobody would keep
            except CourseError as error:
                self.write(short(error, 2_000))
        return True

    # ---- what is typed

    def _ask(self, prompt: str) -> str:
        try:
            return self.read(prompt).strip()
        except EOFError as error:
            raise Left from error

    def _do(self, line: str) -> None:
        words = line.split()
        if not words:
            return
        name = _named(words[0])
        if name == "quit":
            raise Left
        if name == "next":
            self._pass(self._next())
        elif name == "wait":
            self._pass(self.engine.wait())
        elif name in COMMANDS:
            self._tell(name)
        elif name in LOOKS:
            self._show(self.engine.look(name))
            self.keep()
        else:
            told = self.engine.act(name, **self._options(name, words[1:]))
            self._told = len(self.engine.drill.log)
            self.keep()
            self.write(told)

    def _next(self) -> Iterator[date]:
        self.engine.next_day()
        yield self.engine.drill.today

    def _pass(self, days: Iterator[date]) -> None:
        """Let days pass, and show the morning after them."""
        for _ in days:
            if problem := self.morning():
                self.write(problem)
            self.keep()
        if not self.engine.drill.over:
            self._show_morning()

    def _options(self, name: str, words: list[str]) -> dict[str, Any]:
        """Return what an action needs: from the line, or asked for if the line had its name only.

        Raises
        ------
        ParameterError
            If a word is none that can stand there.
        """
        asked = not words
        found: dict[str, Any] = {}
        if name == "silence":
            rules = list(self.engine.drill.alarms)
            rule = self._word(words, asked, f"Which alarm, 1 to {len(rules)}? ", "1")
            place = int(rule) - 1 if rule.isdigit() else -1
            found["rule"] = rules[place] if 0 <= place < len(rules) else rule
            found["days"] = _whole(self._word(words, asked, "For how many days (7)? ", ASKED_DAYS))
        if name in ("retrain", "canary"):
            number = words and words[0].isdigit()
            given = words.pop(0) if number else ""
            prompt = "On how many weeks (4)? "
            found["weeks"] = _whole(given or self._word([], asked, prompt, ASKED_WEEKS))
        if ACTIONS[name].states:
            cause = self._word(words, asked, "What is the cause (empty: say nothing)? ", "")
            if cause:
                found["cause"] = _cause(cause)
                sure = self._word(words, asked, "How sure, from 0.5 to 1 (0.8)? ", "0.8")
                found["sure"] = _share(sure)
        if words:
            raise ParameterError(
                f"{short(' '.join(words))} is one word too many.", HINT, "Leave it out."
            )
        return found

    def _word(self, words: list[str], asked: bool, prompt: str, usual: str) -> str:
        if words:
            return words.pop(0)
        return (self._ask(prompt) or usual) if asked else usual

    # ---- what is shown

    def _tell(self, name: str) -> None:
        if name == "help":
            self._menu()
        elif name == "pager":
            self._alarms()
        elif name == "causes":
            for number, incident in enumerate(INCIDENTS.values(), 1):
                self.write(f"{number:>3}  {incident.name:<16} {incident.title}")
        elif name == "log":
            for entry in self.engine.drill.log[-SHOWN_LOG:]:
                self.write(f"  {entry.day}  {entry.kind:<6}  {one_line(entry.text)}")

    def _menu(self) -> None:
        self.write("Look:")
        for number, (name, thing) in enumerate(LOOKS.items(), 1):
            self.write(f"{number:>3}  {name:<19} {thing.title}, {thing.minutes} min. {thing.cost}")
        self.write("Act:")
        for number, (name, thing) in enumerate(ACTIONS.items(), len(LOOKS) + 1):
            self.write(f"{number:>3}  {name:<19} {thing.title}, {thing.minutes} min. {thing.cost}")
        for name, text in COMMANDS.items():
            self.write(f"     {name:<19} {text}")
        self.write(HINT)

    def _show_morning(self) -> None:
        drill = self.engine.drill
        week = (drill.today - drill.shift.first).days // 7 + 1
        self.write("")
        self.write(
            f"{drill.today:%A} {drill.today}, {_clock(drill.minute)}. "
            f"Week {week} of {drill.shift.weeks}. Minutes of work so far: {drill.minutes}."
        )
        for entry in drill.log[self._told :]:
            when = "" if entry.day == drill.today else f" {entry.day}"
            self.write(f"  {entry.kind.upper()}{when}: {one_line(entry.text)}")
        self._told = len(drill.log)
        if drill.alarms:
            self.write(f"  Open alarms: {', '.join(drill.alarms)}. `pager` tells more.")

    def _alarms(self) -> None:
        alarms = self.engine.drill.alarms
        if not alarms:
            self.write("No alarm is open.")
        for number, (rule, alarm) in enumerate(alarms.items(), 1):
            self.write(f"{number:>3}  {rule}, since {alarm.since}: {alarm.alert.message}")
            self.write(f"     {alarm.alert.runbook}")

    def _show(self, look: Look) -> None:
        self.write(f"{look.title}, {self.engine.drill.today}, {_clock(self.engine.drill.minute)}")
        for line in look.lines:
            self.write(f"  {one_line(line)}")
        if look.table is not None and len(look.table):
            shown = look.table.tail(MAX_ROWS)
            for line in shown.to_string(index=False, float_format=_figure).splitlines():
                self.write(f"  {line}")


def _named(word: str) -> str:
    """Return the look, action or command that a word means, a number included."""
    things = [*LOOKS, *ACTIONS]
    if word.isdecimal() and 1 <= int(word) <= len(things):
        return things[int(word) - 1]
    if word in LOOKS or word in ACTIONS or word in COMMANDS:
        return word
    raise ParameterError(
        f"There is no {short(repr(word))} to look at or to do; nothing was done.",
        f"The numbers go from 1 to {len(things)}; `help` names them all.",
        "Try again.",
    )


def _cause(word: str) -> str:
    names = list(INCIDENTS)
    if word.isdecimal() and 1 <= int(word) <= len(names):
        return names[int(word) - 1]
    if word not in names:
        near = get_close_matches(word, names, 1)
        raise ParameterError(
            f"There is no cause {short(repr(word))}; nothing was done.",
            f"Do you mean {near[0]}?" if near else "`causes` lists them, with their numbers.",
            "Try again.",
        )
    return word


def _whole(word: str) -> int | str:
    """Return a whole number; what is none is left to the engine, which says what it takes."""
    return int(word) if word.isdecimal() and len(word) < 6 else word


def _share(word: str) -> float | str:
    number = word.removesuffix("%")
    try:
        return float(number) / 100 if word.endswith("%") else float(number)
    except ValueError:
        return word


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _clock(minute: int) -> str:
    return f"{STARTS_AT + minute // 60:02d}:{minute % 60:02d}"
