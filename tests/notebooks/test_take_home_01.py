"""Lesson 01's program trains as it says, on any table, in a folder where no course is."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import joblib
import numpy as np
import pandas as pd
import pytest
from plain import plain_environment

from mlops_course.data.features import FEATURES
from mlops_course.data.flights import load_flights
from mlops_course.training.trainer import TrainingConfig, train

SCRIPT = Path(__file__).parents[2] / "notebooks" / "01_train.py"
TRAINED, UNUSABLE, MISUSED = range(3)
MARCH = ("--first", "2013-03-01", "--last", "2013-03-31")


@pytest.fixture(scope="module")
def flights(shared_workspace):
    """Every third flight from March to the middle of April, one in fifty without a label."""
    rows = load_flights(shared_workspace, "2013-03-01", "2013-04-14").iloc[::3]
    rows = rows[["date", *FEATURES, "late"]].reset_index(drop=True)
    return rows.assign(late=rows["late"].where(rows.index % 50 != 0))


@pytest.fixture(scope="module")
def program():
    return run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, flights):
    """A folder in which the program has run as from a terminal, from Parquet and from CSV."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(SCRIPT, folder)
    flights.to_parquet(folder / "flights.parquet", index=False)
    flights.to_csv(folder / "flights.csv", index=False)
    said = [
        run_in(folder, "flights.parquet", *MARCH, "--out", "first"),
        run_in(folder, "flights.csv", *MARCH, "--out", "second"),
    ]
    return folder, said


def run_in(folder: Path, *words: str) -> str:
    """Run the program in a process that has no course, and return what it prints."""
    done = subprocess.run(
        [sys.executable, SCRIPT.name, *words],
        cwd=folder,
        env=plain_environment(folder / "plain"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == TRAINED, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def asked(tmp_path, monkeypatch, program, capsys):
    """Return status and error text of the program for a table, in this process."""
    monkeypatch.chdir(tmp_path)

    def ask(rows: pd.DataFrame, *words: str) -> tuple[int, str]:
        rows.to_csv("rows.csv", index=False)
        status = program["main"](["rows.csv", *(words or MARCH), "--trees", "2"])
        return status, capsys.readouterr().err

    return ask


def test_program_when_run_twice_then_same_digests_and_figures_from_either_format(trained):
    _, (parquet, csv) = trained
    assert parquet.splitlines()[:-1] == csv.splitlines()[:-1]
    assert re.search(r"model digest +[0-9a-f]{12}", parquet)


def test_report_when_read_then_its_figures_are_those_of_the_labelled_rows(trained, flights):
    folder, _ = trained
    report = json.loads((folder / "first" / "report.json").read_text())
    known = flights[flights["late"].notna()]
    test = known[known["date"] > "2013-03-31"]
    model = joblib.load(folder / "first" / "model.joblib")
    called = model.predict(test[list(FEATURES)])
    assert report["result"]["learned from"] == (known["date"] <= "2013-03-31").sum()
    assert report["result"]["tested on"] == len(test)
    assert report["result"]["model"] == pytest.approx((called == (test["late"] == 1)).mean())
    rule = (test["dep_delay"] > 15) == (test["late"] == 1)
    assert report["result"]["rule"] == pytest.approx(rule.mean())
    assert report["arguments"]["last"] == "2013-03-31"
    assert set(report["versions"]) == {"python", "sklearn", "pandas", "numpy"}


def test_model_when_trained_on_the_same_rows_then_answers_as_the_package_does(trained, flights):
    folder, _ = trained
    package = train(flights[flights["date"] <= "2013-03-31"], TrainingConfig()).model
    model = joblib.load(folder / "first" / "model.joblib")
    strange = flights.head(500).assign(dest="XYZ")
    for rows in (flights, strange):
        answers = model.predict_proba(rows[list(FEATURES)])[:, 1]
        assert np.array_equal(answers, package.probability(rows))


def test_digests_when_rows_or_settings_change_then_tell(program, flights):
    march = flights[(flights["date"] <= "2013-03-31") & flights["late"].notna()].head(2_000)
    shuffled = march.sample(frac=1, random_state=0)
    usual = digest_of(program, program["fit"](march, 0, 5), march)
    assert digest_of(program, program["fit"](march, 1, 5), march) == usual
    assert digest_of(program, program["fit"](shuffled, 0, 5), march) == usual
    assert digest_of(program, program["fit"](march, 0, 6), march) != usual
    assert digest_of(program, program["fit"](march.head(1_900), 0, 5), march) != usual


def digest_of(program, model, rows):
    return program["answers_digest"](model, rows)


def test_model_digest_when_answers_are_opposite_then_differs(program, flights):
    rows = flights.head(1_000).assign(dep_delay=np.arange(1_000) % 2)
    rows[[*program["NUMBERS"][1:], *program["WORDS"]]] = 1
    late = program["fit"](rows.assign(late=rows["dep_delay"]), 0, 5)
    early = program["fit"](rows.assign(late=1 - rows["dep_delay"]), 0, 5)
    answers = [np.sort(program["probability"](model, rows)) for model in (late, early)]
    assert np.allclose(*answers), "the answers must be the same but for their order"
    assert digest_of(program, late, rows) != digest_of(program, early, rows)


def test_digests_when_the_file_is_shuffled_then_model_the_same_and_data_not(asked, flights):
    made = []
    for rows in (flights, flights.sample(frac=1, random_state=1)):
        assert asked(rows) == (TRAINED, "")
        made.append(json.loads(Path("trained/report.json").read_text())["result"])
    assert made[0]["model digest"] == made[1]["model digest"]
    assert made[0]["data digest"] != made[1]["data digest"]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.PARQUET", "rows.pq", "ROWS.CSV"])
def test_file_when_its_ending_is_known_then_is_read(program, flights, tmp_path, name):
    as_csv = name.lower().endswith("csv")
    (flights.to_csv if as_csv else flights.to_parquet)(tmp_path / name, index=False)
    assert len(program["read"](tmp_path / name)) == len(flights)


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.csv.gz"])
def test_file_when_its_ending_is_unknown_then_says_what_is_read(program, tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"")
    assert program["main"]([str(tmp_path / name), *MARCH]) == UNUSABLE
    assert "unknown ending; what is read is .csv, .parquet and .pq" in capsys.readouterr().err


def test_words_when_of_the_type_string_and_missing_then_trains(program, flights, tmp_path):
    words = flights["carrier"].astype("string").where(flights.index % 7 > 0)
    flights.assign(carrier=words).to_parquet(tmp_path / "rows.parquet")
    rows = program["read"](tmp_path / "rows.parquet")
    assert rows["carrier"].isna().sum() == words.isna().sum()
    assert program["fit"](rows[rows["late"].notna()], 0, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda days: days.dt.date,
        lambda days: days.dt.strftime("%Y-%m-%d").astype("string"),
        lambda days: days.dt.tz_localize("America/New_York"),
        lambda days: days.dt.strftime("%Y-%m-%dT23:00:00Z"),
    ],
)
def test_days_when_kept_otherwise_in_parquet_then_the_same(program, flights, tmp_path, change):
    flights.assign(date=change(flights["date"])).to_parquet(tmp_path / "rows.parquet")
    assert (program["read"](tmp_path / "rows.parquet")["date"] == flights["date"]).all()


def test_split_when_rows_have_times_of_day_then_the_last_day_is_learned_whole(
    program, flights, tmp_path
):
    late_at_night = flights.assign(date=flights["date"] + pd.Timedelta(hours=23))
    late_at_night.to_parquet(tmp_path / "rows.parquet")
    rows = program["read"](tmp_path / "rows.parquet")
    learn, test = program["split"](rows, "2013-03-01", "2013-03-31", 7)
    assert learn["date"].min() == pd.Timestamp("2013-03-01")
    assert learn["date"].max() == pd.Timestamp("2013-03-31")
    assert test["date"].min() == pd.Timestamp("2013-04-01")
    assert test["date"].max() == pd.Timestamp("2013-04-07")
    assert learn["late"].notna().all() and test["late"].notna().all()


def mixed_days(rows):
    """Return the days of rows as text, the first of them day first."""
    days = rows["date"].dt.strftime("%Y-%m-%d")
    return days.where(rows.index > 0, "01/03/2013")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.drop(columns=["temp", "dest"]), "no column temp, dest"),
        (lambda rows: rows.drop(columns="late"), "no column late"),
        (lambda rows: rows.drop(columns="date"), "no column date"),
        (lambda rows: rows.head(0), "no day at all"),
        (lambda rows: rows.head(400), "from 2013-03-01 to 2013-03-31 there are 392"),
        (lambda rows: rows.assign(late=0), "0 of them 1; it takes 500 and both kinds"),
        (lambda rows: rows.assign(late=rows["late"] * 2), "neither 0 nor 1"),
        (lambda rows: rows.assign(date="soon"), "date holds 'soon'; write days as in 2013-03-31"),
        (lambda rows: rows.assign(date="01/03/2013"), "'01/03/2013'; write days as in 2013-03-31"),
        (lambda rows: rows.assign(date=mixed_days(rows)), "'01/03/2013'; write days as in"),
        (lambda rows: rows.assign(date=20130301), "20130301, and numbers are no days"),
        (lambda rows: rows.assign(date=1.5), "1.5, and numbers are no days"),
        (lambda rows: rows.assign(date=np.nan), "The file has no day at all"),
        (lambda rows: rows.assign(date="2013-03-32"), "'2013-03-32'; write days as in"),
        (lambda rows: rows.assign(dep_delay="an hour"), "other things than numbers"),
        (lambda rows: rows.assign(humid=np.nan), "there is nothing in humid"),
        (lambda rows: rows[rows["date"] <= "2013-03-31"], "in the 28 days after 2013-03-31"),
    ],
)
def test_rows_when_they_cannot_be_used_then_a_sentence_and_status_one(asked, flights, change, told):
    status, said = asked(change(flights))
    assert status == UNUSABLE
    assert said.startswith("Not trained: ") and told in said
    assert said.count("\n") == 1
    assert not Path("trained").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.assign(precip=0.0),
        lambda rows: rows.assign(carrier=rows["carrier"].astype(object).where(rows.index % 7 > 0)),
        lambda rows: rows.assign(carrier=rows.index % 5),
        lambda rows: rows.assign(date=rows["date"].dt.tz_localize("UTC")),
        lambda rows: rows.assign(date=rows["date"] + pd.Timedelta(hours=23)),
        lambda rows: rows.sample(frac=1, random_state=0),
    ],
)
def test_rows_when_they_are_odd_and_usable_then_trains(asked, flights, change):
    status, said = asked(change(flights))
    assert (status, said) == (TRAINED, "")


def test_period_when_it_holds_no_row_then_says_what_the_file_has(asked, flights):
    status, said = asked(flights, "--first", "2014-02-01", "--last", "2014-02-28")
    assert status == UNUSABLE
    assert "there are 0 labelled rows" in said and "from 2013-03-01 to 2013-04-14" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--first"),
        (("--first", "2013-03-01"), "--last"),
        (("--first", "1 March", "--last", "2013-03-31"), "'1 March' is no day"),
        (("--first", "2013-03-01", "--last", "2013-03-32"), "'2013-03-32' is no day"),
        (("--first", "2013-04-01", "--last", "2013-03-31"), "is after --last"),
        ((*MARCH, "--seed", "-1"), "is no whole number from 0"),
        ((*MARCH, "--trees", "many"), "'many' is no whole number from 1"),
        ((*MARCH, "--test-days", "0"), "'0' is no whole number from 1"),
    ],
)
def test_arguments_when_they_are_wrong_then_usage_and_status_two(program, capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        program["main"](["rows.csv", *words])
    assert ended.value.code == MISUSED
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [("gone.csv", None), ("empty.csv", b""), ("odd.csv", b"\xff\xfe\x00"), ("odd.parquet", b"no")],
)
def test_file_when_it_cannot_be_read_then_a_sentence_and_status_one(
    program, tmp_path, capsys, name, content
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert program["main"]([str(tmp_path / name), *MARCH]) == UNUSABLE
    said = capsys.readouterr().err
    assert "cannot be read" in said and said.count("\n") == 1


def test_folder_when_it_cannot_be_written_then_a_sentence_and_status_one(asked, flights):
    Path("taken").write_text("a file")
    status, said = asked(flights, *MARCH, "--out", "taken")
    assert status == UNUSABLE
    assert "taken cannot be written to" in said
