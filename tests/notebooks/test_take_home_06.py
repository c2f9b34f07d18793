"""What lesson 06 gives away, run for real: in folders that know nothing of the course."""

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import mlflow
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from plain import plain_environment
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GATE = NOTEBOOKS / "06_gate.py"
WORKFLOW = NOTEBOOKS / "06_release_gate.yml"
SPLIT = NOTEBOOKS / "06_split.conf"
PASSED, BLOCKED, MISUSED, COULD_NOT_JUDGE = range(4)
STORE = "sqlite:///mlflow.db"
CALL = ["--model", "delays", "--time", "date", "--target", "late"]
FEATURES = ["delay", "shop"]
SENT_BY_NGINX = (44, "c7b5b485c0d75120")


def rows_of(days: int, seed: int) -> pd.DataFrame:
    """Return made-up rows, two hundred a day, of two shops; days differ in how much goes wrong."""
    generator = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), 200)
    rows = pd.DataFrame({"date": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")})
    rows["delay"] = generator.normal(size=len(day)) + generator.normal(0, 0.3, size=days)[day]
    rows["shop"] = generator.choice(["north", "south"], size=len(day))
    rows["late"] = (rows["delay"] + generator.normal(0, 0.5, size=len(day)) > 0.5).astype(int)
    return rows


def pipeline(rows):
    """Return a model that learns from words and numbers alike."""
    encoder = make_column_transformer((OneHotEncoder(), ["shop"]), remainder="passthrough")
    return make_pipeline(encoder, LogisticRegression()).fit(rows[FEATURES], rows["late"])


class Failing(ClassifierMixin, BaseEstimator):
    """A model that answers nothing, or fails."""

    def __init__(self, how: str = "") -> None:
        self.how = how

    def fit(self, rows, label):
        self.classes_ = np.unique(label)
        return self

    def predict(self, rows):
        if self.how == "raises":
            raise RuntimeError("a table | with <b>markup</b>")
        return np.full(len(rows), np.nan)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a store, an exam and the gate; champion is version 1."""
    place = tmp_path_factory.mktemp("project")
    learned = rows_of(10, seed=1)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri(), os.getcwd()
    os.chdir(place)
    try:
        mlflow.set_tracking_uri(STORE)
        mlflow.set_registry_uri(STORE)
        client = mlflow.MlflowClient()
        client.create_registered_model("delays")
        experiment = client.create_experiment("delays", (place / "files").as_uri())
        models = {
            "champion": pipeline(learned),
            "same": pipeline(learned.iloc[::2]),
            "worse": pipeline(learned.assign(late=(learned["delay"] > -0.5).astype(int))),
            "other columns": LogisticRegression().fit(learned[["delay"]], learned["late"]),
        }
        signed = infer_signature(learned[FEATURES])
        renamed = infer_signature(learned[["delay"]].rename(columns={"delay": "hours"}))
        for name, model in models.items():
            signature = renamed if name == "other columns" else signed
            with mlflow.start_run(experiment_id=experiment):
                logged = mlflow.sklearn.log_model(
                    model, name="model", signature=signature, pip_requirements=[]
                )
            client.create_model_version("delays", logged.model_uri)
        client.set_registered_model_alias("delays", "champion", "1")
    finally:
        os.chdir(before[2])
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    rows_of(14, seed=2).to_csv(place / "exam.csv", index=False)
    shutil.copy(GATE, place)
    return place


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The environment of a program that must do without the course, at the store of its folder."""
    kept = plain_environment(tmp_path_factory.mktemp("plain"), MLFLOW_TRACKING_URI=STORE)
    alien = ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID")  # MLflow has put them there
    return {name: value for name, value in kept.items() if name not in alien}


@pytest.fixture(scope="module")
def gate():
    return SimpleNamespace(**run_path(str(GATE)))


@pytest.fixture
def ask(made, gate, monkeypatch, capsys):
    """Ask the gate in this process, in the folder; return status and what it said."""
    mlflow_before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    monkeypatch.chdir(made)

    def asked(candidate, table="exam.csv", *more):
        mlflow.set_tracking_uri(STORE)
        mlflow.set_registry_uri(STORE)
        status = gate.main([table, *CALL, "--candidate", candidate, *more])
        return status, capsys.readouterr().out

    yield asked
    mlflow.set_tracking_uri(mlflow_before[0])
    mlflow.set_registry_uri(mlflow_before[1])


def test_gate_when_run_where_there_is_no_course_then_its_status_is_the_verdict(made, plain):
    command = [sys.executable, GATE.name, "exam.csv", *CALL, "--candidate", "3"]
    done = subprocess.run(command, cwd=made, env=plain, capture_output=True, text=True)
    assert done.returncode == BLOCKED, done.stderr
    assert done.stdout.startswith("## Release gate: version 3 of delays is blocked")


def test_gate_when_the_candidate_is_as_good_then_passes_and_says_on_what(ask):
    status, said = ask("2", "exam.csv", "--slice", "shop")
    assert status == PASSED and "Compared with version 1, which is champion." in said
    assert "one-sided 95%, by 14 days" in said and "| not worse: shop north | pass |" in said
    assert "FAIL" not in said


def test_gate_when_one_slice_alone_loses_then_it_blocks(ask, made, gate):
    rows = gate.read(SimpleNamespace(table="exam.csv", time="date", target="late"))
    champion = rows["late"].to_numpy(float)
    wrong = (rows["shop"] == "south") & (np.arange(len(rows)) % 25 == 0)
    candidate = np.where(wrong, 1 - champion, champion)
    settings = {"margin": 3.0, "slice_margin": 3.0, "confidence": 0.95}
    checks = gate.judge(rows, candidate, champion, SimpleNamespace(slice=["shop"], **settings))
    assert {check.name: check.passed for check in checks} == {
        "answers every row": True,
        "not worse: overall": True,
        "not worse: shop north": True,
        "not worse: shop south": False,
    }


def test_gate_when_days_are_drawn_then_a_loss_of_the_margin_passes_as_seldom_as_promised(gate):
    generator = np.random.default_rng(0)
    options = SimpleNamespace(slice=[], margin=1.0, confidence=0.95)
    days = np.repeat(np.arange(14), 1_000)
    rows = pd.DataFrame({"gate.day": days, "gate.label": 1.0})
    passed = 0
    for _ in range(400):
        lost = 0.01 + generator.normal(0, 0.03, size=14)[days]
        luck = generator.random(len(days))
        champion = (luck > 0.15).astype(float)
        candidate = (luck > 0.15 + lost).astype(float)
        checks = gate.judge(rows, candidate, champion, options)
        passed += all(check.passed for check in checks)
    assert passed <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_gate_when_both_never_differ_then_few_rows_do_not_rule_a_loss_out(gate):
    day = pd.Series(np.arange(7))
    lead = pd.Series(np.zeros(7))
    assert not gate.not_worse("few", "few", lead, day, 1.0, SimpleNamespace(confidence=0.95)).passed
    many = pd.Series(np.zeros(7_000))
    day = pd.Series(np.arange(7_000) % 7)
    assert gate.not_worse("many", "many", many, day, 1.0, SimpleNamespace(confidence=0.95)).passed


@pytest.mark.parametrize("how", ["raises", "says nothing"])
def test_gate_when_the_candidate_fails_on_the_rows_then_blocks_and_the_report_keeps_its_form(
    ask, gate, monkeypatch, how
):
    real = gate.load

    def load(name, number):
        _, schema = real(name, number)
        model = Failing(how) if str(number) == "2" else real(name, number)[0]
        return model, schema

    monkeypatch.setitem(gate.main.__globals__, "load", load)
    status, said = ask("2")
    (row,) = (line for line in said.splitlines() if line.startswith("| answers every row"))
    assert status == BLOCKED and "**FAIL**" in row and "<b>" not in row
    assert "not worse" not in said
    assert len(re.findall(r"(?<!\\)\|", row)) == 4


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("raises", "The champion fails on these rows"),
        ("says nothing", "The champion leaves rows without an answer"),
    ],
)
def test_gate_when_the_champion_fails_then_could_not_judge(ask, gate, monkeypatch, how, sentence):
    real = gate.load

    def load(name, number):
        model, schema = real(name, number)
        return (Failing(how) if str(number) == "1" else model), schema

    monkeypatch.setitem(gate.main.__globals__, "load", load)
    status, said = ask("2")
    assert status == COULD_NOT_JUDGE and sentence in said


@pytest.mark.parametrize(
    ("candidate", "more", "sentence"),
    [
        ("99", [], "not found"),
        ("nobody", [], "not found"),
        ("", [], "The registry says: "),
        ("4", [], "The rows lack hours."),
        ("2", ["--slice", "city"], "The rows lack city."),
        ("2", ["--champion", "king"], "not found"),
    ],
)
def test_gate_when_something_is_not_there_then_could_not_judge(ask, candidate, more, sentence):
    status, said = ask(candidate, "exam.csv", *more)
    assert status == COULD_NOT_JUDGE and sentence in said and "could not be judged" in said


def spoilt(rows, how):
    return {
        "few days": rows[rows["date"] < "2024-01-07"],
        "few rows": rows.groupby("date").head(50),
        "late labels": rows.assign(late=rows["late"].where(np.arange(len(rows)) % 5 > 0)),
        "odd labels": rows.assign(late=7),
        "no labels": rows.drop(columns="late"),
        "no rows": rows.iloc[:0],
        "no day": rows.assign(date=rows["date"].where(rows["delay"] > -2)),
        "words": rows.assign(late="soon"),
    }[how]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("few days", "of 6 days with a label; it takes 1,000 of 7"),
        ("few rows", "There are 700 rows"),
        ("late labels", "80% of the rows have a label"),
        ("odd labels", "neither 0 nor 1"),
        ("no labels", "cannot be read: KeyError"),
        ("no rows", "have a label, and it takes 95%"),
        ("no day", "rows have no date"),
        ("words", "cannot be read: ValueError"),
    ],
)
def test_gate_when_the_rows_are_unfit_then_could_not_judge(ask, made, how, sentence):
    spoilt(rows_of(14, seed=2), how).to_csv(made / "spoilt.csv", index=False)
    status, said = ask("2", "spoilt.csv")
    assert status == COULD_NOT_JUDGE and sentence in said


def test_gate_when_the_candidate_is_champion_already_then_passes_since_nothing_changes(ask):
    status, said = ask("champion")
    assert status == PASSED and "Version 1 is champion already; nothing would change." in said


def test_gate_when_it_crashes_then_the_status_is_no_verdict(ask, gate, monkeypatch):
    monkeypatch.setitem(gate.main.__globals__, "judge", lambda *_: 1 / 0)
    status, said = ask("2")
    assert status == COULD_NOT_JUDGE and "It crashed: ZeroDivisionError." in said


def test_gate_when_a_library_is_missing_then_the_status_is_no_verdict(tmp_path):
    (tmp_path / "mlflow.py").write_text("raise ImportError('no mlflow here')\n", encoding="utf-8")
    shutil.copy(GATE, tmp_path)
    command = [sys.executable, GATE.name, "exam.csv", *CALL, "--candidate", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == COULD_NOT_JUDGE
    assert done.stdout == "The gate could not judge: no mlflow here.\n"


def test_gate_when_a_report_is_asked_for_then_an_old_one_never_stands_for_the_new(ask, made):
    report = made / "report.md"
    for candidate, words in (("2", "passed"), ("3", "is blocked"), ("99", "could not be judged")):
        _, said = ask(candidate, "exam.csv", "--report", str(report))
        assert report.read_text(encoding="utf-8") == said.removesuffix("\n")
        assert words in said
    assert ask("2", "exam.csv", "--report", str(made / "nowhere" / "r.md"))[0] == COULD_NOT_JUDGE


@pytest.mark.parametrize(
    "more", [["--margin", "0"], ["--margin", "x"], ["--confidence", "1"], ["--candidate"]]
)
def test_gate_when_called_wrongly_then_status_2(ask, more):
    with pytest.raises(SystemExit) as ended:
        ask("2", "exam.csv", *more)
    assert ended.value.code == MISUSED


# ---- the workflow, followed step by step in a project of somebody else's

TESTS = """
def pytest_addoption(parser):
    parser.addoption("--files")
"""
A_TEST = """
import pandas as pd

def test_rows(request):
    rows = pd.read_csv(request.config.getoption("--files") + "/exam.csv")
    assert rows["late"].isin([0, 1]).all()
"""


@pytest.fixture
def project(made, tmp_path):
    """A project as the workflow's first lines ask for it."""
    place = shutil.copytree(made, tmp_path / "project")
    (place / "tests").mkdir()
    (place / "tests" / "conftest.py").write_text(TESTS, encoding="utf-8")
    (place / "tests" / "test_rows.py").write_text(A_TEST, encoding="utf-8")
    (place / "data").mkdir()
    shutil.copy(place / "exam.csv", place / "data")
    (place / "release.txt").write_text("2\n", encoding="utf-8")
    return place


def followed(job, project, environment):
    """Run the steps of a job as GitHub does, but for those that need its network."""
    steps = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"][job]["steps"]
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    summary = project / "summary.md"
    known = {"EXAM": "exam.csv", "GITHUB_STEP_SUMMARY": str(summary)}
    folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([folder, environment["PATH"]])
    for step in steps:
        if "run" not in step or step["name"] == "Install":
            continue
        command = step["run"].replace("--slice airport", "--slice shop")  # what CHANGE names
        given = {**environment, **known, "PATH": path}
        done = subprocess.run([*shell, command], cwd=project, env=given, capture_output=True)
        if done.returncode:
            break
    return done.returncode, summary.read_text(encoding="utf-8") if summary.exists() else ""


needs_bash = pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="needs bash")


@needs_bash
@pytest.mark.parametrize(
    ("proposed", "status", "heading"),
    [
        ("2\n", PASSED, "version 2 of delays passed"),
        ("3\n", BLOCKED, "version 3 of delays is blocked"),
        ("$(touch stolen)\n", COULD_NOT_JUDGE, "could not be judged"),
    ],
    ids=["good", "bad", "command"],
)
def test_workflow_when_a_release_is_proposed_then_the_job_ends_as_the_gate_says_and_reports(
    project, plain, proposed, status, heading
):
    (project / "release.txt").write_text(proposed, encoding="utf-8")
    ended, summary = followed("gate", project, plain)
    assert ended == status and heading in summary.partition("\n")[0]
    assert not (project / "stolen").exists()


@needs_bash
@pytest.mark.parametrize(("label", "status"), [(0, 0), (7, 1)])
def test_workflow_when_a_test_of_the_project_is_red_then_its_job_is(project, plain, label, status):
    rows = pd.read_csv(project / "data" / "exam.csv")
    rows.loc[0, "late"] = label
    rows.to_csv(project / "data" / "exam.csv", index=False)
    assert followed("tests", project, plain)[0] == status


LESSON_03 = NOTEBOOKS / "03_tests"


@needs_bash
@pytest.mark.skipif(not LESSON_03.exists(), reason="lesson 03 has no folder of tests here yet")
def test_workflow_when_the_tests_are_those_of_lesson_03_then_runs_them_on_the_folder_named(
    project, plain
):
    shutil.rmtree(project / "tests")
    shutil.copytree(LESSON_03, project / "tests")
    assert followed("tests", project, plain)[0] == 4  # no table there: pytest's word for misuse


# ---- the router's configuration


def murmur(data: bytes) -> int:
    """Return MurmurHash2 of some bytes, by which nginx deals.

    Source: Appleby, MurmurHash2, 2008; nginx, ngx_murmur_hash2 (its seed is 0).
    """
    mixed = 0x5BD1E995
    whole = 2**32 - 1
    hashed = len(data)
    for start in range(0, len(data) - 3, 4):
        part = int.from_bytes(data[start : start + 4], "little") * mixed & whole
        part = (part ^ part >> 24) * mixed & whole
        hashed = (hashed * mixed & whole) ^ part
    if rest := data[len(data) // 4 * 4 :]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * mixed & whole
    hashed = (hashed ^ hashed >> 13) * mixed & whole
    return hashed ^ hashed >> 15


def dealt(text: str, name: str) -> str:
    """Return where nginx sends a request with this id, by the file's own lines."""
    key, block = re.search(r'split_clients "([^"]*)" \$version \{(.*?)\}', text, re.DOTALL).groups()
    place = murmur(key.replace("$http_x_request_id", name).encode())
    upto = 0.0
    for share, target in re.findall(r"([\d.]+%|\*)\s+(\w+);", block):
        upto += float(share.rstrip("%")) / 100 if share != "*" else 1
        if place < upto * (2**32 - 1):
            return target
    raise AssertionError("the last line takes the rest")


def test_murmur_when_asked_for_what_nginx_gives_then_is_the_same():
    # Of 1,000 requests 10-21.0 to 10-21.999 nginx 1.22 sent exactly these to the challenger.
    text = SPLIT.read_text(encoding="utf-8")
    sent = [n for n in range(1_000) if dealt(text, f"10-21.{n}") == "challenger"]
    assert (len(sent), sha256(repr(sent).encode()).hexdigest()[:16]) == SENT_BY_NGINX


def test_router_when_its_share_grows_then_nobody_falls_out_and_the_next_release_deals_anew():
    text = SPLIT.read_text(encoding="utf-8")
    ids = [f"flight-{n}" for n in range(4_000)]

    def inside(text):
        return {name for name in ids if dealt(text, name) == "challenger"}

    few = inside(text)
    more = inside(text.replace("5% ", "25% "))
    assert 0.03 < len(few) / len(ids) < 0.07 and 0.22 < len(more) / len(ids) < 0.28
    assert few <= more
    again = inside(text.replace("release-7/", "release-8/"))
    assert len(few & again) / len(few) < 0.2


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_router_when_nginx_reads_its_configuration_then_it_is_sound(tmp_path):
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {tmp_path / name};" for name in places)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path / 'pid'}; error_log stderr; events {{}} "
        f"http {{ access_log off; {temporary} include {SPLIT}; }}",
        encoding="utf-8",
    )
    command = ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_router_when_shown_in_the_lesson_then_every_line_of_it_is_the_files():
    cells = nbformat.read(NOTEBOOKS / "06_safe_releases.ipynb", as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    (shown,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert shown in SPLIT.read_text(encoding="utf-8")
