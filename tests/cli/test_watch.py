import json
import time

import numpy as np
import pandas as pd
import pytest

from mlops_course.cli.main import SURROUNDINGS, main
from mlops_course.core.workspace import HOME_VARIABLE
from mlops_course.data.features import FEATURES

WINTER = ["--reference", "2013-01-01..2013-03-31"]
SEPTEMBER = ["--window", "2013-09-02..2013-09-08"]
KEYS = ["alarm", "rows", "calm_weeks", "at_most", "bar", "features", "findings"]


@pytest.fixture
def drift(shared_workspace, monkeypatch, capsys):
    for name, value in {**SURROUNDINGS, HOME_VARIABLE: str(shared_workspace.root)}.items():
        monkeypatch.setenv(name, value)

    def call(*arguments):
        try:
            status = main(["drift", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A year of somebody's own rows, and a week after it; by the day of the week they differ."""
    folder = tmp_path_factory.mktemp("own")
    generator = np.random.default_rng(0)
    when = pd.date_range("2024-01-01", periods=371 * 48, freq="30min")
    rows = pd.DataFrame(
        {
            "when": when,
            "paid": np.round(generator.normal(when.day_of_week, 1), 2),
            "plan": generator.choice(list("abc"), len(when)),
        }
    )
    year, week = rows[: 364 * 48], rows[364 * 48 :]
    year.to_csv(folder / "year.csv", index=False)
    year.to_parquet(folder / "year.parquet")
    week.to_csv(folder / "week.csv", index=False)
    week.to_parquet(folder / "week.parquet")
    week.assign(paid=week["paid"] + 2).to_csv(folder / "dear.csv", index=False)
    return folder


def test_drift_when_a_calm_week_is_compared_then_status_0_and_a_table(drift):
    status, out, err = drift(*WINTER, "--window", "2013-03-04..2013-03-10")
    assert status == 0 and err == ""
    verdict, promise, _, _, head, *lines = out.splitlines()
    assert verdict == "Calm: 6,027 rows, no stranger than the strangest of 11 calm weeks."
    assert "at most 1 in 12 (8.3%)" in promise and head.startswith("feature")
    assert {line.split()[0] for line in lines[: len(FEATURES)]} == set(FEATURES)
    assert lines[-1] == "- The reference holds days of the window; it is compared with the others."


def test_drift_when_an_incident_strikes_then_status_1_and_it_leads_the_table(drift):
    status, out, _ = drift(*WINTER, *SEPTEMBER, "--incident", "clock")
    verdict, _, _, _, first, *_ = out.splitlines()
    assert status == 1 and verdict.startswith("ALARM: 6,257 rows, stranger than each of 12")
    assert first.startswith("dep_delay") and first.endswith("DRIFTED")


def test_drift_when_json_is_asked_then_stdout_is_one_object_as_documented(drift):
    status, out, _ = drift(*WINTER, *SEPTEMBER, "--incident", "timezone", "--rows", 1_000, "--json")
    record = json.loads(out)
    assert status == 1 and list(record) == KEYS
    assert record["alarm"] is True and record["rows"] == 1_000 and record["calm_weeks"] == 12
    assert record["at_most"] == pytest.approx(1 / 13)
    first = record["features"][0]
    assert list(first) == ["name", "measure", "distance", "score", "missing", "drifted"]
    assert (first["name"], first["drifted"], first["missing"]) == ("hour", True, 0.0)
    assert len(record["features"]) == len(FEATURES)
    assert all(isinstance(one, str) for one in record["findings"])


def test_rows_when_drawn_with_a_seed_then_the_same_again_and_others_with_another(drift):
    asked = [*WINTER, *SEPTEMBER, "--rows", "1000", "--json"]
    _, one, _ = drift(*asked, "--seed", 1)
    assert drift(*asked, "--seed", 1)[1] == one
    assert drift(*asked, "--seed", 2)[1] != one


def test_days_when_the_blizzard_is_left_out_then_its_week_is_no_reference(drift):
    status, out, _ = drift(*WINTER, *SEPTEMBER, "--without", "2013-02-08..2013-02-09", "--json")
    record = json.loads(out)
    assert record["calm_weeks"] == 11 and record["bar"] is None
    assert "Left out, as asked: what begins on 2013-02-04." in record["findings"]
    assert status == int(record["alarm"])


def test_bar_when_the_blizzard_sets_it_then_is_told_and_left_out_as_the_line_says(drift):
    status, out, _ = drift(*WINTER, *SEPTEMBER)
    line = out.splitlines()[2]
    assert status == 0 and line.startswith("The bar: 2013-02-04..2013-02-10 lies 4.5 times as far ")
    assert " in day_of_week as any other calm period" in line
    assert line.endswith(" leave it out with --without 2013-02-04..2013-02-10.")
    _, out, _ = drift(*WINTER, *SEPTEMBER, "--json")
    bar = json.loads(out)["bar"]
    assert bar.pop("times") == pytest.approx(4.5, abs=0.05)
    assert bar == {"first": "2013-02-04", "last": "2013-02-10", "feature": "day_of_week"}
    _, out, _ = drift(*WINTER, *SEPTEMBER, *line.removesuffix(".").split()[-2:])
    assert "The bar" not in out


def test_bar_when_the_window_alarms_then_it_is_not_told(drift):
    status, out, _ = drift(*WINTER, *SEPTEMBER, "--incident", "clock")
    assert status == 1 and "The bar" not in out


def test_reference_when_it_is_short_then_status_2_and_says_what_is_needed(drift):
    status, out, _ = drift("--reference", "2013-01-01..2013-02-01", *SEPTEMBER)
    assert status == 2
    assert out.startswith("No verdict: the reference holds 3 calm weeks, and it takes 9.")
    assert "DRIFTED" not in out
    status, out, _ = drift("--reference", "2013-01-01..2013-02-01", *SEPTEMBER, "--json")
    assert status == 2 and json.loads(out)["alarm"] is None


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_files_when_they_are_anybodys_then_are_compared_alike(drift, files, end):
    status, out, _ = drift(files / f"year.{end}", files / f"week.{end}", "--time", "when")
    assert status == 0 and "336 rows, no stranger than the strangest of 52 calm weeks" in out
    assert "at most 1 in 53 (1.9%)" in out


def test_files_when_the_window_has_drifted_then_status_1(drift, files):
    status, out, _ = drift(files / "year.csv", files / "dear.csv", "--time", "when")
    assert status == 1 and "paid" in out.splitlines()[4] and "DRIFTED" in out.splitlines()[4]


def test_files_when_no_time_is_named_then_status_2_and_says_so(drift, files):
    status, out, _ = drift(files / "year.csv", files / "dear.csv")
    assert status == 2 and "name it with --time" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "not said what to compare"),
        (WINTER, "not said what to compare"),
        (["YEAR"], "two at a time, and 1 are named"),
        (["YEAR", "WEEK", "WEEK"], "and 3 are named"),
        (["YEAR", "WEEK", *WINTER], "--reference are for flights"),
        (["YEAR", "WEEK", "--incident", "clock"], "--incident are for flights"),
        (["YEAR", "WEEK", "--without", "2024-01-01..2024-01-02"], "Without a time column"),
        (["YEAR", "WEEK", "--time", "nothing"], "no column nothing"),
        (["YEAR", "WEEK", "--time", "plan"], "holds no times"),
        (["YEAR", "/nowhere/at/all.csv"], "cannot be read as a table"),
        (["YEAR", "WEEK", "--rows", "0"], "0 were to be drawn"),
        (["YEAR", "WEEK", "--rows", "9999"], "The window has 336 rows"),
        ([*WINTER, *SEPTEMBER, "--time", "date"], "no need of --time"),
        ([*WINTER, *SEPTEMBER, "--incident", "flood"], "no incident 'flood'"),
        ([*WINTER, *SEPTEMBER, "--incident", "late-labels"], "'late-labels' changes no flight"),
        ([*WINTER, *SEPTEMBER, "--seed", "-1"], "The seed is -1"),
        (["--reference", "2012-12-01..2013-03-31", *SEPTEMBER], "covers 2013-01-01 to 2013-12-31"),
        ([*WINTER, "--window", "2013-12-30..2014-01-05"], "covers 2013-01-01 to 2013-12-31"),
        ([*WINTER, "--window", "2013-09-08..2013-09-02"], "ends before it begins"),
        ([*WINTER, "--window", "2013-02-30..2013-03-01"], "are no days"),
        ([*WINTER, "--window", "september"], "are no days"),
    ],
)
def test_drift_when_misused_then_status_2_and_one_sentence(drift, files, arguments, told):
    named = {"YEAR": files / "year.csv", "WEEK": files / "week.csv"}
    status, out, err = drift(*(named.get(one, one) for one in arguments))
    assert status == 2 and out == "" and told in err
    assert err.split("error: ")[-1].count("\n") == 1


def test_drift_when_its_help_is_read_then_tells_each_status(drift):
    status, out, _ = drift("--help")
    told = " ".join(out.split())
    assert (
        status == 0 and "Exit status: 0 calm; 1 alarm" in told and "2 there is no verdict" in told
    )


def test_columns_when_they_are_many_then_the_table_shows_some_and_json_all(drift, tmp_path):
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.normal(size=(300, 100))).add_prefix("x")
    rows.to_csv(tmp_path / "a.csv", index=False)
    status, out, _ = drift(tmp_path / "a.csv", tmp_path / "a.csv")
    assert status == 2 and "... and 60 more, which --json holds." in out
    _, out, _ = drift(tmp_path / "a.csv", tmp_path / "a.csv", "--json")
    assert len(json.loads(out)["features"]) == 100


@pytest.mark.slow
def test_drift_when_the_reference_has_a_million_rows_then_takes_seconds(drift, tmp_path):
    generator = np.random.default_rng(0)
    count = 1_000_000
    minutes = np.sort(generator.integers(0, 52 * 7 * 24 * 60, count))
    rows = pd.DataFrame(
        {
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, unit="min"),
            "user": np.char.add("u", generator.permutation(count).astype(str)),
            "city": generator.choice([f"city {number}" for number in range(300)], count),
            **{f"x{number}": generator.normal(size=count) for number in range(5)},
        }
    )
    rows.to_parquet(tmp_path / "year.parquet")
    week = rows.head(20_000).assign(when=pd.Timestamp("2024-12-30"))
    week["when"] += pd.to_timedelta(np.arange(20_000) % 7, unit="D")
    week.assign(x3=week["x3"] + 0.3).to_parquet(tmp_path / "week.parquet")
    began = time.perf_counter()
    status, out, _ = drift(tmp_path / "year.parquet", tmp_path / "week.parquet", "--time", "when")
    assert time.perf_counter() - began < 30  # a few seconds, on a machine that has nothing else
    assert status == 1 and out.splitlines()[4].startswith("x3")
