"""The work of each stage, one function a stage; `loop` knows in which order they come.

Each does real work on data, store, registry or service, and returns what it made, one headline,
and the figures behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from mlflow.entities import Param

from mlops_course.core.errors import ModelError, Refusal, RegistryError, ServiceError
from mlops_course.core.verdicts import Verdict
from mlops_course.core.workspace import Workspace
from mlops_course.data.flights import (
    FIRST_DAY,
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    draw_days,
    fingerprint,
    labelled,
    load_flights,
    shuffle_days,
)
from mlops_course.data.quality import validate_flights
from mlops_course.data.stream import WEEK, Stream, Week
from mlops_course.deciding.decisions import Window
from mlops_course.drift import calm_weeks
from mlops_course.pipeline.events import REFUSED, REFUSED_BY
from mlops_course.pipeline.scenarios import RunConfig, scenario_of
from mlops_course.registry import evidence, exams, promotions, versions
from mlops_course.release import by_hand, comparison, follower
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.evaluation import evaluate
from mlops_course.training.trainer import TrainingConfig, TrainingResult, train

DAY = timedelta(days=1)
SMOKE_ROWS = 200
SMOKE_TOLERANCE = 1e-9
_LOTS = 2  # keeps the draws of flights to train on apart from other draws

T = TypeVar("T")
Figures = dict[str, float | int | str]


@dataclass(frozen=True)
class Done(Generic[T]):
    """What a stage made, its headline, and its figures."""

    made: T
    headline: str
    figures: Figures


@dataclass(frozen=True)
class Loaded:
    """What the first stage fetched: rows to train on, rows to judge on, and production."""

    rows: pd.DataFrame
    held_out: pd.DataFrame
    stream: Stream
    reference: calm_weeks.Reference


@dataclass(frozen=True)
class Chosen:
    """Flights to train on.

    Attributes
    ----------
    mondays
        The weeks that they come from.
    whole_weeks
        How many whole weeks of production they amount to.
    """

    rows: pd.DataFrame
    mondays: tuple[str, ...]
    whole_weeks: float


@dataclass(frozen=True)
class Candidate:
    """A trained model, and the MLflow run and URI under which it is kept."""

    result: TrainingResult
    run_id: str
    uri: str


def load(workspace: Workspace, config: RunConfig, shuffle: int | None = None) -> Done[Loaded]:
    """Fetch the flights of winter, and the weeks of production that the scenario has.

    With a seed the days of training and of production are drawn anew. The exam's stay as they were:
    two weeks in which a day came twice would tell less than they count.

    Parameters
    ----------
    shuffle
        Puts the days of the whole year into another order first (`flights.shuffle_days`).
    """
    scenario = scenario_of(config)
    fetch = _in_order(workspace, shuffle)
    flights = fetch(FIRST_DAY, LAST_HELD_OUT)
    past = flights["date"] < pd.Timestamp(FIRST_HELD_OUT)
    rows = flights[past]
    if config.seed is not None:
        rows = draw_days(rows, config.seed)
    held_out = labelled(flights[~past])
    after = scenario.first + config.planned_weeks * WEEK
    production = fetch(scenario.first - WEEK, after + 6 * DAY)
    figures: Figures = {
        "training flights": len(rows),
        "held-out flights": len(held_out),
        "production weeks": config.planned_weeks,
        "late in training": f"{rows['late'].mean():.1%}",
        "dataset version": fingerprint(rows),
    }
    stream = Stream(production, scenario.first, scenario.strikes, config.seed, scenario.label_hours)
    day_before = scenario.first - timedelta(days=1)
    before = fetch(scenario.first - calm_weeks.ROLLING_WEEKS * WEEK, day_before)
    reference = calm_weeks.fit_reference(flights, before)
    figures["drift, calm weeks alarmed"] = (
        f"at most {reference.promise:.1%}, {reference.false_alarms_a_year:.0f} a year"
    )
    loaded = Loaded(rows, held_out, stream, reference)
    return Done(loaded, f"{len(rows):,} flights", figures)


def _in_order(workspace: Workspace, shuffle: int | None) -> Callable[[date, date], pd.DataFrame]:
    """Return what fetches the flights of a period, in the year's own order or in another."""
    if shuffle is None:
        return partial(load_flights, workspace)
    year = shuffle_days(load_flights(workspace), shuffle)

    def fetch(first: date, last: date) -> pd.DataFrame:
        inside = year["date"].between(pd.Timestamp(first), pd.Timestamp(last))
        return year[inside].reset_index(drop=True)

    return fetch


def gather(
    window: Window, earlier: Sequence[pd.DataFrame], weeks: Sequence[Week], today: date
) -> Done[Chosen]:
    """Join the weeks of a window, labelled as far as labels have come, to train on.

    Parameters
    ----------
    earlier
        Flights before production, which a window reaches that is longer than production so far.
    weeks
        The weeks of production so far.
    today
        The day on which this is done.
    """
    inside = weeks[-window.weeks :] if window.weeks else weeks
    parts = {week.monday: week.seen_at(today) for week in inside}
    if window.weeks is None or window.weeks > len(inside):
        missing = window.weeks and window.weeks - len(inside)
        parts = {**_last_weeks(earlier, missing), **parts}
    chances = _chances(window, {monday: len(rows) for monday, rows in parts.items()})
    drawn = [_drawn(rows, monday, chances[monday]) for monday, rows in parts.items()]
    rows = pd.concat(drawn, ignore_index=True)
    mondays = tuple(monday.isoformat() for monday in parts)
    worth = sum(chances[week.monday] for week in inside)
    figures: Figures = {"training flights": len(rows), "weeks": ", ".join(mondays)}
    figures["dataset version"] = fingerprint(rows)
    return Done(Chosen(rows, mondays, worth), f"{len(rows):,} flights", figures)


def _last_weeks(earlier: Sequence[pd.DataFrame], count: int | None) -> dict[date, pd.DataFrame]:
    """Return the last so many weeks of some flights, or all of them, by their Mondays."""
    flights = pd.concat(earlier, ignore_index=True)
    mondays = flights["date"] - pd.to_timedelta(flights["date"].dt.day_of_week, unit="D")
    wanted = np.sort(mondays.unique())[-count if count else None :]
    inside = mondays >= wanted[0]
    return {day.date(): rows for day, rows in flights[inside].groupby(mondays[inside])}


def _chances(window: Window, sizes: Mapping[date, int]) -> dict[date, float]:
    """Return the chance of each week's flights to be taken, by the week's Monday."""
    newest = max(sizes)
    chances = {monday: 1.0 for monday in sizes}
    if window.half_life:
        for monday in sizes:
            chances[monday] = 0.5 ** ((newest - monday) / WEEK / window.half_life)
    expected = sum(chance * sizes[monday] for monday, chance in chances.items())
    share = min((window.flights or expected) / expected, 1.0)
    return {monday: share * chance for monday, chance in chances.items()}


def _drawn(rows: pd.DataFrame, monday: date, chance: float) -> pd.DataFrame:
    """Return the flights of a week whose lot is below a chance.

    A flight's lot is its own: one that is taken at some age was taken at each age before.
    """
    if chance >= 1:
        return rows
    return rows[np.random.default_rng((monday.toordinal(), _LOTS)).random(len(rows)) < chance]


def validate(rows: pd.DataFrame, min_rows: int) -> Done[Verdict]:
    """Test the rows before anything is learned from them."""
    verdict = validate_flights(rows, min_rows=min_rows)
    failed = len(verdict.failures)
    return Done(verdict, f"{failed} failed" if failed else "all checks passed", _seen(verdict))


def fit(
    store: tracking.Store,
    origin: tracking.Provenance,
    rows: pd.DataFrame,
    held_out: pd.DataFrame | None,
    *,
    name: str,
    seed: int | None,
    parent: str,
    about: Mapping[str, object] | None = None,
) -> Done[Candidate]:
    """Train on the rows and log it as an MLflow run below ``parent``.

    Parameters
    ----------
    about
        What else is to be found in the run's parameters, for instance why it was trained.
    """
    result = train(rows, TrainingConfig(random_state=seed or 0))
    metrics = {}
    if held_out is not None:
        metrics = evaluate(held_out["late"].to_numpy(), result.model.probability(held_out))
    run_id, uri = tracking.log_training(
        store, origin, result, rows, metrics, name=name, seed=seed, parent=parent
    )
    if about:
        params = [Param(key, str(value)) for key, value in about.items()]
        store.client.log_batch(run_id, params=params)
    headline = f"accuracy {metrics['accuracy']:.1%}" if metrics else f"{result.rows:,} flights"
    figures: Figures = {"rows": result.rows, "fit seconds": round(result.seconds, 2)}
    figures |= {measure: round(value, 4) for measure, value in metrics.items()}
    figures |= {"model digest": result.digest, "MLflow run": run_id}
    return Done(Candidate(result, run_id, uri), headline, figures)


def judge(
    store: tracking.Store,
    candidate: Candidate,
    flights: pd.DataFrame,
    champion: np.ndarray | None = None,
    rival: str | None = None,
) -> Done[Verdict]:
    """Let the gate compare the candidate with the champion's answers, or with the rule alone.

    ``rival`` is the champion's version. The first model of a run has none: its year is its own, and
    it may replace whatever an earlier run has left.

    A candidate that comes after an alert must gain: it is to repair something. Each exam of a run
    serves one candidate.
    """
    exam = exams.describe(flights, exams.world_of(store, candidate.run_id))
    entered = exams.enter(store, candidate.run_id, exam, candidate.result.digest, candidates=1)
    checks = [entered]
    if entered.passed:
        probability = candidate.result.model.probability(flights)
        against = f"version {rival}" if rival else ""
        checks += comparison.compare(
            flights, probability, champion, against=against, must_gain=True
        ).checks
    verdict = Verdict("model", tuple(checks), rival, exam.fingerprint)
    evidence.log_verdict(store, candidate.run_id, verdict)
    failed = ", ".join(check.name for check in verdict.checks if not check.passed)
    figures = _seen(verdict) if verdict.passed else {REFUSED_BY: failed, **_seen(verdict)}
    return Done(verdict, "passed" if verdict.passed else REFUSED, figures)


def register(
    store: tracking.Store, candidate: Candidate, reason: str
) -> Done[promotions.Entry | Refusal]:
    """Register the candidate as a version and promote it; from then on it is the champion.

    The promotion is refused if another program has moved the champion since the verdict.
    """
    registered = versions.register(store, candidate.run_id, candidate.uri)
    figures: Figures = {"model": versions.MODEL_NAME, "version": registered.version}
    figures["run"] = candidate.run_id
    try:
        entry = promotions.promote(store, registered.version, reason, evidence=candidate.run_id)
    except Refusal as refused:
        return Done(refused, f"version {registered.version} refused", figures)
    figures["entry in the promotion log"] = entry.number
    return Done(entry, f"version {registered.version}", figures)


def released_by_hand(
    store: tracking.Store,
    origin: tracking.Provenance,
    release: str,
    champion: Candidate,
    rows: pd.DataFrame,
    *,
    seed: int | None,
    parent: str,
) -> Done[tuple[Candidate, promotions.Entry]]:
    """Register a colleague's model and make it champion past the gate.

    ``release`` is a name of `training.bad_releases.BAD_RELEASES`.
    """
    made = by_hand.release_by_hand(
        store, origin, release, champion.result, rows, seed=seed, parent=parent
    )
    entry = made.entry
    figures: Figures = {"model": versions.MODEL_NAME, "version": entry.after, "run": made.run_id}
    figures["entry in the promotion log"] = entry.number
    candidate = Candidate(made.result, made.run_id, made.uri)
    return Done((candidate, entry), f"version {entry.after}, by hand", figures)


def return_to(
    store: tracking.Store, version: str, leaving: str, reason: str
) -> Done[promotions.Entry | RegistryError]:
    """Make a version the champion again that was promoted before; the registry may refuse."""
    figures: Figures = {"model": versions.MODEL_NAME, "version": version}
    try:
        entry = promotions.roll_back(store, reason, to=version, leaving=leaving)
    except (ModelError, RegistryError) as error:
        refused = error if isinstance(error, RegistryError) else Refusal(*error.args)
        return Done(refused, f"version {version} refused", figures)
    figures["entry in the promotion log"] = entry.number
    return Done(entry, f"version {version} again", figures)


def deploy(
    store: tracking.Store,
    service: Service,
    candidate: Candidate,
    version: str,
    probe: pd.DataFrame,
) -> Done[None]:
    """Let the service follow the registry, and see that it answers as training would.

    If it does not, the promotion of that version is undone where there is a champion to go back to.
    """
    try:
        follower.catch_up(service, store)
        return _smoke_tested(service, candidate, probe.iloc[:SMOKE_ROWS])
    except (ModelError, ServiceError) as error:
        with suppress(RegistryError):
            promotions.roll_back(store, error.happened, leaving=version)
            follower.catch_up(service, store)
        raise


def _smoke_tested(service: Service, candidate: Candidate, sample: pd.DataFrame) -> Done[None]:
    """Compare what the service answers with what the trained model says."""
    answer = service.score(sample)
    gap = np.abs(answer.probability - candidate.result.model.probability(sample)).max()
    if answer.errors or not gap <= SMOKE_TOLERANCE:
        raise ServiceError(
            f"The deployed version {answer.version} answers unlike the trained model.",
            f"Probabilities may differ by {SMOKE_TOLERANCE}; they differ by {gap:.2g}.",
            "Compare the features that training and serving compute.",
        )
    figures: Figures = {"url": service.url, "version": answer.version, "smoke rows": len(sample)}
    return Done(None, f"version {answer.version} live", {**figures, "largest gap": float(gap)})


def _seen(verdict: Verdict) -> Figures:
    return {check.name: check.seen for check in verdict.checks}
