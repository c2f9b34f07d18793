"""What all tests share: a workspace of their own, a warm cache, one scoring service."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

TOOLS = Path(__file__).parent / "tools"
sys.path.insert(0, str(TOOLS))

from marked import SESSION_VARIABLE  # noqa: E402

SECONDS_TO_END = 15
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
BROWSER_OPTIONS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP hub.example 127.0.0.1",
    "--no-first-run",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the learner's workspace out of reach before any test module is imported."""
    home = tempfile.mkdtemp(prefix="mlops-course-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["MLOPS_COURSE_HOME"] = str(Path(home) / "workspace")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ[SESSION_VARIABLE] = Path(home).name
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that look at runs of notebooks last: these are made beside the others."""
    items.sort(key=lambda item: bool(notebook_runs_for(item)))


def notebook_runs_for(item: pytest.Item) -> list[tuple[str, Path]]:
    """Return the runs of notebooks that a test asks for by its fixtures."""
    from notebook_runs import KINDS_OF_RUN

    kinds = [kind for kind in KINDS_OF_RUN if kind in getattr(item, "fixturenames", ())]
    return [(kind, item.callspec.params["path"]) for kind in kinds]


def pytest_report_header() -> list[str]:
    """Say where stored outputs are compared less strictly than they are meant."""
    from stored import LAX, is_exact_here

    return [] if is_exact_here() else [LAX]


@pytest.fixture(scope="session")
def on_ci() -> bool:
    """Whether a machine runs the tests, where nothing may be skipped for lack of a tool."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(autouse=True)
def no_experiment_for_later_processes() -> Iterator[None]:
    """Forget the experiment that MLflow puts into the environment when a lesson is opened."""
    yield
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture(autouse=True)
def same_place_for_later_tests() -> Iterator[None]:
    """Fail a test that leaves another workspace or another working directory behind."""
    from mlops_course.core.workspace import HOME_VARIABLE

    home = os.environ.get(HOME_VARIABLE)
    folder = Path.cwd()
    yield
    left_home = os.environ.get(HOME_VARIABLE)
    left_folder = Path.cwd()
    if home is not None:
        os.environ[HOME_VARIABLE] = home
    os.chdir(folder)
    assert left_home == home, f"the test left {HOME_VARIABLE}={left_home}, which was {home}"
    assert left_folder == folder, f"the test left the folder {left_folder}, which was {folder}"


@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail the session if a scoring service that a test started outlives it."""
    from processes import wait_for_no_scorers

    yield
    left = wait_for_no_scorers(SESSION_VARIABLE, os.environ[SESSION_VARIABLE], SECONDS_TO_END)
    assert not left, f"scoring services still run after the tests: {left}"


@pytest.fixture(scope="session")
def notebook_runs(template_cache: Path):
    """Return the runs of notebooks, made beside the tests."""
    from notebook_runs import Runs

    made = Runs(template_cache)
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def begun_notebook_runs(request: pytest.FixtureRequest, no_process_left_behind) -> None:
    """Begin all runs of notebooks that the selected tests will ask for."""
    wanted = [run for item in request.session.items for run in notebook_runs_for(item)]
    if wanted:
        request.getfixturevalue("notebook_runs").begin(wanted)


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory):
    """One workspace for tests that only read: flights cached, an empty store made."""
    from mlops_course.core.workspace import open_workspace
    from mlops_course.data.flights import load_flights
    from mlops_course.training import tracking

    workspace = open_workspace(tmp_path_factory.mktemp("shared") / "workspace")
    tracking.connect(workspace)
    load_flights(workspace)
    return workspace


@pytest.fixture(scope="session")
def real_year(shared_workspace):
    """Labelled flights from April on, with what a model of winter, trained once, says of each."""
    from mlops_course.data.flights import labelled, load_flights
    from mlops_course.training.trainer import TrainingConfig, train

    model = train(load_flights(shared_workspace, last="2013-03-17"), TrainingConfig()).model
    flights = labelled(load_flights(shared_workspace, first="2013-04-01"))
    return flights.assign(probability=model.probability(flights))


@pytest.fixture(scope="session")
def played_shift(shared_workspace):
    """The example shift file's four weeks, played by somebody skilled, with what it came to."""
    from mlops_course.oncall.scoring import baselines, rehearse, score
    from mlops_course.oncall.shift_files import read_shift
    from mlops_course.shifts.worlds import open_world

    shift = read_shift(Path(__file__).parents[1] / "notebooks" / "10_shift.toml")
    world = open_world(shared_workspace, shift)
    others = baselines(shift, world)
    drill = rehearse(shift, world, "skilled")
    return SimpleNamespace(
        shift=shift, world=world, others=others, drill=drill, score=score(drill, others)
    )


@pytest.fixture(scope="session")
def debriefed_shift(played_shift):
    """The debrief of that shift, and what its drill knew before."""
    from mlops_course.debriefing.debrief import debrief

    drill = played_shift.drill
    before = (list(drill.steps), list(drill.log), list(drill.orders), drill.minutes)
    return SimpleNamespace(found=debrief(drill, played_shift.score), before=before)


@pytest.fixture(scope="session")
def template_cache(shared_workspace) -> Path:
    """Return a cache folder to copy, so that no test waits for what another has made."""
    return shared_workspace.cache


@pytest.fixture(scope="session")
def promtool(on_ci: bool) -> str:
    """Return Prometheus' checker; without one, skip on a laptop and fail where machines test."""
    program = shutil.which("promtool")
    if program is None:
        reason = "no promtool found; it comes with the system's package prometheus"
        (pytest.fail if on_ci else pytest.skip)(reason)
    return str(program)


@pytest.fixture(scope="module")
def browser(on_ci: bool):
    """A headless Chromium; without one, skip on a laptop and fail where machines test."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as play:
        if program is None and not Path(play.chromium.executable_path).exists():
            reason = "no Chromium found; install it with the system's packages, then test again"
            (pytest.fail if on_ci else pytest.skip)(reason)
        started = play.chromium.launch(executable_path=program, args=list(BROWSER_OPTIONS))
        yield started
        started.close()


@pytest.fixture
def workspace(tmp_path: Path, template_cache: Path):
    """Return a fresh workspace for one test, its cache filled."""
    from mlops_course.core.workspace import open_workspace

    fresh = open_workspace(tmp_path / "workspace")
    shutil.copytree(template_cache, fresh.cache, dirs_exist_ok=True)
    return fresh


@pytest.fixture(scope="session")
def service():
    """Return a started scoring service, one for all tests; a killed one starts anew."""
    from mlops_course.serving.service import Service

    with Service() as running:
        yield running


@pytest.fixture
def other() -> tuple[list[str], str]:
    """Return the command of a server that is not ours, and where it will listen."""
    from mlops_course.course.servers import free_port

    port = free_port()
    command = [sys.executable, str(TOOLS / "echo_parent.py"), str(port)]
    return command, f"http://127.0.0.1:{port}"
