"""Windows of production made by hand, for tests of what is watched in them."""

import numpy as np
import pandas as pd

from mlops_course.data.flights import load_flights
from mlops_course.monitoring.labels import Labels
from mlops_course.monitoring.performance import join
from mlops_course.monitoring.windows import Record
from mlops_course.serving.replay import numbered

HEAD = ["request_id", "row", "role", "version", "probability"]


def flights_of(workspace, first, last):
    """Return flights with a label that comes a day later."""
    flights = load_flights(workspace, first, last)
    return flights.assign(label_at=flights["date"] + pd.Timedelta(days=1))


def record_of(flights, probability=0.2, *, failure="", ms=5.0):
    """Return what service and label store would have written about flights, 100 a request.

    ``probability`` is one for all or one a flight; NaN for a flight that was not answered.
    """
    flights = numbered(flights, 100)
    asked = flights.assign(probability=probability, role="champion", version="1")
    answers = asked[asked["probability"].notna()].drop(columns=["date", "late", "label_at"])
    by_request = flights.groupby("request_id", sort=False)["date"].agg(at="first", rows="size")
    known = flights[flights["late"].notna() & flights["label_at"].notna()]
    labels = known[["request_id", "row", "late", "label_at"]].rename(columns={"label_at": "at"})
    requests = by_request.reset_index()
    done = requests.assign(
        role="champion",
        version="1",
        ms=ms,
        failure=failure,
        at=pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(requests)), "s"),
    )
    known = Labels(requests, labels.sort_values("at", kind="stable"))
    return Record(join(answers, known), done, known)
