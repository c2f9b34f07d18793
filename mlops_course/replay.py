"""Real flights as numbered requests, so that answers, labels and prediction log fit together."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from mlops_course import clients
from mlops_course.deployment import rehearsal
from mlops_course.errors import ServiceError
from mlops_course.prediction_log import read_predictions, read_requests
from mlops_course.registry import resolve
from mlops_course.releases import KEY, Limits, judge_canary
from mlops_course.serving import request_body
from mlops_course.tracking import Store
from mlops_course.traffic import CHALLENGER, CHAMPION, Split, role_of
from mlops_course.validation import Check, Verdict


def numbered(flights: pd.DataFrame, size: int = 10) -> pd.DataFrame:
    """Return flights with ``request_id`` and ``row``: so many of one day make a request.

    The id begins with the day, as in ``09-02.17``.
    """
    place = flights.groupby("date").cumcount()
    day, number = flights["date"].dt.strftime("%m-%d."), (place // size).astype(str)
    return flights.assign(request_id=day + number, row=place % size)


def send(url: str, flights: pd.DataFrame, *, insist: bool = False) -> dict[str, str]:
    """Send numbered flights one request after the other; return which version answered each.

    Parameters
    ----------
    insist
        Ask again while the service is being started.

    Raises
    ------
    ServiceError
        If a request gets no answer, or one without predictions.
    """
    parts = flights.groupby("request_id", sort=False)
    bodies = {str(name): request_body(rows) for name, rows in parts}
    ask = clients.insist if insist else clients.send
    answers = dict(zip(bodies, ask(url, bodies.values(), ids=bodies), strict=True))
    for name, answer in answers.items():
        if not answer.is_success:
            raise ServiceError(
                f"Request {name} was answered with {answer.status_code}: {answer.text[:200]}",
                "Every request gets predictions.",
                "See that the flights are as `load_flights` gives them, and send them again.",
            )
    return {name: answer.json()["model_version"] for name, answer in answers.items()}


def new_log(store: Store, name: str) -> Path:
    """Return the path of a prediction log in the workspace that begins empty."""
    path = store.workspace.root / f"{name}.db"
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    return path


def rehearse_canary(store: Store, flights: pd.DataFrame) -> Verdict:
    """Try two canaries in this process: a failing one must end unnoticed, a sound one stay.

    The champion plays the challenger, too, once with its vocabulary spoilt.

    Raises
    ------
    RegistryError
        If there is no champion.
    """
    checks = [
        check for fails in (True, False) for check in _canary(store, numbered(flights, 1), fails)
    ]
    return Verdict("a canary rehearsed with a challenger that fails", tuple(checks))


def _canary(store: Store, rows: pd.DataFrame, fails: bool) -> list[Check]:
    champion, split = resolve(store), Split("canary", 0.5)
    with rehearsal() as (scorer, log):
        for role in (CHAMPION, CHALLENGER):
            scorer.load(champion.path, role, role)
        if fails:
            spoilt = replace(scorer.models[CHALLENGER], vocabulary={})
            scorer.models[CHALLENGER] = spoilt
        scorer.split = split
        answered = {
            str(name): scorer.score(str(name), request_body(row))[0]
            for name, row in rows.groupby("request_id", sort=False)
        }
        requests, predictions = read_requests(log), read_predictions(log)
    unlabelled = pd.Series(dtype="float64", index=pd.MultiIndex.from_arrays([[], []], names=KEY))
    limits, planned = Limits(slow_ms=500), len(rows) // 2
    ruling = judge_canary(requests, predictions, unlabelled, limits, planned)
    blamed = [check.name for check in ruling.checks if not check.passed]
    due = {name: CHAMPION if fails else role_of(name, split) for name in answered}
    kind = "failing" if fails else "sound"
    seen = f"{len(answered)} requests, half to a {kind} challenger: {ruling.action}."
    return [
        Check(f"{kind}: blamed for", blamed == (["failures"] if fails else []), seen),
        Check(f"{kind}: answers", answered == due, "Who answered, request by request."),
    ]
