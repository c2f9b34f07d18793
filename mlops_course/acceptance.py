"""The release gate: may this registered version serve? Data, model and service tests, one verdict.

`judge` asks everything that can be asked before a user is at stake, of the version as the
registry holds it and as the service would serve it. What only live traffic can tell is left to
shadow and canary.
"""

import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import fields
from datetime import date
from statistics import quantiles

import httpx
import mlflow
import numpy as np
import orjson
import pandas as pd
from mlflow.exceptions import MlflowException

from mlops_course import promotions, registry, tracking
from mlops_course.errors import DataError, ServiceError
from mlops_course.flights import (
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    draw,
    fingerprint,
    labelled,
    load_flights,
)
from mlops_course.observing import CALLED_LATE
from mlops_course.registry import Registered
from mlops_course.serving import Service, request_body
from mlops_course.traffic import CHALLENGER, Split
from mlops_course.training import TrainingConfig, baseline, model_digest, train
from mlops_course.validation import CONFIDENCE, Check, Verdict, paired_interval, validate_flights

LEAST_ROWS, LEAST_SLICE = 4_000, 500
SLICES = ("origin", "carrier")
TIMED, TURNS, SLOWEST = 20, 3, 2.0
JSON = {"content-type": "application/json"}

# The candidate is loaded as champion, so that nothing stands in for it where it fails; the
# version it is compared with waits beside it, and answers everything when the split says so.
CANDIDATE_ANSWERS, RIVAL_ANSWERS = Split(), Split("canary", 1.0)


def judge(
    store: tracking.Store,
    candidate: str,
    first: date = FIRST_HELD_OUT,
    last: date = LAST_HELD_OUT,
    *,
    service: Service | None = None,
) -> Verdict:
    """Judge a registered version on flights that its training must not have seen.

    Parameters
    ----------
    candidate
        The version's number.
    first, last
        The days of the flights it is judged on.
    service
        The service to try it in; by default one that starts and ends with the call.

    Raises
    ------
    RegistryError
        If there is no such version.
    DataError
        If the flights to judge on fail their own tests; then nothing is said about the model.
    """
    challenger, champion = registry.get(store, candidate), registry.find(store)
    flights = labelled(load_flights(store.workspace, first, last))
    fit = validate_flights(flights, least_rows=LEAST_ROWS)
    if not fit.passed:
        raise DataError(
            f"The flights to judge on are unfit: {' '.join(fit.failures)}",
            "A gate judges on data that passes its own tests.",
            "Choose another period, or have the data repaired.",
        )
    rival = champion if champion and champion.version != challenger.version else None
    checks = list(_origin(store, challenger, first))
    with nullcontext(service) if service else Service() as trial:
        served = list(_served(trial, challenger, rival, flights))
        checks += served
        if all(check.passed for check in served):
            checks += _model(trial, rival, flights)
    return Verdict(f"version {challenger.version}", tuple(checks))


def record(store: tracking.Store, candidate: str, verdict: Verdict) -> str:
    """Keep a verdict and its report in a run below the version's training run; return its id.

    The run is the evidence that `promotions.promote` asks for.
    """
    parent = registry.get(store, candidate).run_id
    run_id = tracking.start_run(
        store, f"gate {candidate}", tracking.provenance(), {"candidate": candidate}, parent=parent
    )
    promotions.log_verdict(store, run_id, verdict)
    store.client.log_text(run_id, report(verdict), "gate.md")
    tracking.end_run(store, run_id)
    return run_id


def report(verdict: Verdict) -> str:
    """Return a verdict as Markdown, for a pull request or a job's summary."""
    title = f"Release gate: {verdict.subject} {'passed' if verdict.passed else 'is blocked'}"
    lines = [f"## {title}", "", "| check | result | seen |", "|---|---|---|"]
    for check in verdict.checks:
        seen = check.seen.replace("|", "\\|")
        lines.append(f"| {check.name} | {'pass' if check.passed else '**FAIL**'} | {seen} |")
    return "\n".join([*lines, ""])


def _origin(store: tracking.Store, version: Registered, first: date) -> Iterator[Check]:
    """Check that the training data is known and older than the flights, and gives this model."""
    run = store.client.get_run(version.run_id)
    named = [entry.dataset for entry in run.inputs.dataset_inputs] if run.inputs else []
    found = re.fullmatch(r"flights (\S+) to (\S+)", named[0].name) if len(named) == 1 else None
    if found is None:
        seen = f"Its run names {len(named)} data sets; one of flights was expected."
        yield Check("known data", False, seen)
        return
    begun, ended = (date.fromisoformat(day) for day in found.groups())
    seen = f"Trained on {named[0].name}; judged from {first} on."
    yield Check("trained on earlier days", ended < first, seen)
    rows, seed = load_flights(store.workspace, begun, ended), run.data.params.get("seed", "")
    drawn = draw(rows, int(seed)) if seed.isdigit() else rows
    used = next((some for some in (drawn, rows) if fingerprint(some) == named[0].digest), None)
    seen = f"Dataset version {named[0].digest} is {'not ' if used is None else ''}of these days."
    yield Check("data as claimed", used is not None, seen)
    if used is not None:
        yield _rebuilt(version, used, run.data.params)


def _rebuilt(version: Registered, rows: pd.DataFrame, params: Mapping[str, str]) -> Check:
    """Train again from what the run recorded, and compare with the registered file."""
    missing = [field.name for field in fields(TrainingConfig) if field.name not in params]
    if missing:
        return Check("rebuilt", False, f"Its run does not record {', '.join(missing)}.")
    config = TrainingConfig(
        **{field.name: literal_eval(params[field.name]) for field in fields(TrainingConfig)}
    )
    try:
        filed = mlflow.sklearn.load_model(version.path.as_uri())
    except (MlflowException, OSError) as error:
        return Check("rebuilt", False, f"The registered file cannot be read ({error}).")
    same = train(rows, config).digest == model_digest(filed)
    seen = "Trained again from its record, it is "
    return Check("rebuilt", same, f"{seen}{'the same model' if same else 'another model'}.")


def _served(
    service: Service, version: Registered, rival: Registered | None, flights: pd.DataFrame
) -> Iterator[Check]:
    """Check that the service can serve the version, keeps its contract, and is fast enough."""
    try:
        service.share(CANDIDATE_ANSWERS)
        service.load(version.path, version.version)
    except ServiceError as error:
        yield Check("can be served", False, error.happened)
        return
    faults = list(_broken(service.url, flights))
    seen = f"{'; '.join(faults)}." if faults else "Formats, oddities and refusals as agreed."
    yield Check("contract", not faults, seen)
    if faults or rival is None:
        return
    service.load(rival.path, rival.version, CHALLENGER)
    ratio = _slowness(service, flights.iloc[:TIMED])
    seen = f"One flight takes {ratio:.1f} times what version {rival.version} takes; "
    yield Check("fast enough", ratio <= SLOWEST, f"{seen}at most {SLOWEST:g} is allowed.")


def _slowness(service: Service, flights: pd.DataFrame) -> float:
    """Return how many times as long the candidate takes for one flight, the two timed in turn.

    Of each it takes the fastest tenth, which other work on this machine has disturbed least.
    """
    spent: dict[Split, list[float]] = {CANDIDATE_ANSWERS: [], RIVAL_ANSWERS: []}
    for _ in range(TURNS):
        for split, times in spent.items():
            service.share(split)
            times.extend(service.score(flights, batch=1).latency_ms)
    mine, others = (quantiles(times, n=10)[0] for times in spent.values())
    return mine / others


def _broken(url: str, flights: pd.DataFrame) -> Iterator[str]:
    """Yield what the service does not keep of its contract, in a few words each."""
    split = orjson.loads(request_body(flights.iloc[:5]))["dataframe_split"]
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    odd = [{**records[0], "temp": None, "visib": None, "dest": "???", "carrier": "??"}]
    with httpx.Client(base_url=url, headers=JSON, trust_env=False) as client:

        def ask(body: object) -> httpx.Response:
            return client.post("/invocations", content=orjson.dumps(body))

        answers = [ask({"dataframe_split": split}), ask({"instances": records})]
        if any(answer.status_code != 200 for answer in answers):
            yield f"legal flights are answered with {answers[0].status_code}"
        elif answers[0].content != answers[1].content:
            yield "two formats give two answers"
        elif not all(0 <= value <= 1 for value in answers[0].json()["predictions"]):
            yield "predictions are no probabilities"
        if (status := ask({"instances": odd}).status_code) != 200:
            yield f"missing weather and new names are answered with {status}"
        wrong: list[object] = [
            {"instances": [{**records[0], "hour": "noon"}]},
            {"instances": []},
            [],
        ]
        for body in wrong:
            if not 400 <= (status := ask(body).status_code) < 500:
                yield f"rubbish is answered with {status}"


def _model(service: Service, rival: Registered | None, flights: pd.DataFrame) -> list[Check]:
    """Compare what the service calls late with the one-line rule and with the champion."""
    late = flights["late"].to_numpy() == 1

    def right(split: Split) -> np.ndarray:
        service.share(split)
        return (service.score(flights).probability >= CALLED_LATE) == late

    mine = right(CANDIDATE_ANSWERS)
    gained = mine.astype(float) - (baseline(flights) == late)
    low, mean, _ = paired_interval(gained)
    seen = f"{100 * mean:+.2f} points against the rule, at least {100 * low:+.2f}."
    checks = [Check("better than the rule", low > 0, seen)]
    if rival is not None:
        gained = mine.astype(float) - right(RIVAL_ANSWERS)
        checks += _not_worse(flights, gained, f"version {rival.version}")
    return checks


def _not_worse(flights: pd.DataFrame, gained: np.ndarray, against: str) -> Iterator[Check]:
    """Check overall and by slice that nothing is lost beyond chance.

    With many slices one of them would look bad by luck; each is therefore held to a stricter
    level, which keeps all of them together at the usual one (Bonferroni).
    """
    _, mean, high = paired_interval(gained)
    seen = f"{100 * mean:+.2f} points against {against}, at most {100 * high:+.2f}."
    yield Check("not worse overall", high >= 0, seen)
    slices = {
        f"{column} {value}": (flights[column] == value).to_numpy()
        for column in SLICES
        for value in sorted(flights[column].unique())
    }
    slices = {name: inside for name, inside in slices.items() if inside.sum() >= LEAST_SLICE}
    confidence = 1 - (1 - CONFIDENCE) / max(len(slices), 1)
    for name, inside in slices.items():
        _, mean, high = paired_interval(gained[inside], confidence)
        seen = f"{100 * mean:+.2f} points against {against}, at most {100 * high:+.2f}."
        yield Check(f"not worse for {name}", high >= 0, seen)
