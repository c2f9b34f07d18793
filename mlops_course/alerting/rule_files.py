"""Alert rules in a TOML file: read with every fault found, each with its line.

A file has a table ``[terms]`` with the fields of `monitoring.figures.Terms`, and a ``[[rule]]`` for
each rule with the fields of `alerting.rules.Rule`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlops_course.alerting.rules import Rule, faults
from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.monitoring.figures import Terms

MAX_TOLD = 5
NUMBERS = ("above", "below", "clear")
TERMS = ("objective", "missed_minutes", "false_alarm_minutes")
WHOLE = ("for_windows", "clear_windows", "min_sample")
_WORDS = {int: "a whole number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class RuleFile:
    """What a file of alert rules holds."""

    rules: tuple[Rule, ...]
    terms: Terms


def read_rules(path: Path) -> RuleFile:
    """Read a file of alert rules.

    Raises
    ------
    ParameterError
        If it cannot be read, is no TOML, or holds a rule that cannot be used: an unknown figure or
        field, a limit that can never be crossed. The message names file, line and rule.
    """
    text = _text_of(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unusable(path, [f"{error}."]) from error
    found = list(_faults_of_file(content))
    terms = _terms(content, found)
    rules = []
    tables = content.get("rule", [])
    lines = [place for place, line in enumerate(text.splitlines(), 1) if _BEGINS.match(line)]
    for table, line in zip(tables if isinstance(tables, list) else [], lines, strict=False):
        wrong = list(_faults_of_table(table))
        rule = None if wrong else Rule(**_converted(table))
        if rule is not None:
            wrong = faults(rule, terms)
            rules.append(rule)
        name = short(table.get("name", "without a name"))
        found += [f"Line {line}, {name}: {sentence}" for sentence in wrong]
    names = [rule.name for rule in rules]
    found += [f"Two rules are called {name!r}." for name in sorted(_repeated(names))]
    if found:
        raise _unusable(path, found)
    return RuleFile(tuple(rules), terms)


_BEGINS = re.compile(r"\s*\[\[\s*rule\s*\]\]")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ParameterError(
            f"The rules file {short(path)} cannot be read ({error}).",
            "It is a TOML file in UTF-8.",
            "Give its path, for instance notebooks/07_rules.toml.",
        ) from error


def _faults_of_file(content: Mapping[str, Any]) -> Iterator[str]:
    for name in content:
        if name not in ("terms", "rule"):
            yield f"There is no table {short(name)!r}, only [terms] and [[rule]]."
    rules = content.get("rule")
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        yield "It holds no rule: each begins with a line [[rule]]."


def _terms(content: Mapping[str, Any], found: list[str]) -> Terms:
    """Return the terms; what is wrong with them is added to what was found."""
    table = content.get("terms", {})
    if not isinstance(table, dict):
        found.append("[terms] is a table.")
        return Terms()
    if unknown := [name for name in table if name not in TERMS]:
        found.append(f"[terms] has no {short(unknown[0])!r}; it has {', '.join(TERMS)}.")
        return Terms()
    try:
        return Terms(**table)
    except ParameterError as error:
        found.append(f"[terms]: {error.happened} {error.expected}")
        return Terms()


def _faults_of_table(table: Mapping[str, Any]) -> Iterator[str]:
    known = {field.name: field for field in fields(Rule)}
    for name in known:
        if known[name].default is MISSING and name not in table:
            yield f"It has no {name}."
    for name, value in table.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"do you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            yield f"There is no field {short(name)!r}; {hint}"
        elif name in NUMBERS:
            if not isinstance(value, int | float) or isinstance(value, bool):
                yield f"{name} is {short(repr(value))}; it is a number."
        else:
            kind = int if name in WHOLE else bool if name == "needs_labels" else str
            if type(value) is not kind:
                yield f"{name} is {short(repr(value))}; it is {_WORDS[kind]}."


def _converted(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(value) if name in NUMBERS else value for name, value in table.items()}


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _unusable(path: Path, found: Sequence[str]) -> ParameterError:
    more = f" And {len(found) - MAX_TOLD} more." if len(found) > MAX_TOLD else ""
    return ParameterError(
        f"The rules file {short(path)} cannot be used. {' '.join(found[:MAX_TOLD])}{more}",
        "A rule that is misspelt or can never fire would keep quiet for ever.",
        "Correct the file, and try again.",
    )
