"""Tests that a learner wrote in a notebook, run for real: under pytest, or as plain functions.

A test takes one argument, ``case``, and asserts something about it. What is tested is the
learner's own; what a pipeline checks before it trains or deploys is in `validation`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from mlops_course.errors import ParameterError
from mlops_course.training import DelayModel
from mlops_course.validation import Check, Verdict

Test = Callable[[Any], None]
OPTIONS = ["--import-mode=importlib", "--disable-plugin-autoload", "--assert=plain"]
OPTIONS += ["--capture=sys", "--tb=no", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
OPTIONS += ["-p", "no:unraisableexception"]


class Outcomes:
    """A pytest plugin: every test meets every case, and each outcome is kept."""

    def __init__(self, cases: Mapping[str, Any]) -> None:
        self.cases = cases
        self.kept: dict[tuple[str, str], str] = {}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Give each test the argument ``case``, once for every case."""
        metafunc.parametrize("case", list(self.cases.values()), ids=list(self.cases))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep ``passed`` or ``failed``."""
        if report.when == "call" or report.failed:
            test, _, case = report.nodeid.partition("::")[2].rstrip("]").partition("[")
            self.kept[test, case] = report.outcome


def run_tests(*tests: Test, on: Mapping[str, Any]) -> pd.DataFrame:
    """Write the tests into a file, run pytest on it, and return the outcomes.

    Parameters
    ----------
    tests
        Functions defined in the notebook. Whatever else they name, the file imports from there.
    on
        The cases by name.

    Returns
    -------
    One row a test and one column a case, in the order given: ``passed`` or ``failed``.

    Raises
    ------
    ParameterError
        If pytest could not run the tests at all.
    """
    import pytest

    outcomes, said = Outcomes(on), StringIO()
    sources = "\n\n".join(inspect.getsource(test) for test in tests)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Python keeps a module by its name, and a test that was edited must not meet the old one.
        file = Path(folder) / f"test_{Path(folder).name}.py"
        file.write_text(f"from __main__ import *\n\n\n{sources}", encoding="utf-8")
        named = " or ".join(test.__name__ for test in tests)
        with redirect_stdout(said):
            status = pytest.main(
                [str(file), "-k", named, "--rootdir", folder, *OPTIONS], plugins=[outcomes]
            )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ParameterError(
            f"pytest could not run these tests: {said.getvalue().strip()[-400:]}",
            "Each test is a function of one argument named case, defined in the notebook.",
            "Correct the test, run its cell, and run this cell again.",
        )
    table = pd.Series(outcomes.kept, dtype="str").unstack()
    return table.reindex(index=[test.__name__ for test in tests], columns=list(on))


def judge(case: Any, *tests: Test) -> Verdict:
    """Call each test on one case, and return the outcomes as a verdict."""
    names = ", ".join(test.__name__ for test in tests)
    return Verdict(names, tuple(_check(test, case) for test in tests))


def _check(test: Test, case: Any) -> Check:
    try:
        test(case)
    except Exception as error:
        return Check(test.__name__, False, f"{test.__name__}: {type(error).__name__}: {error}")
    return Check(test.__name__, True, f"{test.__name__} passed.")


@contextmanager
def saved(model: DelayModel) -> Iterator[Path]:
    """Save a model as MLflow's files in a temporary folder that a service can load."""
    import mlflow

    from mlops_course.tracking import TRUSTED_TYPES

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model"
        mlflow.sklearn.save_model(
            model.estimator,
            path,
            pip_requirements=["scikit-learn"],
            serialization_format="skops",
            skops_trusted_types=TRUSTED_TYPES,
            metadata={"vocabulary": dict(model.vocabulary)},
        )
        yield path
