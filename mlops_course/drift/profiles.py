"""A period of rows kept as counts: all that comparing its columns takes.

A column of any type that pandas reads becomes its distinct values, how often each occurs, and how
many are missing. Counts can be added and subtracted, so a period is counted once and compared as
often as is asked. What is far apart is for `drift.calm_weeks` to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np
import pandas as pd

from mlops_course.stats.distances import aligned

MAX_VALUES = 4_096


class Kind(StrEnum):
    """How the values of a column are compared.

    Numbers and dates are in order; categories (text, true or false, anything else) are not.
    """

    NUMBER = "numbers"
    DATE = "dates"
    CATEGORY = "categories"


# What pandas finds in a column of objects, by its own names; anything else is a category.
_OBJECTS = {
    **dict.fromkeys(("integer", "floating", "decimal", "mixed-integer-float"), Kind.NUMBER),
    **dict.fromkeys(("date", "datetime", "datetime64"), Kind.DATE),
    **dict.fromkeys(("timedelta", "timedelta64"), Kind.NUMBER),
}


@dataclass(frozen=True)
class Counts:
    """A column as counts: its distinct values, and how often each occurs.

    Attributes
    ----------
    values
        In ascending order where the kind has one; dates are seconds since 1970, categories words.
    missing
        How many rows have no value, or none of this kind.
    """

    kind: Kind
    values: np.ndarray
    counts: np.ndarray
    missing: int


@dataclass(frozen=True)
class Profile:
    """What is kept of a period: its number of rows, and its columns as counts."""

    rows: int
    columns: Mapping[str, Counts] = field(repr=False)


def kind_of(column: pd.Series) -> Kind | None:
    """Return how a column's values are compared; None if it holds no value at all.

    >>> kind_of(pd.Series([1.5, None])), kind_of(pd.Series([True])), kind_of(pd.Series([None]))
    (<Kind.NUMBER: 'numbers'>, <Kind.CATEGORY: 'categories'>, None)
    """
    if not column.notna().any():
        return None
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(dtype):
        return Kind.CATEGORY
    if pd.api.types.is_complex_dtype(dtype):
        return Kind.CATEGORY
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return Kind.NUMBER
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Kind.DATE
    return _OBJECTS.get(pd.api.types.infer_dtype(column, skipna=True), Kind.CATEGORY)


def profile(rows: pd.DataFrame, kinds: Mapping[str, Kind]) -> Profile:
    """Count the named columns; one that is not there at all is missing in every row.

    Parameters
    ----------
    kinds
        The columns, and how each is compared. A value that is not of its column's kind, such as a
        word among numbers, counts as missing.
    """
    absent = pd.Series(np.nan, rows.index)
    columns = {name: count(rows.get(name, absent), kind) for name, kind in kinds.items()}
    return Profile(len(rows), columns)


def count(column: pd.Series, kind: Kind) -> Counts:
    """Count a column's values.

    >>> count(pd.Series([3, 1, None, 3]), Kind.NUMBER)
    Counts(kind=<Kind.NUMBER: 'numbers'>, values=array([1., 3.]), counts=array([1, 2]), missing=1)
    """
    if kind is Kind.CATEGORY:
        return _count_words(column)
    numbers = as_numbers(column, kind)
    present = numbers[~np.isnan(numbers)]
    values, counts = np.unique(present, return_counts=True)
    return Counts(kind, values, counts, len(numbers) - len(present))


def as_numbers(column: pd.Series, kind: Kind) -> np.ndarray:
    """Return numbers, or dates as seconds since 1970, as float64; NaN where there is none."""
    if kind is Kind.DATE:
        return _seconds(column)
    if column.dtype == "float64":
        return column.to_numpy()
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found.startswith("timedelta"):
        column = pd.to_timedelta(column).dt.total_seconds()
    elif found == "complex" or not pd.api.types.is_numeric_dtype(column.dtype):
        column = pd.to_numeric(column.astype("object").map(_real), errors="coerce")
    return column.to_numpy(dtype="float64", na_value=np.nan)


def table(periods: Sequence[Counts]) -> np.ndarray:
    """Return one column's counts in several periods, shape (periods, 1 + values).

    The missing come first, then the values of all periods, in ascending order where there is one.
    A column with more than `MAX_VALUES` of them is kept coarser: of numbers and dates neighbours
    are put together, which takes at most ``periods / MAX_VALUES`` from a distance; of categories
    the rarest. It is the same for every period, so a rank among them keeps its promise.
    """
    values = [period.values for period in periods]
    counts = [period.counts for period in periods]
    ordered = periods[0].kind is not Kind.CATEGORY
    if sum(map(len, values)) > MAX_VALUES or not ordered:
        code, number = _numbered(values, ordered)
        values = np.split(code, np.cumsum([len(value) for value in values])[:-1])
        if number > MAX_VALUES:
            groups = _groups(code, np.concatenate(counts), number, ordered)
            size = int(groups.max()) + 1
            counts = [
                np.bincount(groups[value], weights=count, minlength=size).astype("int64")
                for value, count in zip(values, counts, strict=True)
            ]
            values = [np.arange(size)] * len(counts)
    present = aligned(list(zip(values, counts, strict=True)))
    return np.column_stack([[period.missing for period in periods], present])


def thinned(counts: np.ndarray, rows: int) -> np.ndarray:
    """Draw so many rows from each period that has more: anew for other counts, else the same.

    Parameters
    ----------
    counts
        What `table` returns.

    Returns
    -------
    array of the same shape.
    """
    generator = np.random.default_rng(counts[-1])
    sizes = np.minimum(counts.sum(axis=1), rows)
    drawn = zip(counts, sizes, strict=True)
    return np.array([generator.multivariate_hypergeometric(period, size) for period, size in drawn])


def _seconds(column: pd.Series) -> np.ndarray:
    """Return dates and times as seconds since 1970; those of a time zone in UTC."""
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        # numbers are no dates, whatever they may count
        column = column.astype("object").map(
            lambda one: one if isinstance(one, str | date) else None
        )
    moments = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    seconds = moments.dt.as_unit("us").astype("int64") / 1e6
    return seconds.where(moments.notna()).to_numpy(dtype="float64")


def _real(value: object) -> object:
    return None if isinstance(value, complex | date | list | dict) else value


def _count_words(column: pd.Series) -> Counts:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        names = column.cat.categories
    else:
        try:
            codes, names = pd.factorize(column)
        except TypeError:  # lists and the like cannot be told apart by a hash
            codes, names = pd.factorize(column.astype("object").map(str, na_action="ignore"))
    present = codes[codes >= 0]
    counts = np.bincount(present, minlength=len(names))
    seen = np.flatnonzero(counts)
    words = np.asarray(names, dtype="object")[seen]
    if pd.api.types.infer_dtype(words) != "string":
        words = np.array([_word(value) for value in words], dtype="object")
    code, distinct = pd.factorize(words)
    together = np.bincount(code, weights=counts[seen], minlength=len(distinct)).astype("int64")
    return Counts(Kind.CATEGORY, np.asarray(distinct), together, len(codes) - len(present))


def _word(value: object) -> str:
    """Return a category as text: a whole number the same, whether read as 7 or as 7.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbered(values: Sequence[np.ndarray], ordered: bool) -> tuple[np.ndarray, int]:
    """Return all values one after the other as numbers from 0, and how many distinct there are."""
    code, distinct = pd.factorize(np.concatenate(values), sort=ordered)
    return code, len(distinct)


def _groups(code: np.ndarray, counts: np.ndarray, number: int, ordered: bool) -> np.ndarray:
    """Return for each value the group in which it is kept, shape (values,)."""
    totals = np.bincount(code, weights=counts, minlength=number)
    if not ordered:
        rank = np.argsort(np.argsort(-totals, kind="stable"), kind="stable")
        return np.minimum(rank, MAX_VALUES - 1)
    before = np.cumsum(totals) - totals
    return np.unique((before * MAX_VALUES / totals.sum()).astype(int), return_inverse=True)[1]
