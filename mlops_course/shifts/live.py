"""The real system of a drill: MLflow's registry with its audited log, and a service over HTTP.

It lives in a workspace of its own, so that its versions are those of the shift alone. What it
answers is what `systems.Rehearsed` answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import orjson
import pandas as pd

from mlops_course.core.errors import ServiceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.monitoring import labels
from mlops_course.monitoring.windows import Window, read_record
from mlops_course.registry import evidence, promotions, versions
from mlops_course.release import follower
from mlops_course.serving.prediction_log import read_requests
from mlops_course.serving.replay import bodies_of
from mlops_course.serving.routing import CHALLENGER, REFUSED, Split, role_of
from mlops_course.serving.service import Service
from mlops_course.shifts.systems import Move, Served, named_window
from mlops_course.training import tracking
from mlops_course.training.aside import pointed_at
from mlops_course.training.trainer import TrainingResult

FOLDER = "oncall"
LOG = "oncall.db"


def open_live(home: Workspace, name: str) -> "Live":
    """Begin a real system for a shift, in a workspace inside another that begins empty.

    Parameters
    ----------
    name
        Of the shift's folder.

    Raises
    ------
    WorkspaceError
        If the folder cannot be emptied or written, for instance because another program plays in
        it.
    ServiceError
        If the service does not start.
    """
    place = open_workspace(home.root / FOLDER / name, cache=home.cache)
    reset_workspace(place, keep_cache=True)
    place = open_workspace(place.root, cache=home.cache)
    with pointed_at(place):
        store = tracking.connect(place)
    live = Live(store, Service(), place.root / LOG)
    live.service.start()
    live.service.begin_log(live.log)
    labels.begin(labels.beside(live.log))
    return live


@dataclass
class Live:
    """A registry, a service that follows it, and what both write down.

    Attributes
    ----------
    log
        The service's prediction log; the label store stands beside it.
    restarts
        How many times the service had died and was started again.
    """

    store: tracking.Store
    service: Service
    log: Path
    restarts: int = 0
    origin: tracking.Provenance = field(default_factory=tracking.provenance)

    def register(self, result: TrainingResult, rows: pd.DataFrame, why: str) -> str:
        """Log a trained model as an MLflow run, and register it as the next version."""
        with pointed_at(self.store.workspace):
            run_id, uri = tracking.log_training(
                self.store, self.origin, result, rows, {}, name=why, seed=None, parent=""
            )
            return versions.register(self.store, run_id, uri).version

    def promote(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion, on the word of whoever promotes it; the service follows."""
        run_id = versions.get(self.store, version).run_id
        rival = versions.version_at(self.store)
        seen = Verdict("model", (Check(f"word of {who}", True, reason),), rival, "")
        evidence.log_verdict(self.store, run_id, seen)
        dated = f"{day} {reason}"
        promotions.promote(self.store, version, dated, evidence=run_id, who=who)
        follower.catch_up(self.service, self.store)

    def roll_back(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion again; the service follows."""
        promotions.roll_back(self.store, f"{day} {reason}", to=version, who=who)
        follower.catch_up(self.service, self.store)

    def split(self, split: Split, challenger: str) -> None:
        """Say in the registry how requests are shared; the service follows."""
        if challenger:
            client = self.store.client
            client.set_registered_model_alias(versions.MODEL_NAME, CHALLENGER, challenger)
        follower.set_split(self.store, split)
        follower.catch_up(self.service, self.store)

    def moves(self) -> Sequence[Move]:
        """Return the promotion log, oldest first, by the shift's days."""
        return [
            Move(entry.reason[:10], entry.action, entry.after, entry.who, entry.reason[11:])
            for entry in promotions.history(self.store)
        ]

    def serve(self, day: date, flights: pd.DataFrame) -> Served:
        """Send a day's requests; a service that was killed is started again."""
        store = labels.beside(self.log)
        labels.expect(store, flights)
        bodies = bodies_of(flights)
        try:
            answers = self.service.send(bodies.values(), ids=bodies)
        except ServiceError:
            self.restarts += 1
            follower.catch_up(self.service, self.store)
            answers = self.service.send(bodies.values(), ids=bodies)
        labels.arrive(store, flights)
        by_request = dict(zip(bodies, answers, strict=True))
        probability = np.full(len(flights), np.nan)
        version = pd.Series("", index=flights.index, dtype="object")
        role = pd.Series(REFUSED, index=flights.index, dtype="object")
        places = flights.groupby("request_id", sort=False).indices
        for name, answer in by_request.items():
            if not answer.is_success:
                continue
            said = orjson.loads(answer.content)
            probability[places[name]] = said["predictions"]
            version.iloc[places[name]] = said["model_version"]
            role.iloc[places[name]] = role_of(name, self.service.split)
        answered = flights.assign(probability=probability, version=version, role=role)
        return Served(day, answered, read_requests(self.log, bodies))

    def window(self, served: Sequence[Served], before: date) -> Window:
        """Return days as log and label store have them."""
        ids = pd.concat([one.requests["request_id"] for one in served]).unique()
        record = read_record(self.log, request_ids=ids, before=before)
        return named_window(served, record.flights, record.requests)

    def close(self) -> None:
        """Stop the service."""
        self.service.close()
