"""Windows of production made by hand, for tests of what is watched in them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from mlops_course.data.flights import load_flights
from mlops_course.monitoring.windows import as_recorded

FIRST_ANSWER = pd.Timestamp("2026-01-01", tz="UTC")


def flights_of(workspace, first, last):
    """Return flights with a label that comes a day later."""
    flights = load_flights(workspace, first, last)
    return flights.assign(label_at=flights["date"] + pd.Timedelta(days=1))


def record_of(flights, probability=0.2, *, failure="", ms=5.0):
    """Return what service and label store would have written about flights, 100 a request.

    ``probability`` is one for all or one a flight; NaN for a flight that was not answered.
    """
    record = as_recorded(flights, np.full(len(flights), probability), size=100)
    answered_at = FIRST_ANSWER + pd.to_timedelta(np.arange(len(record.requests)), "s")
    requests = record.requests.assign(ms=ms, failure=failure, at=answered_at)
    return replace(record, requests=requests)
