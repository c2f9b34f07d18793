"""Lesson 05's exercises take a right answer in any sensible shape."""

import numpy as np
import pandas as pd
import pytest

from mlops_course.course.exercises import check

SPEEDS = {"mean": 24.9, "p95": 5, "p99": 1_000, "spent": 2, "boards": 0.183}
FAULTS = {"A": "new code", "B": "time zone", "C": "dead weather", "D": "hours"}


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("05.1", {name: np.float64(value) for name, value in SPEEDS.items()}),
        ("05.1", {**SPEEDS, "mean": 25, "boards": 0.18}),
        ("05.1", dict(reversed(SPEEDS.items()))),
        ("05.3", {**FAULTS, "B": "timezone", "C": "dead-weather"}),
        ("05.3", {letter: word.upper() for letter, word in FAULTS.items()}),
    ],
)
def test_check_when_a_right_answer_has_another_shape_then_passes(key, answer):
    assert check(key, answer).status == "right", check(key, answer)


def test_check_when_skew_comes_as_a_series_of_shares_then_passes():
    def answer(logged, expected):
        both = expected.index.intersection(logged.index)
        shares = {}
        for name in expected:
            ours = logged.loc[both, name]
            theirs = expected.loc[both, name]
            if theirs.dtype.kind == "f":
                same = np.isclose(ours, theirs, rtol=0, atol=0.001, equal_nan=True)
            else:
                same = ours.astype(object).eq(theirs.astype(object)) | ours.isna() & theirs.isna()
            shares[name] = 1 - np.mean(same)
        found = pd.Series(shares)
        return found[found > 0]

    assert check("05.2", answer).status == "right", check("05.2", answer)
