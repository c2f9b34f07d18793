"""Figures that an exercise tells were measured: they are made again."""

import re

import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from mlops_course.course.exercises import find
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS
from mlops_course.drift.reports import compare
from mlops_course.retraining.building import build
from mlops_course.retraining.matrix import LAST_QUARTER
from mlops_course.retraining.oracle import oracle, regret
from mlops_course.retraining.trials import try_policy, usual_policies
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


# ---- 09.3: five models, retrained in vain

WINTER = ("2013-01-07", "2013-03-31")
SUMMER = ("2013-07-01", "2013-09-29")
OCTOBER = ("2013-09-30", "2013-10-27")


@pytest.fixture(scope="module")
def sample(year):
    """One labelled flight in five, as lesson 09 draws them, with its inputs as numbers."""
    flights = year[year["date"].between("2013-01-07", "2013-12-29") & year["late"].notna()]
    flights = flights.sample(frac=0.2, random_state=0).sort_index()
    codes = flights[list(CATEGORICAL)].apply(lambda column: column.astype("category").cat.codes)
    return flights.assign(**flights[list(NUMERIC)].join(codes))


def fit(rows, labels):
    model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
    return model.fit(rows[list(FEATURES)], labels)


def days_of(rows, days):
    return rows[rows["date"].between(*days)]


@pytest.mark.parametrize("letter", "ABCDE")
def test_model_of_exercise_09_3_when_made_again_then_has_the_figures_told(sample, letter):
    winter = days_of(sample, WINTER)
    champion = fit(winter, winter["late"] == 1)
    learned_on = {"B": ("2013-04-01", "2013-06-30"), "C": ("2013-09-09", "2013-09-29")}
    asked_on = {"B": ("2013-07-29", "2013-08-25"), "E": ("2013-12-02", "2013-12-29")}
    learned = days_of(sample, learned_on.get(letter, SUMMER))
    asked = days_of(sample, asked_on.get(letter, OCTOBER))
    labels = learned["late"] == 1
    newest = learned["date"] > learned["date"].max() - pd.Timedelta(days=14)
    if letter == "A":
        labels &= ~champion.predict(learned[list(FEATURES)])
    if letter == "C":
        learned = learned.assign(dep_delay=learned["dep_delay"] + 20)
    if letter == "D":
        labels &= ~newest
    called = fit(learned, labels).predict(asked[list(FEATURES)])
    late = asked["late"] == 1
    theirs = champion.predict(asked[list(FEATURES)]) == late
    by_day = ((called == late).astype(float) - theirs).groupby(asked["date"]).mean()
    told = [
        f"{labels.mean():.2f}",
        f"{labels[newest].mean():.2f}",
        f"{learned['dep_delay'].median():.0f}",
        f"{asked['dep_delay'].median():.0f}",
        f"{called.mean():.2f}",
        f"{late.mean():.2f}",
        f"{100 * by_day.mean():.1f} ± {100 * by_day.sem():.1f}",
    ]
    (line,) = [row for row in find("09.3").task.splitlines() if row.startswith(f"| {letter} |")]
    assert [cell.strip() for cell in line.strip("|").split("|")][2:] == told


def test_regrets_of_exercise_09_2_when_counted_again_then_are_above_what_is_told(shared_workspace):
    tables = build(shared_workspace, ["good", "repaired"], [LAST_QUARTER], weeks=13)
    policies = usual_policies(LAST_QUARTER)
    for name in ("never", "every week", "on the accuracy alert"):
        assert f"*{name}*" in find("09.2").task.lower()
        regrets = [
            regret(try_policy(table, policies[name]), oracle(table, 50), 50)
            for table in tables.values()
        ]
        assert sum(regrets) > 1500, name
