"""Exams and who has taken them: an exam wears out with every candidate that is judged on it.

Of many candidates judged on the same flights one looks good by luck. So each look leaves a trace,
tags of the training run, and an exam serves so many candidates and no more: the level of each
verdict counts all of them. What is counted is a candidate against a rival: against a new champion
it is another comparison. The count covers candidates that owe the exam nothing; one that was tuned
to what earlier verdicts on these days said needs later days, whatever the count.

It is a record and no lock. Whoever deletes the tags, or the runs for good, frees their places, and
two programs that enter at the same moment may both take the last one.

Source: Dwork and others, *The reusable holdout: preserving validity in adaptive data analysis*,
Science 349, 2015; the level is Bonferroni's.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from mlflow.entities import Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mlops_course.core.verdicts import Check
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import fingerprint
from mlops_course.registry.versions import NOT_THERE
from mlops_course.stats.clustered import CONFIDENCE
from mlops_course.training.tracking import Store, explain

NAME = "fresh exam"
JUDGED = "judged"
TAG = "exam."
PARENT = "mlflow.parentRunId"
MAX_RUNS = 50_000


@dataclass(frozen=True)
class Exam:
    """Labelled flights to judge candidates on.

    Attributes
    ----------
    fingerprint
        12 hex digits over date, features and label of its flights.
    first, last
        Its first and its last day, as text such as ``2013-03-18``.
    days, flights
        How many of each it has.
    world
        The run of the pipeline that holds the exam, and whose candidates compete with each other
        alone. Empty outside of such runs, where all registered versions compete. Runs with other
        seeds are not counted together, though they share flights: the first exam of a run is not
        drawn. So a verdict's level holds for one run; the best of many seeds has none.
    """

    fingerprint: str
    first: str
    last: str
    days: int
    flights: int
    world: str = ""


@dataclass(frozen=True)
class Pair:
    """A candidate and the rival it is compared with, by their digests; empty for the rule."""

    candidate: str
    rival: str = ""


def level_for(candidates: int) -> float:
    """Return the level at which each of so many candidates is judged: 5% shared evenly.

    Shared evenly, not spent in order, so that a verdict does not depend on who came before.

    >>> round(level_for(5), 2)
    0.99
    """
    return 1 - (1 - CONFIDENCE) / candidates


def describe(flights: pd.DataFrame, world: str = "") -> Exam:
    """Return the exam that labelled flights make; columns beyond the features do not count."""
    days = flights["date"].unique()
    return Exam(
        fingerprint(flights[["date", *FEATURES, "late"]]),
        f"{days.min():%Y-%m-%d}",
        f"{days.max():%Y-%m-%d}",
        len(days),
        len(flights),
        world,
    )


def world_of(store: Store, run_id: str) -> str:
    """Return the run of the pipeline that a training run belongs to; empty for none."""
    return store.client.get_run(run_id).data.tags.get(PARENT, "")


def judged_on(store: Store, exam: Exam) -> frozenset[Pair]:
    """Return who was judged against whom on an exam, or on another of its days, by their digests.

    Exams of one world that share a day are one exam: leaving a day out makes no fresh one. Runs of
    all experiments count, deleted ones too, and a pair that was judged twice counts once.
    """
    return frozenset(pair for pair, _ in _looks_at(store, exam))


def _looks_at(store: Store, exam: Exam) -> list[tuple[Pair, Exam]]:
    """Return each look at an exam, or at another of its world that shares a day with it."""
    competing = f"tags.`{PARENT}` = '{exam.world}'" if exam.world else f"tags.{JUDGED} = 'yes'"
    experiments = store.client.search_experiments(ViewType.ALL)
    everywhere = [experiment.experiment_id for experiment in experiments]
    runs = store.client.search_runs(everywhere, competing, ViewType.ALL, MAX_RUNS)
    found = []
    for run in runs:
        for pair, other in _looks(run):
            if other.world == exam.world and other.first <= exam.last and exam.first <= other.last:
                found.append((pair, other))
    return found


def note(store: Store, run_id: str, exam: Exam, pair: Pair) -> None:
    """Write into a training run that its model is judged on an exam, and against which rival."""
    look = json.dumps({"digest": pair.candidate, "rival": pair.rival, **asdict(exam)})
    parts = (exam.fingerprint, pair.candidate, pair.rival, exam.world)
    tags = [RunTag(TAG + ".".join(filter(None, parts)), look)]
    if not exam.world:
        tags.append(RunTag(JUDGED, "yes"))
    store.client.log_batch(run_id, tags=tags)


def enter(
    store: Store, run_id: str, exam: Exam, digest: str, candidates: int, rival: str = ""
) -> Check:
    """Let a candidate take an exam, and write that down first, unless the exam is worn out.

    Parameters
    ----------
    run_id, digest
        The candidate's training run, and the digest of its model (`training.model.model_digest`).
    candidates
        How many candidates the exam serves; their verdicts share the 5% among them.
    rival
        The digest of the model that it is compared with; empty where that is the rule.

    Returns
    -------
    The check `NAME`. Where it fails, nothing was written, and the candidate must not be judged on
    these flights.

    Raises
    ------
    WorkspaceError
        If the store cannot be read or written.
    """
    on = (
        f"judged on exam {exam.fingerprint}: {exam.flights:,} flights of {exam.days} days, "
        f"{exam.first} to {exam.last}"
    )
    pair = Pair(digest, rival)
    try:
        looks = _looks_at(store, exam)
        judged = {seen for seen, _ in looks}
        again = any(seen == pair and other == exam for seen, other in looks)
        if not again and len(judged | {pair}) > candidates:
            seen = f"{len(judged)} of at most {candidates} candidates, each against a rival, were"
            last = max(other.last for _, other in looks)
            worn = f"These are worn out: judge on days after {last}."
            return Check(
                NAME, False, f"{seen} judged on days of {exam.first} to {exam.last}. {worn}"
            )
        note(store, run_id, exam, pair)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise explain(error) from error
        return Check(NAME, False, "The run that made it is gone: nowhere to write the look down.")
    seen = f"With this one {len(judged | {pair})} of at most {candidates} {on}."
    level = f"Each claim is held to one-sided {100 * level_for(candidates):.4g}%"
    together = f", all candidates together to {CONFIDENCE:.0%}" if candidates > 1 else ""
    return Check(NAME, True, f"{seen} {level}{together}.")


def _looks(run: Run) -> Iterator[tuple[Pair, Exam]]:
    """Yield what a run's tags tell: who was judged against whom, and on which exam."""
    for key, text in run.data.tags.items():
        if key.startswith(TAG):
            with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                kept = json.loads(text)  # unless somebody has edited the tag
                pair = Pair(str(kept.pop("digest")), str(kept.pop("rival", "")))
                yield pair, _as_exam(kept)


def _as_exam(kept: dict[str, Any]) -> Exam:
    kept |= {name: str(kept[name]) for name in ("fingerprint", "first", "last")}
    kept |= {name: int(kept[name]) for name in ("days", "flights")}
    return Exam(**kept | {"world": str(kept.get("world", ""))})
