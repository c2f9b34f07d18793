"""What serves in a drill: models that answer requests and a registry that says which one does.

`Rehearsed` has all of it in memory, so that a shift is played in seconds. `live.Live` does the same
with MLflow's registry and a scoring service over HTTP; both answer alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Protocol

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from mlops_course.data.features import FEATURES, REQUIRED
from mlops_course.monitoring.windows import Window
from mlops_course.serving.routing import CHALLENGER, CHAMPION, REFUSED, Split, role_of
from mlops_course.shifts.prices import SLOW_MS
from mlops_course.training.model import DelayModel
from mlops_course.training.trainer import TrainingResult

QUICK_MS = 3.0
SLUGGISH_MS = 3 * SLOW_MS
USUAL_TREES = 1_000
GAPS = "empty values in a required column"


@dataclass(frozen=True)
class Move:
    """An entry of the promotion log, as the drill shows it."""

    day: str
    action: str
    version: str
    who: str
    reason: str


@dataclass(frozen=True)
class Served:
    """A day of flights, and what came of them.

    Attributes
    ----------
    day
        The day.
    flights
        As they were delivered, with ``request_id``, ``row``, ``label_at``, and what was answered:
        ``probability``, NaN for no answer, ``version`` and ``role``. A held flight has the rule's
        answer and no version.
    requests
        One row a request: ``request_id``, ``at``, ``role``, ``version``, ``rows``, ``ms``,
        ``failure``; none where traffic was held.
    """

    day: date
    flights: pd.DataFrame = field(repr=False)
    requests: pd.DataFrame = field(repr=False)


class System(Protocol):
    """What a drill acts on.

    Attributes
    ----------
    restarts
        How many times what answers had died and was started again.
    """

    restarts: int

    def register(self, result: TrainingResult, rows: pd.DataFrame, why: str) -> str:
        """Register a trained model, and return its version."""

    def promote(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion."""

    def roll_back(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion again that was it before."""

    def split(self, split: Split, challenger: str) -> None:
        """Share requests between champion and challenger."""

    def moves(self) -> Sequence[Move]:
        """Return the promotion log, oldest first."""

    def serve(self, day: date, flights: pd.DataFrame) -> Served:
        """Answer a day of numbered flights."""

    def window(self, served: Sequence[Served], before: date) -> Window:
        """Return days as a monitor sees them, with the labels that arrived before a day."""

    def close(self) -> None:
        """Let go of what it holds."""


def numbered_by_desk(flights: pd.DataFrame) -> pd.DataFrame:
    """Return flights with ``request_id`` and ``row``: those of a day and an airport are a request.

    The id is day and airport, as in ``09-02.JFK``.
    """
    days = flights["date"].dt.strftime("%m-%d").astype("object")
    ids = days + "." + flights["origin"].astype("object")
    return flights.assign(request_id=ids, row=ids.groupby(ids).cumcount())


def is_sluggish(model: DelayModel) -> bool:
    """Return whether a model has so many trees that its answers come late."""
    return len(model.estimator._predictors) > USUAL_TREES


@dataclass
class Rehearsed:
    """A system in memory.

    Attributes
    ----------
    memory
        Days that were answered, for another system that is asked the same: `World.memory`.
    """

    models: dict[str, DelayModel] = field(default_factory=dict)
    champion: str = ""
    challenger: str = ""
    share: Split = field(default_factory=Split)
    log: list[Move] = field(default_factory=list)
    restarts: int = 0
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)
    _threads: ThreadpoolController | None = None  # a new one would look for libraries each day

    def register(self, result: TrainingResult, rows: pd.DataFrame, why: str) -> str:
        """Keep a trained model under the next number."""
        version = str(len(self.models) + 1)
        self.models[version] = result.model
        return version

    def promote(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion."""
        self.champion = version
        self.log.append(Move(day.isoformat(), "promoted", version, who, reason))

    def roll_back(self, version: str, day: date, who: str, reason: str) -> None:
        """Make a version the champion again."""
        self.champion = version
        self.log.append(Move(day.isoformat(), "rolled back", version, who, reason))

    def split(self, split: Split, challenger: str) -> None:
        """Share requests between champion and challenger."""
        self.share = split
        self.challenger = challenger

    def moves(self) -> Sequence[Move]:
        """Return the promotion log, oldest first."""
        return self.log

    def serve(self, day: date, flights: pd.DataFrame) -> Served:
        """Answer request after request, as the service would; once answered, from memory."""
        models = [self.models.get(name) for name in (self.champion, self.challenger)]
        key = (id(flights), *map(id, models), self.champion, self.challenger, self.share)
        if key not in self.memory:
            # Flights and models are kept with the answer, so that no other gets their identity.
            self.memory[key] = (self._served(day, flights), flights, models)
        served: Served = self.memory[key][0]
        return served

    def _served(self, day: date, flights: pd.DataFrame) -> Served:
        names = flights["request_id"].unique()
        roles = {name: role_of(name, self.share) for name in names}
        empty = flights[list(REQUIRED)].isna().any(axis=1)
        refused = set(flights.loc[empty, "request_id"])
        roles |= dict.fromkeys(refused, REFUSED)
        by_row = flights["request_id"].map(roles)
        versions = {CHAMPION: self.champion, CHALLENGER: self.challenger, REFUSED: ""}
        probability = np.full(len(flights), np.nan)
        for role in set(roles.values()) - {REFUSED}:
            mine = (by_row == role).to_numpy()
            rows = flights if mine.all() else flights[mine]
            probability[mine] = self._probability(self.models[versions[role]], rows)
        answered = flights.assign(
            probability=probability, version=by_row.map(versions), role=by_row
        )
        requests = self._requests(day, answered, roles, versions)
        return Served(day, answered, requests)

    def _probability(self, model: DelayModel, rows: pd.DataFrame) -> np.ndarray:
        if self._threads is None:
            self._threads = ThreadpoolController()
        with self._threads.limit(limits=1):
            return model.probability_of(model.encode(rows))

    def _requests(
        self,
        day: date,
        flights: pd.DataFrame,
        roles: Mapping[str, str],
        versions: Mapping[str, str],
    ) -> pd.DataFrame:
        speed = {
            name: SLUGGISH_MS if is_sluggish(model) else QUICK_MS
            for name, model in self.models.items()
        }
        sizes = flights.groupby("request_id", sort=False).size()
        used = [versions[roles[name]] for name in sizes.index]
        return pd.DataFrame(
            {
                "request_id": sizes.index,
                "at": pd.Timestamp(day),
                "role": [roles[name] for name in sizes.index],
                "version": used,
                "rows": sizes.to_numpy(),
                "ms": [speed.get(version, 0.0) for version in used],
                "failure": [GAPS if roles[name] == REFUSED else "" for name in sizes.index],
            }
        )

    def window(self, served: Sequence[Served], before: date) -> Window:
        """Return days as a monitor sees them, with the labels that arrived before a day."""
        return window_of(served, before)

    def close(self) -> None:
        """Nothing is held."""


JOINED = ["request_id", "row", "date", "late", "label_at", "role", "version", "probability"]


def window_of(served: Sequence[Served], before: date) -> Window:
    """Return days as `monitoring.performance.join` would, had they been written down."""
    flights = pd.concat([one.flights[[*JOINED, *FEATURES]] for one in served], ignore_index=True)
    arrived = flights["label_at"] < pd.Timestamp(before)
    flights["late"] = flights["late"].where(arrived)
    flights["label_at"] = flights["label_at"].where(arrived)
    requests = pd.concat([one.requests for one in served], ignore_index=True)
    return named_window(served, flights, requests)


def named_window(served: Sequence[Served], flights: pd.DataFrame, requests: pd.DataFrame) -> Window:
    """Return a window with the name that sentences call it by."""
    first = served[0].day
    end = pd.Timestamp(served[-1].day + timedelta(days=1))
    name = f"{first}" if len(served) == 1 else f"the {len(served)} days from {first}"
    return Window(name, pd.Timestamp(first), end, flights, requests)
