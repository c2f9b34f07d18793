"""The workflow files, ours and those that lessons give away: under zizmor, and tried."""

import os
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
        ('"$CANDIDATE"', "${{ inputs.candidate }}", "template-injection"),
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


def test_workflow_when_shown_in_the_lesson_then_every_line_of_it_is_the_files():
    (path,) = (CLONE / "notebooks").glob("06_*.ipynb")
    prose = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    _, _, rest = prose.partition("```yaml\n")
    shown, _, _ = rest.partition("```")
    assert shown and shown in GATE.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="needs bash")
@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_workflow_when_the_gate_answers_then_its_step_fails_unless_it_passed(tmp_path, status):
    steps = yaml.safe_load(GATE.read_text(encoding="utf-8"))["jobs"]["gate"]["steps"]
    (step,) = (step for step in steps if step.get("name") == "Gate")
    assert "continue-on-error" not in step and "if" not in step
    stub = tmp_path / "mlops-course"
    stub.write_text(f'#!/bin/sh\necho "$@" > called\nexit {status}\n', encoding="utf-8")
    stub.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    given = {**os.environ, "PATH": path, "CANDIDATE": "7", "MLOPS_WORKSPACE": "/shared"}
    done = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=given)
    assert done.returncode == status
    called = (tmp_path / "called").read_text(encoding="utf-8")
    assert called == "gate 7 --workspace /shared --report gate.md\n"


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
