"""A service without HTTP in this process: the same code from body to log, to try things on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from threadpoolctl import threadpool_limits

from mlops_course.core.verdicts import Check, Verdict
from mlops_course.data.features import FEATURES
from mlops_course.registry import promotions, versions
from mlops_course.release.canary import Limits, judge_canary
from mlops_course.serving.app import Scorer
from mlops_course.serving.contract import read_columns, request_body
from mlops_course.serving.metrics import Metrics
from mlops_course.serving.prediction_log import (
    KEY,
    PredictionLog,
    read_predictions,
    read_requests,
)
from mlops_course.serving.replay import numbered
from mlops_course.serving.routing import CHALLENGER, CHAMPION, Split, role_of
from mlops_course.training.tracking import Store, copy_of

SAME = 1e-9  # probabilities that differ by less are the same


@contextmanager
def rehearsal() -> Iterator[tuple[Scorer, Path]]:
    """Have a service without HTTP, and the file of its prediction log, until the block ends.

    It is the service's own code from body to log, in this process and, as there, on one thread.
    """
    with TemporaryDirectory() as folder, threadpool_limits(1):
        path = Path(folder) / "predictions.db"
        scorer = Scorer(Metrics(), PredictionLog(path))
        try:
            yield scorer, path
        finally:
            scorer.close()


def rehearse(store: Store, flights: pd.DataFrame, alias: str = CHAMPION) -> pd.DataFrame:
    """Return what the prediction log holds after these flights, one request, went all the way.

    See `rehearsal`.

    Raises
    ------
    RegistryError
        If the alias points at nothing.
    ModelError
        If the version's files are gone.
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    found = versions.resolve(store, alias)
    with rehearsal() as (scorer, log):
        scorer.load(found.path, found.version, files=found.files)
        _send(scorer, "rehearsal", flights)
        return read_predictions(log)


def _send(scorer: Scorer, name: str, flights: pd.DataFrame) -> str:
    """Score flights as one request, and log it; return which version answered."""
    entries = scorer.score(name, read_columns(request_body(flights)))
    scorer.keep(entries).result()
    return entries[-1].version


def rehearse_rollback(
    store: Store, flights: pd.DataFrame, champion: str, challenger: str
) -> Verdict:
    """Promote two versions on a copy of the store and go back: all answers must be as before.

    Parameters
    ----------
    flights
        To be asked about before and after.
    champion, challenger
        The numbers of two versions whose training runs hold verdicts that passed.

    Raises
    ------
    RegistryError
        If one of the versions, or its evidence, is not there.
    """
    copy = copy_of(store, "rehearsal")
    _promote(copy, champion)
    before = rehearse(copy, flights)["probability"]
    _promote(copy, challenger)
    back = promotions.roll_back(copy, "the end of the rehearsal")
    gap = float((rehearse(copy, flights)["probability"] - before).abs().max())
    serves = versions.version_at(copy)
    checks = (
        Check("answers", gap < SAME, f"{len(flights)} answers moved by {gap:.1g} at most."),
        Check("log", back.after == serves, f"Log: {back.after}, alias: {serves}."),
    )
    return Verdict("a rollback rehearsed on a copy", checks)


def _promote(store: Store, version: str) -> None:
    run_id = versions.get(store, version).run_id
    promotions.promote(store, version, "a rehearsal", evidence=run_id)


def rehearse_skew(store: Store, flights: pd.DataFrame) -> Verdict:
    """Hold the log against the flights it was asked about: alike, unless a clock is wrong.

    The comparison must be silent on what really went through the service's code, and name the
    hour, and nothing else, once the flights' hour is another.

    Raises
    ------
    RegistryError
        If there is no champion.
    """
    logged = rehearse(store, flights)
    shifted = flights.assign(hour=flights["hour"] + 4)
    alike = differing(logged, flights)
    moved = differing(logged, shifted)
    checks = (
        Check("equal", not alike, f"Of {len(flights)} flights these differ: {alike or 'none'}."),
        Check("shift", moved == ["hour"], f"With another hour these differ: {moved or 'none'}."),
    )
    return Verdict("the log against the table", checks)


def differing(logged: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """Return the features that are not the same, row by row, in two tables of equal length."""
    names = list(FEATURES)
    ours = logged[names].astype(object).reset_index(drop=True)
    theirs = expected[names].astype(object).reset_index(drop=True)
    return list(ours.compare(theirs).columns.unique(level=0))


def rehearse_canary(store: Store, flights: pd.DataFrame) -> Verdict:
    """Try two canaries in this process: a failing one must end unnoticed, a sound one stay.

    The champion plays the challenger, too, once with its vocabulary spoilt.

    Raises
    ------
    RegistryError
        If there is no champion.
    """
    rows = numbered(flights, 1)
    checks = [*_canary(store, rows, fails=True), *_canary(store, rows, fails=False)]
    return Verdict("a canary rehearsed with a challenger that fails", tuple(checks))


def _canary(store: Store, rows: pd.DataFrame, fails: bool) -> list[Check]:
    champion = versions.resolve(store)
    split = Split("canary", 0.5)
    with rehearsal() as (scorer, log):
        for role in (CHAMPION, CHALLENGER):
            scorer.load(champion.path, role, role, champion.files)
        if fails:
            sound = scorer.models[CHALLENGER]
            spoilt = replace(sound.model, vocabulary={})
            scorer.models[CHALLENGER] = replace(sound, model=spoilt)
        scorer.split = split
        answered = {
            str(name): _send(scorer, str(name), row)
            for name, row in rows.groupby("request_id", sort=False)
        }
        requests = read_requests(log)
        predictions = read_predictions(log)
    unlabelled = pd.Series(dtype="float64", index=pd.MultiIndex.from_arrays([[], []], names=KEY))
    limits = Limits(slow_ms=500)
    planned = len(rows) // 2
    ruling = judge_canary(requests, predictions, unlabelled, limits, planned)
    blamed = [check.name for check in ruling.checks if not check.passed]
    due = {name: CHAMPION if fails else role_of(name, split) for name in answered}
    kind = "failing" if fails else "sound"
    seen = f"{len(answered)} requests, half to a {kind} challenger: {ruling.action}."
    return [
        Check(f"{kind}: blamed for", blamed == (["failures"] if fails else []), seen),
        Check(f"{kind}: answers", answered == due, "Who answered, request by request."),
    ]
