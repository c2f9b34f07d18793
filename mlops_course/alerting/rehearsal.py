"""Alert rules tried on weeks whose truth is known, as nobody has it in production.

A world is a stretch of real flights, calm or struck from some day on, as a service would have
written it down. Rules are held against it window by window, and scored by episodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd

from mlops_course.alerting.rule_files import read_rules
from mlops_course.alerting.rules import Rule, Watch, cut
from mlops_course.alerting.scoring import Outcome, Score, score
from mlops_course.core.errors import ParameterError
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.data.stream import WEEK, Stream, Strike
from mlops_course.monitoring.figures import Terms
from mlops_course.monitoring.windows import Record, Window, as_recorded
from mlops_course.registry.versions import resolve
from mlops_course.training.model import DelayModel, load_model
from mlops_course.training.tracking import Store

CALM = "none"
CALM_WEEKS = 3
WEEKS = 8
TRIED = (CALM, "dead-weather", "hours", "padding")


@dataclass(frozen=True, eq=False)
class World:
    """A stretch of production whose truth is known.

    Attributes
    ----------
    incident
        What strikes: a name of `data.incidents.INCIDENTS`, ``none`` for nothing.
    since
        The day from which on it does; what was before is calm.
    record
        What a service would have written down.
    """

    incident: str
    since: date
    record: Record = field(repr=False)
    _cut: dict[str, list[Window]] = field(default_factory=dict, repr=False)

    def windows(self, length: str) -> Sequence[Window]:
        """Return its windows of a length such as ``1 day``; they are cut once."""
        if length not in self._cut:
            self._cut[length] = cut(self.record, length)
        return self._cut[length]

    def is_struck(self, window: Window) -> bool:
        """Return whether something is wrong in a window: the truth."""
        return self.incident != CALM and bool(window.end > pd.Timestamp(self.since))


@dataclass(frozen=True)
class Tried:
    """What became of rules in one world: its incident, and an outcome for each rule."""

    incident: str
    outcomes: Mapping[Rule, Outcome]


def world(
    model: DelayModel,
    flights: pd.DataFrame,
    first: date,
    incident: str = CALM,
    *,
    severity: float = 1.0,
    seed: int | None = None,
    weeks: int = WEEKS,
) -> World:
    """Return some weeks from a Monday on, struck from the fourth on.

    Parameters
    ----------
    flights
        As `data.stream.Stream` takes them.
    incident
        A name of `data.incidents.INCIDENTS`.
    severity
        The share of flights that it hits, above 0 and at most 1.
    seed
        Draws the days anew; None takes them as they were.

    Raises
    ------
    ParameterError
        If the incident comes with a release, or blinds those who watch.
    """
    what = INCIDENTS[incident]
    if what.release or what.blinds:
        raise ParameterError(
            f"{what.title}: that leaves no mark in a record of flights.",
            "Rules are rehearsed on what the feed delivers, and on labels that come late.",
            "Choose an incident of those.",
        )
    since = first + CALM_WEEKS * WEEK
    strike = Strike(what, since, severity=severity)
    strikes = [strike] if incident != CALM else []
    stream = Stream(flights, first, strikes, seed)
    rows = pd.concat([week.flights for week in stream.weeks(weeks)])
    return World(incident, since, as_recorded(rows, model.probability(rows)))


def outcome(rule: Rule, tried: World, terms: Terms) -> Outcome:
    """Return on which windows of a world something was wrong, and on which the rule fired."""
    watch = Watch([rule], terms)
    windows = tried.windows(rule.window)
    fired = [bool(watch.look(window).alerts) for window in windows]
    return Outcome([tried.is_struck(window) for window in windows], fired)


def try_rules(rules: Sequence[Rule], terms: Terms, worlds: Iterable[World]) -> list[Tried]:
    """Hold each rule against each world; give worlds one by one, and none is kept."""
    return [
        Tried(one.incident, {rule: outcome(rule, one, terms) for rule in rules}) for one in worlds
    ]


def scored(tried: Iterable[Tried], rule: Rule, incident: str) -> Score:
    """Score a rule on the worlds that an incident strikes, and on the calm ones."""
    return score([one.outcomes[rule] for one in tried if one.incident in (CALM, incident)])


def rehearse_rules(rules: Sequence[Rule], terms: Terms, worlds: Iterable[World]) -> Verdict:
    """Check that calm worlds raise no page, and that every struck one raises an alert.

    An alert counts that begins once the incident has.
    """
    checks = []
    for one in try_rules(rules, terms, worlds):
        if one.incident == CALM:
            pages = {rule: one.outcomes[rule] for rule in rules if rule.severity == "page"}
            woken = [rule.name for rule, found in pages.items() if any(found.firing)]
            seen = ", ".join(woken) or "Nobody was woken."
            checks.append(Check("calm weeks", not woken, seen))
        else:
            named = [rule.name for rule, found in one.outcomes.items() if _names(found)]
            seen = ", ".join(named) or "No rule has named it."
            checks.append(Check(INCIDENTS[one.incident].title, bool(named), seen))
    return Verdict("alert rules", tuple(checks))


def _names(found: Outcome) -> bool:
    """Return whether a rule fires on struck windows and on no calm one."""
    pairs = list(zip(found.struck, found.firing, strict=True))
    calm = [fires for struck, fires in pairs if not struck]
    return any(fires for struck, fires in pairs if struck) and not any(calm)


def rehearse_store(store: Store, rules: Path, monday: date | str) -> Verdict:
    """Try a rules file with the champion on eight weeks: calm ones, and three that are struck.

    Raises
    ------
    RegistryError
        If there is no champion.
    ParameterError
        If the rules file cannot be used.
    """
    file = read_rules(rules)
    first = pd.Timestamp(monday).date()
    flights = load_flights(store.workspace, first, first + WEEKS * WEEK)
    champion = load_model(resolve(store).path)
    worlds = (world(champion, flights, first, incident) for incident in TRIED)
    return rehearse_rules(file.rules, file.terms, worlds)
