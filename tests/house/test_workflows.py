"""The workflow files, ours and those that lessons give away: under zizmor, and tried."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

CLONE = Path(__file__).parents[2]
GATE = CLONE / "notebooks" / "06_release_gate.yml"
RETRAIN = CLONE / "notebooks" / "09_retrain.yml"
WORKFLOWS = [GATE, RETRAIN, *sorted((CLONE / ".github" / "workflows").glob("*.yml"))]


def zizmor(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", path]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_when_checked_by_zizmor_then_nothing_is_found(path):
    done = zizmor(path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("good", "bad", "finding"),
    [
        ('"$(cat release.txt)"', "${{ github.head_ref }}", "template-injection"),
        ("  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
        ("contents: read", "contents: write", "excessive-permissions"),
        ("        with:\n          persist-credentials: false\n", "", "artipacked"),
        ("actions/setup-python@e797f83bcb11b83ae66e0230d6156d7c80228e7c", "x/y@v1", "unpinned"),
    ],
)
def test_workflow_when_a_fault_is_planted_then_zizmor_names_it(tmp_path, good, bad, finding):
    text = GATE.read_text(encoding="utf-8")
    assert good in text
    planted = tmp_path / "gate.yml"
    planted.write_text(text.replace(good, bad), encoding="utf-8")
    done = zizmor(planted)
    assert done.returncode != 0 and finding in done.stdout


def test_workflow_when_one_job_may_write_then_zizmor_is_silent_and_so_a_test_must_not_be(tmp_path):
    """The lesson says so: permissions are read by a person, and here by a test."""
    text = GATE.read_text(encoding="utf-8")
    name = "    name: Judge the candidate\n"
    assert name in text
    planted = tmp_path / "gate.yml"
    written = f"{name}    permissions:\n      contents: write\n"
    planted.write_text(text.replace(name, written), encoding="utf-8")
    assert zizmor(planted).returncode == 0
    assert permissions(yaml.safe_load(text)) == [{"contents": "read"}]
    assert {"contents": "write"} in permissions(yaml.safe_load(planted.read_text(encoding="utf-8")))


def permissions(flow) -> list[dict[str, str]]:
    """Return what a workflow's token may do, for all jobs and for single ones."""
    given = [flow, *flow["jobs"].values()]
    return [one["permissions"] for one in given if "permissions" in one]


def test_workflow_when_it_is_a_gate_then_runs_at_a_pull_request_for_a_project_that_is_not_ours():
    text = GATE.read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow[True] == {"pull_request": None}  # YAML takes the key `on` for a truth
    assert set(flow["jobs"]) == {"tests", "gate"}
    assert "mlops_course" not in text and "mlops-course" not in text and "CHANGE" in text
    for job in flow["jobs"].values():
        assert not {"if", "needs", "continue-on-error"} & set(job)  # a skipped job counts as passed
        for step in job["steps"]:
            assert not {"if", "continue-on-error"} & set(step)


def test_workflow_when_shown_in_the_lesson_then_every_line_of_it_is_the_files():
    (path,) = (CLONE / "notebooks").glob("06_*.ipynb")
    prose = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    shown = re.findall(r"```yaml\n(.*?)```", prose, re.DOTALL)
    assert len(shown) == 2
    assert all(part in GATE.read_text(encoding="utf-8") for part in shown)


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_workflow_when_the_gate_answers_then_its_step_fails_unless_it_passed(tmp_path, status):
    steps = yaml.safe_load(GATE.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Gate")
    assert "continue-on-error" not in step and "if" not in step
    done, called = asked(step["run"], tmp_path, status, "7\n")
    assert done == status
    assert called[:2] == ["06_gate.py", "an exam.csv"]
    assert called[-4:] == ["--candidate", "7", "--report", "a summary"]


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash")
@pytest.mark.parametrize(
    "proposed",
    ['2"; touch stolen; "', "$(touch stolen)", "`touch stolen`", "--margin=99", "2\n3", ""],
)
def test_workflow_when_a_strange_release_is_proposed_then_it_stays_one_word_and_runs_nothing(
    tmp_path, proposed
):
    steps = yaml.safe_load(GATE.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Gate")
    _, called = asked(step["run"], tmp_path, 0, proposed + "\n")
    assert "\n".join(called).endswith(f"--candidate\n{proposed}\n--report\na summary")
    assert not (tmp_path / "stolen").exists()


def asked(step: str, folder: Path, status: int, proposed: str) -> tuple[int, list[str]]:
    """Run a step with a stub for Python, and return its status and the words that the stub got."""
    stub = folder / "python"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > called\nexit {status}\n', encoding="utf-8")
    stub.chmod(0o755)
    (folder / "release.txt").write_text(proposed, encoding="utf-8")
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    given = {**os.environ, "PATH": path, "EXAM": "an exam.csv", "GITHUB_STEP_SUMMARY": "a summary"}
    done = subprocess.run(["bash", "-e", "-c", step], cwd=folder, env=given)
    return done.returncode, (folder / "called").read_text(encoding="utf-8").splitlines()


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash")
@pytest.mark.parametrize(("status", "step_ends"), [(0, 0), (10, 0), (1, 1), (2, 2), (3, 3)])
def test_workflow_when_the_retraining_job_answers_then_kept_and_promoted_pass_and_no_other(
    tmp_path, status, step_ends
):
    steps = yaml.safe_load(RETRAIN.read_text(encoding="utf-8"))["jobs"]["retrain"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Retrain")
    assert "continue-on-error" not in step and "if" not in step
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n', encoding="utf-8")
    stub.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    summary = tmp_path / "summary.md"
    given = {**os.environ, "PATH": path, "RETRAIN_DATA": "a b.csv"}
    given["GITHUB_STEP_SUMMARY"] = str(summary)
    done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=given)
    assert done.returncode == step_ends
    called = "09_retrain.py a b.csv --time date --target late --model delays\n"
    assert summary.read_text(encoding="utf-8") == called


def test_workflow_when_it_retrains_on_a_schedule_then_one_job_at_a_time_and_none_is_cut_off():
    flow = yaml.safe_load(RETRAIN.read_text(encoding="utf-8"))
    assert flow[True]["schedule"] and flow["permissions"] == {"contents": "read"}
    assert flow["concurrency"] == {"group": "retrain", "cancel-in-progress": False}
