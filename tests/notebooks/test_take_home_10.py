"""The morning round that lesson 10 gives away: run where the course's package is not."""

import subprocess
import sys
import tomllib
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from plain import plain_environment

from mlops_course.training.aside import pointed_at

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ROUND = NOTEBOOKS / "10_triage.py"
CALM, OFF, MISUSED, COULD_NOT_TELL = 0, 1, 2, 3
DAY = pd.Timestamp("2013-10-16")
ROWS = 400  # a day
REQUESTS = 40
NAME = "loans"


def tables():
    """Sixteen days of a model that has nothing to do with flights."""
    rng = np.random.default_rng(0)
    days = pd.date_range(DAY - pd.Timedelta(days=15), DAY)
    time = np.repeat(days.to_numpy(), ROWS)
    size = len(time)
    probability = rng.beta(1, 3, size)
    predictions = pd.DataFrame(
        {
            "time": time,
            "id": np.arange(size),
            "version": "1",
            "probability": probability,
            "income": rng.normal(3_000, 500, size),
            "region": rng.choice(["north", "south", "west"], size),
        }
    )
    right = rng.random(size) < 0.9
    label = np.where(right, probability >= 0.5, probability < 0.5).astype(float)
    labels = pd.DataFrame({"id": np.arange(size), "label": label})
    labels = labels[time < (DAY - pd.Timedelta(days=1)).to_datetime64()]
    asked = np.repeat(days.to_numpy(), REQUESTS)
    requests = pd.DataFrame({"time": asked, "status": 200, "ms": rng.normal(10, 1, len(asked))})
    return SimpleNamespace(predictions=predictions, labels=labels, requests=requests)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A registry whose champion somebody has promoted for a reason."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_registered_model(NAME)
    for tags in (
        {"promotion.reason": "passed the gate", "promotion.who": "ann"},
        {"promotion.reason": "Forced: it looked good", "promotion.who": "ann"},
        {},
    ):
        client.create_model_version(NAME, "file:///nowhere", tags=tags)
    client.set_registered_model_alias(NAME, "champion", "1")
    return SimpleNamespace(uri=uri, client=client)


@pytest.fixture
def made(tmp_path, store, monkeypatch, capsys):
    """Return what the round says of tables, and its status, in this process."""
    main = run_path(str(ROUND))["main"]
    monkeypatch.chdir(tmp_path)

    def of(found, champion="1", *more):
        store.client.set_registered_model_alias(NAME, "champion", champion)
        for name, table in vars(found).items():
            table.to_csv(f"{name}.csv", index=False)
        files = ["predictions.csv", "labels.csv", "requests.csv"]
        status = main([*files, "--model", NAME, *more])
        return status, capsys.readouterr().out

    with pointed_at(SimpleNamespace(tracking_uri=store.uri)):
        yield of


def newest(table, days=1):
    return table["time"] > DAY - pd.Timedelta(days=days)


def test_round_when_the_package_is_not_there_then_calm_or_off_by_status(tmp_path, store):
    place = plain_environment(tmp_path, MLFLOW_TRACKING_URI=store.uri)
    store.client.set_registered_model_alias(NAME, "champion", "1")
    found = tables()
    found.labels.to_parquet(tmp_path / "labels.parquet")
    found.requests.to_csv(tmp_path / "requests.csv", index=False)
    answers = found.predictions
    said = []
    for probability in (answers["probability"], answers["probability"].mask(newest(answers), 0.2)):
        answers.assign(probability=probability).to_csv(tmp_path / "answers.csv", index=False)
        command = [sys.executable, str(ROUND), "answers.csv", "labels.parquet", "requests.csv"]
        command += ["--model", NAME]
        done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)
        said.append((done.returncode, done.stdout))
        assert done.stderr == ""
    assert said[0] == (CALM, "Wednesday, 16 October: calm\n")
    assert said[1][0] == OFF and "1. All 400 answers are 0.20." in said[1][1]


@pytest.mark.parametrize("zoned", [("predictions", "requests"), ("predictions",)])
def test_round_when_times_have_a_zone_then_they_are_read_as_utc(made, zoned):
    found = tables()
    for name in zoned:
        table = getattr(found, name)
        setattr(found, name, table.assign(time=table["time"].dt.tz_localize("UTC")))
    assert made(found, "1", "--day", str(DAY.date()))[0] == CALM


@pytest.mark.parametrize(
    ("what", "first"),
    [
        ("refused", "50% of 40 requests were refused"),
        ("silent", "No request reached the service"),
        ("slow", "A request takes 90 ms, usually 10"),
        ("stuck", "All 400 answers are 0.20"),
        ("unit", "income: its 10% point is"),
        ("empty", "income is 100% empty"),
        ("fewer", "200 rows, usually 400"),
        ("merger", "region: 30% of the rows have a name never seen before"),
        ("many", "50% are called positive"),
        ("few", "0.0% are called positive, never below"),
        ("no labels", "0% of the answers of 14 October have a label"),
        ("worse", "50% of 14 October were right"),
    ],
)
def test_round_when_one_thing_is_off_then_it_comes_first(made, what, first):
    status, said = made(spoilt(tables(), what))
    assert status == OFF
    told = said.splitlines()[1].removeprefix("1. ")
    assert told.startswith(first), said
    assert "   First: " in said


def spoilt(found, what):
    """Return the tables with one thing wrong on the newest day, or the newest labelled one."""
    answers = found.predictions
    now = newest(answers)
    if what == "refused":
        every_second = newest(found.requests) & (found.requests.index % 2 == 0)
        found.requests["status"] = found.requests["status"].mask(every_second, 422)
    elif what == "silent":
        found.requests = found.requests[~newest(found.requests)]
    elif what == "slow":
        found.requests["ms"] = found.requests["ms"].mask(newest(found.requests), 90)
    elif what == "stuck":
        answers["probability"] = answers["probability"].mask(now, 0.2)
    elif what == "unit":
        answers["income"] = answers["income"].mask(now, answers["income"] / 1_000)
    elif what == "empty":
        answers["income"] = answers["income"].mask(now)
    elif what == "fewer":
        found.predictions = answers[~now | (answers.index % 2 == 0)]
    elif what == "merger":
        answers["region"] = answers["region"].mask(now & (answers["region"] == "west"), "east")
    elif what == "many":
        every_second = now & (answers.index % 2 == 0)
        low = answers["probability"].mask(now, answers["probability"] / 3)
        answers["probability"] = low.mask(every_second, 0.8)
    elif what == "few":
        answers["probability"] = answers["probability"].mask(now, answers["probability"] / 3)
    elif what == "no labels":
        found.labels = found.labels[found.labels["id"] < len(answers) - 6 * ROWS]
    elif what == "worse":
        of_day = found.labels["id"].isin(answers.loc[answers["time"] == DAY_LABELLED, "id"])
        every_second = of_day & (found.labels["id"] % 2 == 0)
        called = (answers["probability"] >= 0.5).astype(float)
        label = called.loc[found.labels["id"]].to_numpy()
        wrong = np.where(every_second, 1 - label, label)
        found.labels["label"] = np.where(of_day, wrong, found.labels["label"])
    return found


DAY_LABELLED = DAY - pd.Timedelta(days=2)


def test_round_when_the_champion_was_forced_then_says_by_whom_and_since_when(made):
    found = tables()
    found.predictions["version"] = np.where(newest(found.predictions, 2), "2", "1")
    status, said = made(found, "2")
    assert status == OFF
    assert "1. Version 2, which answers since 15 October, went past the gate: Forced" in said
    assert "ann" in said and "Roll back first" in said


def test_round_when_the_champion_is_new_or_does_not_answer_then_says_so(made):
    found = tables()
    status, said = made(found, "3")
    assert status == OFF and "1. The champion is version 3; version 1 answers." in said
    found.predictions["version"] = np.where(newest(found.predictions, 2), "3", "1")
    _, said = made(found, "3")
    assert "is new: no tag says who promoted it, or why" in said


def test_round_when_a_day_is_named_then_looks_at_that_one(made):
    status, said = made(spoilt(tables(), "stuck"), "1", "--day", "2013-10-15")
    assert (status, said) == (CALM, "Tuesday, 15 October: calm\n")


def without(name, column=None):
    """Return a way of spoiling tables: a column is gone, or all rows."""

    def spoil(found):
        table = getattr(found, name)
        setattr(found, name, table.drop(columns=column) if column else table.iloc[:0])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without("labels", "label"), "has no column label"),
        (without("requests", "time"), "cannot be read: KeyError"),
        (without("predictions"), "0 days before"),
    ],
)
def test_round_when_a_table_is_damaged_then_could_not_tell(made, spoil, said):
    found = tables()
    spoil(found)
    status, told = made(found)
    assert status == COULD_NOT_TELL and told.startswith("could not tell: ") and said in told


def test_round_when_all_tables_are_empty_then_could_not_tell(made):
    found = tables()
    for name, table in vars(found).items():
        setattr(found, name, table.iloc[:0])
    assert made(found) == (COULD_NOT_TELL, "could not tell: There is no row that has a time.\n")


def test_round_when_a_file_or_the_registry_is_missing_then_could_not_tell(made):
    found = tables()
    status, told = made(found, "1", "--day", "2013-10-03")
    assert status == COULD_NOT_TELL and "2 days before 03 October; it takes 5" in told
    status, told = made(found, "1", "--day", "yesterday evening")
    assert status == COULD_NOT_TELL
    with pointed_at(SimpleNamespace(tracking_uri="sqlite:///empty.db")):
        status, told = made(found)
    assert status == COULD_NOT_TELL and "does not say who is champion" in told
    Path("labels.csv").unlink()
    main = run_path(str(ROUND))["main"]
    assert main(["predictions.csv", "labels.csv", "requests.csv", "--model", NAME]) == 3


def test_round_when_called_wrongly_then_status_2(made):
    with pytest.raises(SystemExit) as ended:
        run_path(str(ROUND))["main"](["predictions.csv"])
    assert ended.value.code == MISUSED


def test_runbook_when_read_by_anybody_then_each_entry_has_signs_and_what_to_do():
    entries = tomllib.loads((NOTEBOOKS / "10_runbook.toml").read_text(encoding="utf-8"))["entry"]
    assert len(entries) > 5
    for entry in entries:
        assert entry["signs"] and (entry.get("do") or entry.get("last"))


def test_post_mortem_when_blank_then_has_its_headings_and_an_empty_table():
    text = (NOTEBOOKS / "10_postmortem.md").read_text(encoding="utf-8")
    for heading in ("Impact", "Timeline", "What went well", "Contributing causes", "Actions"):
        assert f"## {heading}\n" in text
    assert "| action | owner | due |" in text
