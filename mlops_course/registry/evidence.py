"""The evidence for a promotion: verdicts of the gate, each kept in an MLflow run as ``gate.json``.

Anybody may write into a store, so what is read from it is taken for what it is: a verdict has
checks, a check held only if it says so, and it speaks for the model of its own run alone. The exam
that it was judged on is part of it: whoever reads it can hold that against another.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from mlops_course.core.errors import Refusal
from mlops_course.core.texts import short
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.registry.versions import NOT_THERE, Registered, get
from mlops_course.training.tracking import Store, explain

EVIDENCE = "gate.json"
MAX_BYTES = 2**20


def log_verdict(store: Store, run_id: str, verdict: Verdict) -> None:
    """Keep the gate's verdict in a run, where `promote` looks for it."""
    kept = asdict(verdict)
    for check in kept["checks"]:
        check["passed"] = bool(check["passed"])  # NumPy's own would become the text "False"
    store.client.log_dict(run_id, kept, EVIDENCE)


def verdicts_on(store: Store, version: str) -> list[tuple[str, Verdict]]:
    """Return the verdicts kept on a version, each with the id of its run; the newest first.

    They lie in the runs below the version's training run, and perhaps in that itself, which
    counts as the oldest: a training's own verdict comes before any later one.

    Raises
    ------
    RegistryError
        If there is no such version.
    WorkspaceError
        If the store cannot be read.
    """
    trained_by = get(store, version).run_id
    below = store.client.search_runs(
        [store.experiment_id],
        f"tags.`mlflow.parentRunId` = '{trained_by}'",
        order_by=["attributes.start_time DESC"],
    )
    found = []
    for run_id in (*(run.info.run_id for run in below), trained_by):
        verdict = _as_verdict(text_of(store, run_id))
        if verdict is not None:
            found.append((run_id, verdict))
    return found


def newest_pass(store: Store, version: str) -> str:
    """Return the run of the newest verdict on a version, which must be a pass.

    Raises
    ------
    Refusal
        If there is none, or it is a block.
    """
    kept = verdicts_on(store, version)
    if kept and kept[0][1].passed:
        return kept[0][0]
    found = "the gate has blocked it" if kept else "the gate has not judged it"
    raise Refusal(
        f"Version {version} was not promoted: {found}.",
        "A version may serve once the gate has passed it, and its last verdict counts.",
        f"Run `mlops-course gate {version}` first, or name the run of a verdict with --evidence.",
    )


def speaking_for(store: Store, version: Registered, evidence: str) -> tuple[Verdict, str]:
    """Return the passed verdict on a version that a run holds, and the digest of its text.

    Raises
    ------
    Refusal
        If the run holds none, or one that is no pass or about another model.
    WorkspaceError
        If the store cannot be read.
    """
    text = text_of(store, evidence)
    verdict = _as_verdict(text)
    if verdict is None:
        fault = f"run {short(evidence) or 'none'} holds no verdict of the gate"
    elif version.run_id not in (evidence, _parent(store, evidence)):
        fault = f"the verdict in run {evidence} is about another model"
    elif not verdict.passed:
        fault = f"the gate refused it: {short(verdict.failures[0]).rstrip('.')}"
    else:
        return verdict, sha256(text)
    raise Refusal(
        f"Version {version.version} was not promoted: {fault}.",
        f"Its evidence is a passed verdict in {EVIDENCE}, in its training run or a run below that.",
        "Run the gate on this version, and pass the id of the run that holds the verdict.",
    )


def text_of(store: Store, run_id: str) -> str:
    """Return the text of the verdict that a run holds; empty if run or verdict is gone."""
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return ""
        raise explain(error) from error
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        return ""
    try:
        path = Path(store.client.download_artifacts(run_id, EVIDENCE))
        return path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else ""
    except (MlflowException, OSError, UnicodeError):
        return ""


def sha256(text: str) -> str:
    """Return the SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def _as_verdict(text: str) -> Verdict | None:
    """Return the verdict that a text holds, or None where it holds none."""
    try:
        kept = json.loads(text)
        found = [
            Check(str(check["name"]), str(check["passed"]) == "True", str(check["seen"]))
            for check in kept["checks"]
        ]
        rival = kept.get("rival")
        exam = kept.get("exam")
        verdict = Verdict(
            str(kept["subject"]),
            tuple(found),
            None if rival is None else str(rival),
            None if exam is None else str(exam),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return verdict if found else None


def _parent(store: Store, run_id: str) -> str:
    return store.client.get_run(run_id).data.tags.get("mlflow.parentRunId", "")
