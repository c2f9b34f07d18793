"""Figures that an exercise tells were measured: the table of 08.3 is made again."""

import re

import pandas as pd
import pytest

from mlops_course.course.exercises import find
from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift.reports import compare
from mlops_course.training.evaluation import baseline, right_calls
from mlops_course.training.trainer import TrainingConfig, train

ROW = re.compile(
    r"^\| ([A-E]) \| `(\w+)` ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"
)
WEEKS = {
    "A": ("2013-10-14", "clock"),
    "B": ("2013-10-14", "padding"),
    "C": ("2013-10-07", "none"),
    "D": ("2013-12-09", "none"),
    "E": ("2013-10-21", "timezone"),
}


@pytest.fixture(scope="module")
def year(shared_workspace) -> pd.DataFrame:
    return load_flights(shared_workspace)


@pytest.fixture(scope="module")
def model(year):
    return train(year[year["date"] < "2013-03-18"], TrainingConfig()).model


@pytest.mark.parametrize("letter", WEEKS)
def test_week_of_exercise_08_3_when_made_again_then_has_the_figures_told(year, model, letter):
    rows = [match.groups() for line in find("08.3").task.splitlines() if (match := ROW.match(line))]
    told = {row[0]: row[1:] for row in rows}[letter]
    monday, incident = WEEKS[letter]
    first = pd.Timestamp(monday)
    week = year[year["date"].between(first, first + pd.Timedelta(days=6))]
    week = INCIDENTS[incident].apply(week)
    before = year[
        year["date"].between(first - pd.Timedelta(weeks=12), first - pd.Timedelta(days=1))
    ]
    names = ["date", *FEATURES]
    most = compare(before[names], week[names], "date").features[0]
    known = week.dropna(subset=["late"])
    late = known["late"].to_numpy()
    probability = model.probability(known)
    figures = (
        probability.mean(),
        late.mean(),
        right_calls(probability, late).mean(),
        right_calls(baseline(known), late).mean(),
    )
    found = (most.name, f"{most.score:.2f}", *(f"{figure:.2f}" for figure in figures))
    assert found == told


def test_gap_of_calm_weeks_when_counted_again_then_has_the_range_told(year, model):
    later = year[year["date"].between("2013-04-01", "2013-12-29")].dropna(subset=["late"])
    gap = later["late"] - model.probability(later)
    weekly = gap.groupby((later["date"] - pd.Timestamp("2013-04-01")).dt.days // 7).mean()
    assert f"between {weekly.min():.2f} and {weekly.max():.2f}." in find("08.3").task
