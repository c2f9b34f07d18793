"""The alert rules of a drill at work: some each morning, some once the labels of a week are in.

They are rules of `alerting.rules`; lesson 07 explains them, and the file beside it has more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from math import nan
from statistics import median

from mlops_course.alerting.alerts import ACCURACY_RULE, UNANSWERED_RULE, Alert
from mlops_course.alerting.rules import Rule, Watch
from mlops_course.data.features import CATEGORICAL, Vocabulary
from mlops_course.data.quality import validate_flights
from mlops_course.drift.calm_weeks import Reference, drift_scores
from mlops_course.monitoring.figures import FIGURES, Terms
from mlops_course.monitoring.performance import MIN_LABELLED
from mlops_course.monitoring.windows import Window
from mlops_course.shifts.prices import SLOW_MS
from mlops_course.shifts.systems import Served, System

WEEK_DAYS = 7
WEDNESDAY = 2  # by then the labels of the week before are in
USUAL_WEEKS = 4
MIN_ROWS = 200
MIN_WEEK_ROWS = 4_000
MODEL = "model team"
FEED = "feed team"

DAILY = (
    Rule(
        UNANSWERED_RULE,
        "unanswered_share",
        above=0.01,
        window="1 day",
        severity="page",
        owner=MODEL,
        runbook="Look at what the service refuses, and why: its log names the field.",
    ),
    Rule(
        "model slow",
        "slow_ms",
        above=SLOW_MS,
        window="1 day",
        for_windows=3,
        clear_windows=2,
        severity="page",
        owner=MODEL,
        runbook="Compare with the version before; look at what else the host is doing.",
    ),
    Rule(
        "fewer flights than usual",
        "volume",
        below=0.75,
        clear=0.85,
        window="1 day",
        owner=FEED,
        runbook="A holiday, or an airport? Compare with the timetable, airport by airport.",
    ),
    Rule(
        "an input is missing",
        "missing_share",
        above=0.8,
        clear=0.5,
        window="1 day",
        min_sample=MIN_ROWS,
        owner=FEED,
        runbook="Find the column, and ask who delivers it.",
    ),
    Rule(
        "unknown places or airlines",
        "unseen_share",
        above=0.05,
        clear=0.02,
        window="1 day",
        min_sample=MIN_ROWS,
        severity="note",
        owner=MODEL,
        runbook="New traffic is scored as missing. Look whether the model minds.",
    ),
    Rule(
        "hardly any flight called late",
        "called_late",
        below=0.02,
        clear=0.03,
        window="1 day",
        min_sample=MIN_ROWS,
        severity="page",
        owner=MODEL,
        runbook="Look at dep_delay: a unit may have changed. Look at the version, too.",
    ),
    Rule(
        "most flights called late",
        "called_late",
        above=0.65,
        clear=0.5,
        window="1 day",
        min_sample=MIN_ROWS,
        severity="page",
        owner=MODEL,
        runbook="A storm, or dep_delay? Look at the airports, then at the feed.",
    ),
)
WEEKLY = (
    Rule(
        "inputs drifted",
        "drift_score",
        above=1.0,
        min_sample=1_000,
        owner=MODEL,
        runbook="Which input, since when? Ask who delivers it. A new season is not a fault.",
    ),
    Rule(
        "labels stay away",
        "labelled_share",
        below=0.80,
        owner=FEED,
        runbook="Until they come, nobody knows the accuracy: have their pipeline looked after.",
    ),
    Rule(
        ACCURACY_RULE,
        "accuracy_at_most",
        below=0.90,
        min_sample=MIN_LABELLED,
        severity="page",
        owner=MODEL,
        runbook="Look at what moved first, and at the rule beside the model.",
        needs_labels=True,
    ),
)


@dataclass(frozen=True)
class DayFigures:
    """A day on the dashboard: figures of `monitoring.figures.FIGURES`, and who answered.

    Attributes
    ----------
    flights, usual_flights
        How many there were, and are on such a weekday.
    called_late, confidence, unanswered, missing, unseen
        Shares from 0 to 1; NaN where nothing was answered.
    ms
        Median milliseconds of the model for a request.
    versions
        The versions that answered.
    """

    day: date
    flights: int
    usual_flights: float
    called_late: float
    confidence: float
    unanswered: float
    missing: float
    unseen: float
    ms: float
    versions: tuple[str, ...]


@dataclass(frozen=True)
class WeekFigures:
    """A week on the dashboard, once its labels should be in; shares from 0 to 1.

    Attributes
    ----------
    accuracy, upper, rule
        Of the model, its upper 95% bound, and of the one-line rule; NaN where nobody can tell.
    called_late, observed_late, labelled
        Flights called late, flights that were, and answers whose label is in.
    drift
        How strange each input is, 1 for the strangest calm week.
    """

    monday: date
    accuracy: float
    upper: float
    rule: float
    called_late: float
    observed_late: float
    labelled: float
    drift: Mapping[str, float]


@dataclass
class Monitor:
    """The rules at work, morning after morning.

    Attributes
    ----------
    reference
        What the inputs of a week are compared with.
    vocabulary
        The categories that the first champion knows.
    evaluated
        The day on which the rules were last looked at; None before that.
    days, weeks
        What the dashboard has.
    """

    reference: Reference
    vocabulary: Vocabulary
    evaluated: date | None = None
    days: list[DayFigures] = field(default_factory=list)
    weeks: list[WeekFigures] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._terms = Terms(vocabulary=self.vocabulary)
        self._daily = Watch(DAILY, self._terms)
        self._weekly = Watch(WEEKLY, self._terms)

    def look(self, system: System, served: Sequence[Served], today: date) -> list[Alert]:
        """Look at yesterday, and on Wednesdays at the week before; return the alerts that fire.

        Parameters
        ----------
        served
            All days so far, the last one being yesterday's.
        """
        self.evaluated = today
        found: list[Alert] = []
        if not served[-1].requests.empty:
            day = replace(system.window(served[-1:], today), usual_flights=_usual(served))
            self.days.append(self._figures(day, served[-1].day))
            found += self._daily.look(day).alerts
        if today.weekday() == WEDNESDAY:
            found += self._look_at_the_week(system, served, today)
        return found

    def _figures(self, window: Window, day: date) -> DayFigures:
        requests = window.requests
        asked = requests[requests["version"] != ""]
        quality = window.quality
        return DayFigures(
            day,
            len(window.flights),
            window.usual_flights,
            quality.predicted_late,
            quality.confidence,
            quality.unanswered / quality.rows if quality.rows else 1.0,
            FIGURES["missing_share"].of(window, self._terms),
            FIGURES["unseen_share"].of(window, self._terms),
            float(asked["ms"].median()) if len(asked) else nan,
            tuple(sorted(set(asked["version"]))),
        )

    def _look_at_the_week(
        self, system: System, served: Sequence[Served], today: date
    ) -> Sequence[Alert]:
        monday = today - timedelta(days=WEDNESDAY + WEEK_DAYS)
        week = [one for one in served if monday <= one.day < monday + timedelta(days=WEEK_DAYS)]
        week = [one for one in week if not one.requests.empty]
        if not week:
            return ()
        window = system.window(week, today)
        scores = drift_scores(self.reference, window.answered)
        quality = window.quality
        labelled = quality.labelled / quality.answered if quality.answered else nan
        self.weeks.append(
            WeekFigures(
                monday,
                quality.accuracy,
                quality.upper,
                quality.baseline_accuracy,
                quality.predicted_late,
                quality.observed_late,
                labelled,
                scores,
            )
        )
        self._follow(window)
        return self._weekly.look(replace(window, drift_scores=scores)).alerts

    def _follow(self, window: Window) -> None:
        """Make the weather of a whole week whose data pass their tests a reference for the next."""
        if len(window.answered) < MIN_WEEK_ROWS:
            return
        flights = window.answered.astype(dict.fromkeys(CATEGORICAL, "category"))
        verdict = validate_flights(flights, min_rows=MIN_WEEK_ROWS, vocabulary=self.vocabulary)
        if verdict.passed:
            self.reference = self.reference.followed_by(flights)


def _usual(served: Sequence[Served]) -> float:
    """Return the median number of flights on the last same weekdays; NaN for the first."""
    before = served[-1 - WEEK_DAYS :: -WEEK_DAYS][:USUAL_WEEKS] if len(served) > WEEK_DAYS else ()
    sizes = [len(one.flights) for one in before]
    return float(median(sizes)) if sizes else float("nan")
