"""The release gate: may this version serve? Data, model and service tests, one verdict.

`judge` asks everything that can be asked before a user is at stake, of a version as the registry
holds it, wherever it comes from, and as the service would serve it. Whether its answers are good
enough is `comparison`'s to say; the pipeline asks that alone, of a model that it has just trained
itself. What only live traffic can tell is left to shadow and canary.
"""

import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import fields
from datetime import date
from statistics import quantiles

import orjson
import pandas as pd
from mlflow.exceptions import MlflowException

from mlops_course.core.errors import DataError, ModelError, ParameterError, ServiceError
from mlops_course.core.texts import short
from mlops_course.core.verdicts import Check, Verdict, as_markdown
from mlops_course.data.flights import (
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    draw_days,
    fingerprint,
    labelled,
    load_flights,
)
from mlops_course.data.quality import validate_flights
from mlops_course.registry import evidence, exams, versions
from mlops_course.registry.versions import Registered
from mlops_course.release.comparison import compare
from mlops_course.serving.client import send
from mlops_course.serving.contract import request_body
from mlops_course.serving.routing import CHALLENGER, Split
from mlops_course.serving.service import Service
from mlops_course.training import tracking
from mlops_course.training.model import load_model, model_digest
from mlops_course.training.trainer import TrainingConfig, train

MIN_EXAM_ROWS = 4_000
# How many candidates one exam serves. Of those as good as the champion 1 to 6% are then blocked on
# the exam in March, depending on how far two trainings differ; with ten it would be 3 to 11%. It
# depends on the exam, too: over 20 fortnights from there on, whole days swapped 15 times on each,
# none to 8% for six other trainings, with an error of 3.5%. A model that has not seen January is
# blocked in 60% from 9 to 22 December, where it is .8 points worse, and in none to 13% elsewhere.
CANDIDATES = 5
TIMED_ROWS = 20
TIMED_TURNS = 3
MAX_SLOWNESS = 2.0

# The candidate is loaded as champion, so that nothing stands in for it where it fails; the
# version it is compared with waits beside it, and answers everything when the split says so.
CANDIDATE_ANSWERS = Split()
RIVAL_ANSWERS = Split("canary", 1.0)


def judge(
    store: tracking.Store,
    candidate: str,
    first: date = FIRST_HELD_OUT,
    last: date = LAST_HELD_OUT,
    *,
    service: Service | None = None,
) -> Verdict:
    """Judge a registered version on flights that its training must not have seen.

    The exam serves `CANDIDATES` candidates, whose verdicts share 5% (`registry.exams`): of all that
    were ever judged on these days, the chance that one which loses more than its margin passes is
    at most that: a point overall, three in a slice of 800 flights or more; smaller ones are judged
    together. Whatever is not compared was not judged on them: a version that cannot be served, or
    one that comes to a worn-out exam.

    The margin is for one release. Four in a row that lose half a point each can all pass, and two
    points are gone: what does not move is the rule, to which none may surely lose.

    Parameters
    ----------
    candidate
        The version's number.
    first, last
        The days of the flights it is judged on.
    service
        The service to try it in, which afterwards serves the candidate; by default one that starts
        and ends with the call.

    Raises
    ------
    RegistryError
        If there is no such version.
    ModelError
        If the champion's files are not those that were registered.
    DataError
        If the flights to judge on fail their own tests; then nothing is said about the model.
    """
    challenger = versions.sealed(store, versions.get(store, candidate))
    champion = versions.find(store)
    flights = labelled(load_flights(store.workspace, first, last))
    fit = validate_flights(flights, min_rows=MIN_EXAM_ROWS)
    if not fit.passed:
        raise DataError(
            f"The flights to judge on are unfit: {' '.join(fit.failures)}",
            "A gate judges on data that passes its own tests.",
            "Choose another period, or have the data repaired.",
        )
    rival = champion if champion and champion.version != challenger.version else None
    exam = exams.describe(flights)
    checks = list(_origin(store, challenger, first))
    with nullcontext(service) if service else Service() as trial:
        served = list(_served(trial, challenger, rival, flights))
        checks += served
        if all(check.passed for check in served):
            checks += _examined(store, trial, challenger, rival, flights, exam)
    subject = f"version {challenger.version}"
    serving = champion.version if champion else ""
    return Verdict(subject, tuple(checks), serving, exam.fingerprint)


def record(store: tracking.Store, candidate: str, verdict: Verdict) -> str:
    """Keep a verdict and its report in a run below the version's training run; return its id.

    The run is the evidence that `promotions.promote` asks for.
    """
    parent = versions.get(store, candidate).run_id
    run_id = tracking.start_run(
        store, f"gate {candidate}", tracking.provenance(), {"candidate": candidate}, parent=parent
    )
    evidence.log_verdict(store, run_id, verdict)
    store.client.log_text(run_id, as_markdown(verdict, title(verdict)), "gate.md")
    tracking.end_run(store, run_id)
    return run_id


def title(verdict: Verdict) -> str:
    """Return the gate's verdict as a heading."""
    return f"Release gate: {verdict.subject} {'passed' if verdict.passed else 'is blocked'}"


def _origin(store: tracking.Store, version: Registered, first: date) -> Iterator[Check]:
    """Check that the training data is known and older than the flights, and gives this model."""
    try:
        run = store.client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in versions.NOT_THERE:
            raise tracking.explain(error) from error
        yield Check("known data", False, "The run that made it is gone, and its record with it.")
        return
    named = [entry.dataset for entry in run.inputs.dataset_inputs] if run.inputs else []
    name, digest = (short(named[0].name), short(named[0].digest)) if named else ("", "")
    found = re.fullmatch(r"flights (\S+) to (\S+)", name) if len(named) == 1 else None
    if found is None:
        seen = f"Its run names {len(named)} data sets; one of flights was expected."
        yield Check("known data", False, seen)
        return
    try:
        begun, ended = (date.fromisoformat(day) for day in found.groups())
        rows = load_flights(store.workspace, begun, ended)
    except ValueError:
        yield Check("known data", False, f"Its run names {name}: no such days are known.")
        return
    seen = f"Trained on {name}; judged from {first} on."
    yield Check("trained on earlier days", ended < first, seen)
    seed = run.data.params.get("seed", "")
    drawn = draw_days(rows, int(seed)) if re.fullmatch("[0-9]{1,20}", seed) else rows
    used = next((some for some in (drawn, rows) if fingerprint(some) == digest), None)
    seen = f"Dataset version {digest} is {'not ' if used is None else ''}of these days."
    yield Check("data as claimed", used is not None, seen)
    if used is not None:
        yield _rebuilt(version, used, run.data.params)


def _rebuilt(version: Registered, rows: pd.DataFrame, params: Mapping[str, str]) -> Check:
    """Train again from what the run recorded, and compare with the registered file."""
    missing = [field.name for field in fields(TrainingConfig) if field.name not in params]
    if missing:
        return Check("rebuilt", False, f"Its run does not record {', '.join(missing)}.")
    settings = {field.name: params[field.name] for field in fields(TrainingConfig)}
    try:
        config = TrainingConfig(**{name: literal_eval(text) for name, text in settings.items()})
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        seen = f"Its run records settings that are none: {short(settings)}."
        return Check("rebuilt", False, seen)
    try:
        filed = load_model(version.path, version.files)
        if not config.early_stopping and config.max_iter > filed.estimator.n_iter_:
            return Check("rebuilt", False, "It has fewer trees than its record says.")
        again = train(rows, config)
    except (ModelError, DataError, ParameterError) as error:
        return Check("rebuilt", False, error.happened)
    except TypeError:
        return Check(
            "rebuilt", False, f"Its run records settings that are none: {short(settings)}."
        )
    same = again.digest == model_digest(filed.estimator)
    seen = "Trained again from its record, it is "
    return Check("rebuilt", same, f"{seen}{'the same model' if same else 'another model'}.")


def _served(
    service: Service, version: Registered, rival: Registered | None, flights: pd.DataFrame
) -> Iterator[Check]:
    """Check that the service can serve the version, keeps its contract, and is fast enough."""
    try:
        service.share(CANDIDATE_ANSWERS)
        service.load(version.path, version.version, files=version.files)
    except (ModelError, ServiceError) as error:
        yield Check("can be served", False, error.happened)
        return
    try:
        faults = list(_broken(service.url, flights))
    except ServiceError:
        faults = ["the service stops answering"]
    seen = f"{'; '.join(faults)}." if faults else "Formats, oddities and refusals as agreed."
    yield Check("contract", not faults, seen)
    if faults or rival is None:
        return
    service.load(rival.path, rival.version, CHALLENGER, rival.files)
    ratio = _slowness(service, flights.iloc[:TIMED_ROWS])
    seen = f"One flight takes {ratio:.1f} times what version {rival.version} takes; "
    yield Check("fast enough", ratio <= MAX_SLOWNESS, f"{seen}at most {MAX_SLOWNESS:g} is allowed.")


def _slowness(service: Service, flights: pd.DataFrame) -> float:
    """Return how many times as long the candidate takes for one flight, the two timed in turn.

    Of each it takes the fastest tenth, which other work on this machine has disturbed least.
    """
    spent: dict[Split, list[float]] = {CANDIDATE_ANSWERS: [], RIVAL_ANSWERS: []}
    for _ in range(TIMED_TURNS):
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
    bodies: list[object] = [
        {"dataframe_split": split},
        {"instances": records},
        {"instances": odd},
        {"instances": [{**records[0], "hour": "noon"}]},
        {"instances": []},
        [],
    ]
    one, two, unusual, *rubbish = send(url, map(orjson.dumps, bodies))
    refused = [answer.status_code for answer in (one, two) if not answer.is_success]
    if refused:
        yield f"legal flights are answered with {refused[0]}"
    elif one.content != two.content:
        yield "two formats give two answers"
    elif not all(_is_probability(value) for value in one.json()["predictions"]):
        yield "predictions are no probabilities"
    if not unusual.is_success:
        yield f"missing weather and new names are answered with {unusual.status_code}"
    for answer in rubbish:
        if not answer.is_client_error:
            yield f"rubbish is answered with {answer.status_code}"


def _is_probability(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def _examined(
    store: tracking.Store,
    service: Service,
    version: Registered,
    rival: Registered | None,
    flights: pd.DataFrame,
    exam: exams.Exam,
) -> Iterator[Check]:
    """Enter the version for the exam; unless that is worn out, compare what the service answers."""
    digest = model_digest(load_model(version.path, version.files).estimator)
    other = model_digest(load_model(rival.path, rival.files).estimator) if rival else ""
    entered = exams.enter(store, version.run_id, exam, digest, CANDIDATES, other)
    yield entered
    if entered.passed:
        yield from _answers_compared(service, rival, flights).checks


def _answers_compared(service: Service, rival: Registered | None, flights: pd.DataFrame) -> Verdict:
    """Compare what the service answers for the candidate and for the version in charge."""
    confidence = exams.level_for(CANDIDATES)
    service.share(CANDIDATE_ANSWERS)
    candidate = service.score(flights).probability
    if rival is None:
        return compare(flights, candidate, confidence=confidence)
    service.share(RIVAL_ANSWERS)
    champion = service.score(flights).probability
    against = f"version {rival.version}"
    return compare(flights, candidate, champion, against=against, confidence=confidence)
