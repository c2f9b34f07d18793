"""Real flights as numbered requests, so that answers, labels and prediction log fit together."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops_course.core.errors import ServiceError
from mlops_course.core.files import delete_database
from mlops_course.serving import client
from mlops_course.serving.contract import packed, rows_of

if TYPE_CHECKING:
    from mlops_course.training.tracking import Store


def numbered(flights: pd.DataFrame, size: int = 10) -> pd.DataFrame:
    """Return flights with ``request_id`` and ``row``: so many of one day make a request.

    The id begins with the day, as in ``09-02.17``.
    """
    place = flights.groupby("date").cumcount()
    day, days = pd.factorize(flights["date"])
    number, numbers = pd.factorize(place // size)
    beginnings = np.array([f"{one:%m-%d}." for one in days], dtype="object")
    ends = np.array([str(one) for one in numbers], dtype="object")
    return flights.assign(request_id=beginnings[day] + ends[number], row=place % size)


def as_requests(flights: pd.DataFrame, size: int) -> tuple[pd.DataFrame, dict[str, bytes]]:
    """Return flights numbered, and the bodies of their requests by id: see `numbered`."""
    flights = numbered(flights, size)
    return flights, bodies_of(flights)


def bodies_of(flights: pd.DataFrame) -> dict[str, bytes]:
    """Return the body of each request of numbered flights, by its id."""
    rows = rows_of(flights)
    places = flights.groupby("request_id", sort=False).indices
    return {
        str(name): packed([rows[place] for place in places[name]])
        for name in flights["request_id"].unique()
    }


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
    bodies = bodies_of(flights)
    ask = client.insist if insist else client.send
    answers = dict(zip(bodies, ask(url, bodies.values(), ids=bodies), strict=True))
    for name, answer in answers.items():
        if not answer.is_success:
            raise ServiceError(
                f"Request {name} was answered with {answer.status_code}: {answer.text[:200]}",
                "Every request gets predictions.",
                "See that the flights are as `load_flights` gives them, and send them again.",
            )
    return {name: answer.json()["model_version"] for name, answer in answers.items()}


def new_log(store: "Store", name: str) -> Path:
    """Return the path of a prediction log in the workspace that begins empty."""
    path = store.workspace.root / f"{name}.db"
    delete_database(path)
    return path
