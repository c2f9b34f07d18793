"""Lesson 08's script judges a week as it says, on any table, in a folder of its own."""

import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pandas as pd
import pytest

from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.data.incidents import INCIDENTS

SCRIPT = Path(__file__).parents[2] / "notebooks" / "08_drift.py"
FIRST = pd.Timestamp("2024-01-01")
WEEKS = 13
CALM, DRIFTED, NOT_JUDGED = range(3)


@pytest.fixture(scope="module")
def plain():
    return run_path(str(SCRIPT))


def sales(seed: int, weeks: int = WEEKS) -> pd.DataFrame:
    """Return made-up rows, twenty a day, whose weeks differ as real ones do."""
    generator = np.random.default_rng(seed)
    day = np.repeat(np.arange(7 * weeks), 20)
    level = generator.normal(size=weeks)[day // 7]
    rows = pd.DataFrame({"when": FIRST + pd.to_timedelta(day, unit="D")})
    rows["paid"] = generator.normal(level, 2, size=len(day))
    rows["heat"] = 10 * level + generator.normal(size=len(day))
    rows["warm"] = rows["heat"] + generator.normal(0, 0.3, size=len(day))
    return rows.assign(shop=generator.choice(["north", "south"], size=len(day)))


def judged(folder: Path, rows: pd.DataFrame, week: pd.DataFrame, *more: str):
    rows.to_csv(folder / "calm.csv", index=False)
    week.to_csv(folder / "week.csv", index=False)
    return run_in(folder, "calm.csv", "week.csv", "--time", "when", *more)


def run_in(folder: Path, *words: str):
    shutil.copy(SCRIPT, folder)
    command = [sys.executable, SCRIPT.name, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all but the last week, and the last."""
    newest = rows["when"] >= FIRST + pd.Timedelta(weeks=WEEKS - 1)
    return rows[~newest], rows[newest]


@pytest.fixture
def quiet():
    """Return rows whose last week is not the strangest, split."""
    return split(sales(seed=4))


def test_week_when_it_is_like_the_others_then_is_calm(tmp_path, quiet):
    found = judged(tmp_path, *quiet)
    assert found.returncode == CALM, found.stdout
    assert "one time in 13" in found.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda week: week.assign(paid=week["paid"] + 20),
        lambda week: week.assign(paid=np.nan),
        lambda week: week.assign(shop="north"),
        lambda week: week.assign(paid="sold out"),
        lambda week: week.drop(columns="paid"),
    ],
)
def test_week_when_a_column_is_changed_then_has_drifted(tmp_path, quiet, change):
    rows, week = quiet
    assert judged(tmp_path, rows, change(week)).returncode == DRIFTED


def test_verdict_when_weeks_are_alike_then_alarms_as_often_as_promised(plain):
    alarms = 0
    for seed in range(130):
        rows = sales(seed, weeks=10).drop(columns="shop")
        weeks = [week for _, week in rows.groupby((rows["when"] - FIRST).dt.days // 7)]
        scores = plain["scores"](plain["distances"]([week[["paid", "heat"]] for week in weeks]))
        alarms += bool((scores > 1).any())
    assert 13 - 11 < alarms < 13 + 11  # three standard deviations of 130 draws at one in ten


def test_week_when_it_equals_the_strangest_of_the_others_then_is_calm(plain):
    weeks = [week for _, week in sales(1).groupby((sales(1)["when"] - FIRST).dt.days // 7)]
    far = weeks[3].assign(paid=weeks[3]["paid"] + 50)[["paid"]]
    apart = plain["distances"]([*(week[["paid"]] for week in weeks[:9]), far, far])
    scores = plain["scores"](apart)
    assert (scores <= 1).all()


CAMPAIGN = FIRST + pd.Timedelta(weeks=5)


def with_campaign(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with one calm week that lies fully apart from the others in one column."""
    during = rows["when"].between(CAMPAIGN, CAMPAIGN + pd.Timedelta(days=6))
    return rows.assign(paid=rows["paid"].where(~during, rows["paid"] + 100))


@pytest.mark.parametrize("column", ["heat", "paid"])
def test_bar_when_one_calm_week_lies_fully_apart_then_week_and_column_are_told(
    tmp_path, quiet, column
):
    rows, week = quiet
    faulty = week.assign(**{column: week[column] + 100})
    found = judged(tmp_path, with_campaign(rows), faulty)
    assert found.returncode == CALM
    (line,) = [line for line in found.stdout.splitlines() if "2024-02-05" in line]
    assert "times as far out in paid" in line
    assert judged(tmp_path, rows, faulty).returncode == DRIFTED
    apart = with_campaign(rows)["paid"] > 50
    without = judged(tmp_path, rows[~apart], faulty)
    assert without.returncode == DRIFTED and "as far out" not in without.stdout


def test_bar_when_no_calm_week_stands_out_then_none_is_told(tmp_path, quiet):
    assert "as far out" not in judged(tmp_path, *quiet).stdout


def test_bar_when_the_week_passes_it_then_it_is_not_told(tmp_path, quiet):
    rows, week = quiet
    near = with_campaign(rows)
    near["paid"] = near["paid"].where(near["paid"] < 50, near["paid"] - 92)
    assert "as far out in paid" in judged(tmp_path, near, week).stdout
    found = judged(tmp_path, near, week.assign(shop="west"))
    assert found.returncode == DRIFTED
    assert "as far out" not in found.stdout


@pytest.mark.parametrize(
    ("usual", "newest"),
    [
        (1.0, 1.0),
        (1.0, 2.0),
        (1.0, np.inf),
        (np.inf, 1.0),
        (np.nan, 1.0),
        (1e308, -1e308),
        ([1.0, np.inf], 1.0),
    ],
)
def test_measures_when_they_are_not_defined_then_no_infinity_and_no_minus_zero_is_shown(
    tmp_path, quiet, usual, newest
):
    rows, week = quiet
    fees = np.resize(usual, len(rows))
    found = judged(tmp_path, rows.assign(fee=fees), week.assign(fee=newest))
    assert found.returncode in (CALM, DRIFTED) and found.stderr == ""
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("fee ")]
    assert not {"inf", "nan", "-0.0", "-0.00"} & set(found.stdout.lower().split()), line


def test_context_when_a_season_moves_both_columns_then_only_the_broken_one_is_told(tmp_path, quiet):
    rows, week = quiet
    hot = week.assign(heat=week["heat"] + 60, warm=week["warm"] + 60)
    off = week.assign(warm=week["warm"] + 3)
    context = ("--given", "warm", "heat")
    of_hot = judged(tmp_path, rows, hot, *context).stdout
    of_off = judged(tmp_path, rows, off, *context).stdout
    assert score(of_hot, "warm given heat") < 1 < score(of_hot, "heat")
    assert score(of_off, "heat") < 1 < score(of_off, "warm given heat")


def score(said: str, name: str) -> float:
    line = next(line for line in said.splitlines() if line.startswith(f"{name}  "))
    return float(line.removeprefix(name).split()[0])


@pytest.mark.parametrize(
    ("rows", "week", "words"),
    [
        ("calm.csv", "gone.csv", ("--time", "when")),
        ("calm.csv", "week.csv", ("--time", "then")),
        ("calm.csv", "week.csv", ("--time", "shop")),
        ("calm.csv", "empty.csv", ("--time", "when")),
        ("calm.csv", "few.csv", ("--time", "when")),
        ("calm.csv", "day.csv", ("--time", "when")),
        ("calm.csv", "gap.csv", ("--time", "when")),
        ("calm.csv", "two.csv", ("--time", "when")),
        ("short.csv", "week.csv", ("--time", "when")),
        ("calm.csv", "week.csv", ("--time", "when", "--given", "warm", "cold")),
        ("calm.csv", "week.csv", ("--time", "when", "--given", "warm", "shop")),
        ("calm.csv", "other.csv", ("--time", "when")),
    ],
)
def test_files_when_they_cannot_be_judged_then_a_sentence_and_status_two(
    tmp_path, quiet, rows, week, words
):
    calm, newest = quiet
    calm.to_csv(tmp_path / "calm.csv", index=False)
    newest.to_csv(tmp_path / "week.csv", index=False)
    newest[::20].to_csv(tmp_path / "few.csv", index=False)
    later = newest.assign(when=newest["when"] + pd.Timedelta(weeks=1))
    pd.concat([newest, later]).to_csv(tmp_path / "two.csv", index=False)
    newest.assign(when=newest["when"].min()).to_csv(tmp_path / "day.csv", index=False)
    pd.concat([newest[:120], newest[:20]]).to_csv(tmp_path / "gap.csv", index=False)
    newest[["when"]].assign(new=1).to_csv(tmp_path / "other.csv", index=False)
    calm[calm["when"] > FIRST + pd.Timedelta(weeks=6)].to_csv(tmp_path / "short.csv", index=False)
    (tmp_path / "empty.csv").write_bytes(b"")
    found = run_in(tmp_path, rows, week, *words)
    assert found.returncode == NOT_JUDGED
    assert found.stderr.startswith("Not judged: ")
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(("incident", "status"), [("none", CALM), ("timezone", DRIFTED)])
def test_flights_when_judged_then_the_script_and_the_package_agree(
    tmp_path, shared_workspace, incident, status
):
    flights = load_flights(shared_workspace, "2013-07-15", "2013-10-13")
    rows = flights[["date", *FEATURES]].rename(columns={"date": "when"})
    newest = rows["when"] >= "2013-09-30"
    week = INCIDENTS[incident].apply(rows[newest & (rows["when"] <= "2013-10-06")])
    assert judged(tmp_path, rows[~newest], week).returncode == status
