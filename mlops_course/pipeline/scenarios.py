"""What can be run: stretches of production, each with what strikes it, and a run's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from numbers import Integral

import numpy as np

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE
from mlops_course.alerting.rules import Rule
from mlops_course.core.errors import ParameterError
from mlops_course.core.texts import short
from mlops_course.data.incidents import INCIDENTS, Incident
from mlops_course.data.stream import LABEL_HOURS, WEEK, Strike
from mlops_course.monitoring.performance import MIN_LABELLED
from mlops_course.pipeline.events import ASK, MYSTERY
from mlops_course.pipeline.policies import POLICIES

STRIKES_IN_WEEK = 4
MAX_UNANSWERED_SHARE = 0.01
OWNER = "push-back on call"
RETRAINING = (*POLICIES, ASK)
_MYSTERY_WEEKS = (3, 4, 5)  # in one of which it strikes
_MYSTERY_LOT = 13  # keeps its draws apart from the draws of days
_AUTUMN = date(2013, 9, 2)
_SPRING = date(2013, 4, 1)


@dataclass(frozen=True)
class Scenario:
    """A stretch of production.

    Attributes
    ----------
    name, title
        Its key, and its name for people.
    story, response
        What happens in the world, and what a good engineer does about it.
    first
        The Monday on which production starts.
    max_weeks, default_weeks
        Weeks that the data has from there, and weeks run unless told otherwise.
    incident
        What strikes in week 4, and stays, unless the calendar says otherwise. What happens to the
        flights themselves, such as a storm, ends by itself.
    calendar
        What strikes, and from which day to which; None for the incident as said above.
    label_hours
        How long after landing a flight's label arrives.
    """

    name: str
    title: str
    story: str
    response: str
    first: date
    max_weeks: int
    default_weeks: int
    incident: Incident
    calendar: tuple[Strike, ...] | None = None
    label_hours: float = LABEL_HOURS

    @property
    def strikes(self) -> tuple[Strike, ...]:
        """What strikes, and from which day."""
        if self.calendar is not None:
            return self.calendar
        if self.incident.name == "none":
            return ()
        return (_strike(self.incident, self.first, STRIKES_IN_WEEK),)


def _strike(incident: Incident, first: date, week: int) -> Strike:
    """Return what strikes on the Monday of a week, counted from 1, as long as it lasts."""
    begins = first + (week - 1) * WEEK
    ends = begins + timedelta(days=incident.lasts - 1) if incident.world else None
    return Strike(incident, begins, ends)


def _autumn(name: str, title: str, what: Incident) -> Scenario:
    return Scenario(name, title, what.story, what.response, _AUTUMN, 17, 8, what)


_REAL_YEAR = Scenario(
    "real-year",
    "The real year, from April",
    "Nothing is broken. Summer storms and Christmas make flights harder to call.",
    "Look at the rule beside it: where both fall, the weeks are harder, not the model worse.",
    _SPRING,
    39,
    39,
    INCIDENTS["none"],
)


# A feed that is repaired again, in autumn, where no week of its own is low.
_REPAIRED = Scenario(
    "repaired",
    "Departure clock switched, then repaired",
    f"{INCIDENTS['clock'].story} Five weeks later the feed is repaired, as silently.",
    "Roll back once the feed is repaired: the version from before knows this world.",
    _AUTUMN,
    17,
    13,
    INCIDENTS["clock"],
    (Strike(INCIDENTS["clock"], date(2013, 9, 23), date(2013, 10, 27)),),
)
# Worlds in which policies are compared: the real year, and something that strikes in June.
_JUNE = date(2013, 6, 3)
_END_OF_JULY = date(2013, 7, 28)


def _year(name: str, title: str, story: str, what: Incident, last: date | None = None) -> Scenario:
    strike = Strike(what, _JUNE, last)
    return Scenario(name, title, story, what.response, _SPRING, 39, 39, what, (strike,))


_YEARS = (
    _year(
        "year-clock",
        "The year from April, clock switched in June",
        f"{INCIDENTS['clock'].story} Nobody ever repairs it.",
        INCIDENTS["clock"],
    ),
    _year(
        "year-repaired",
        "The year from April, clock switched from June to July",
        f"{INCIDENTS['clock'].story} Eight weeks later the feed is repaired.",
        INCIDENTS["clock"],
        _END_OF_JULY,
    ),
    _year(
        "year-padding",
        "The year from April, padding cut in June",
        INCIDENTS["padding"].story,
        INCIDENTS["padding"],
    ),
)


_MYSTERY = Scenario(
    MYSTERY,
    "Mystery",
    "One of the incidents, or none, drawn by the seed: which one, and in which week, is hidden.",
    "Say what the evidence shows, and then look at the truth.",
    _AUTUMN,
    17,
    8,
    INCIDENTS["none"],
)


def _catalogue() -> dict[str, Scenario]:
    named = [("good", "Good data", INCIDENTS["none"]), ("drift", "Data drift", INCIDENTS["clock"])]
    named += [(name, incident.title, incident) for name, incident in INCIDENTS.items()]
    found = [_autumn(name, title, incident) for name, title, incident in named]
    found += [_REAL_YEAR, _REPAIRED, *_YEARS, _MYSTERY]
    return {scenario.name: scenario for scenario in found}


SCENARIOS: Mapping[str, Scenario] = _catalogue()


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run.

    Attributes
    ----------
    scenario
        A key of `SCENARIOS`.
    weeks
        Weeks of production; None takes the scenario's own number.
    seed
        Draws the days of training and of every week anew; None takes the days as they were.
    threshold
        Accuracy below which the alert fires, from 0.5 to 0.999.
    retrain
        ``auto`` to retrain when an alert persists, ``never`` to watch only, ``ask`` to let somebody
        choose at each alert (`deciding.choices`).

    Raises
    ------
    ParameterError
        If a value is out of range.
    """

    scenario: str = "good"
    weeks: int | None = None
    seed: int | None = 0
    threshold: float = 0.90
    retrain: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.scenario, str) or self.scenario not in SCENARIOS:
            raise ParameterError(
                f"There is no scenario {short(self.scenario)!r}.",
                f"Known scenarios: {', '.join(SCENARIOS)}.",
                "Choose one of them.",
            )
        most = SCENARIOS[self.scenario].max_weeks
        if self.weeks is not None and not _is_whole(self.weeks, 1, most):
            raise ParameterError(
                f"The number of weeks is {self.weeks!r}.",
                f"Scenario {self.scenario!r} has 1 to {most} weeks.",
                "Choose a whole number in that range.",
            )
        if self.seed is not None and not _is_whole(self.seed, 0, 2**32 - 1):
            raise ParameterError(
                f"The seed is {self.seed!r}.",
                "It is a whole number from 0 to 4294967295, or None for the days as they were.",
                "Choose one of these.",
            )
        if self.retrain not in RETRAINING:
            raise ParameterError(
                f"retrain is {short(self.retrain)!r}.",
                f"It is {' or '.join(map(repr, RETRAINING))}.",
                "Choose one of them.",
            )
        number = isinstance(self.threshold, int | float)
        if not number or not 0.5 <= self.threshold <= 0.999:
            raise ParameterError(
                f"The alert threshold is {short(repr(self.threshold))}.",
                "It is an accuracy between 0.5 and 0.999.",
                "The course uses 0.90.",
            )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The alert rules that a run watches.

        The one on accuracy fires where a week lies below the threshold beyond the luck of days and
        weeks. Measured on each seven days in a row from April to December 2013, with nothing broken
        and a threshold half a point below the level of the weeks around: in 4.8%, with a simulation
        error of 2 points; at a threshold of 0.90 in 3 of the 39 weeks, whose level together is
        0.8995. The other needs no labels, and is the only one that sees a week about which nothing
        is known.
        """
        return (
            Rule(
                UNANSWERED_RULE,
                "unanswered_share",
                above=MAX_UNANSWERED_SHARE,
                severity="page",
                owner=OWNER,
                runbook="Look at what the service refuses, and why: its answers name the field.",
            ),
            Rule(
                ACCURACY_RULE,
                "accuracy_at_most",
                below=self.threshold,
                min_sample=MIN_LABELLED,
                severity="page",
                owner=OWNER,
                runbook="Look at what moved first: a broken feed is repaired, not retrained.",
                needs_labels=True,
            ),
        )

    @property
    def planned_weeks(self) -> int:
        """The number of weeks that the run will take."""
        return self.weeks or SCENARIOS[self.scenario].default_weeks


DIAGNOSES: Mapping[str, str] = {
    name: incident.title if name != "none" else "Nothing is broken"
    for name, incident in INCIDENTS.items()
}
"""What a mystery may be, by the names of the incidents."""


def scenario_of(config: RunConfig) -> Scenario:
    """Return what a run meets; in a mystery what its seed draws, under the mystery's name.

    Each incident, and that nothing happens, is as likely as the others.
    """
    scenario = SCENARIOS[config.scenario]
    if scenario.name != MYSTERY:
        return scenario
    lot = np.random.default_rng((_MYSTERY_LOT, config.seed or 0))
    incident = list(INCIDENTS.values())[lot.integers(len(INCIDENTS))]
    week = int(lot.choice(_MYSTERY_WEEKS))
    if incident.name == "none":
        return scenario
    strike = _strike(incident, scenario.first, week)
    return replace(scenario, incident=incident, calendar=(strike,))


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and low <= int(value) <= high
