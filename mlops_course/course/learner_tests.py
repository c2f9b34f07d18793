"""Tests that a learner wrote in a notebook, run for real: under pytest, or as plain functions.

A test takes one argument, ``case``, and asserts something about it. What is tested is the
learner's own; what a pipeline checks before it trains or deploys is in `validation`.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import pandas as pd

from mlops_course.core.errors import ParameterError
from mlops_course.core.verdicts import Check, Verdict

Test = Callable[[Any], None]
# Nothing is shown, so pytest need not rewrite asserts or format tracebacks; and a kernel is no
# terminal, so pytest leaves its output streams and its crash handler alone.
OPTIONS = ["--import-mode=importlib", "--disable-plugin-autoload", "--assert=plain"]
OPTIONS += ["--capture=sys", "--tb=no", "--color=no", "-q", "-p", "no:cacheprovider"]
OPTIONS += ["-p", "no:faulthandler", "-p", "no:unraisableexception"]

# What a test names, helpers with a leading underscore included, it finds as in the notebook.
HEADER = """import __main__

globals().update({name: it for name, it in vars(__main__).items() if name[:2] != "__"})
"""


class Outcomes:
    """A pytest plugin: every test meets every case, and each outcome is kept."""

    def __init__(self, cases: Mapping[str, Any]) -> None:
        self.cases = cases
        self.met: dict[str, tuple[str, str]] = {}
        self.kept: dict[tuple[str, str], str] = {}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Give each test the argument ``case``, once for every case."""
        numbers = [f"@{number}@" for number in range(len(self.cases))]
        metafunc.parametrize("case", list(self.cases.values()), ids=numbers)

    def pytest_itemcollected(self, item: Any) -> None:
        """Note which test meets which case; pytest rewrites some names, and no number."""
        number = int(item.name.split("@")[1])
        self.met[item.nodeid] = item.originalname, list(self.cases)[number]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep ``passed``, ``failed`` or ``skipped``; of several outcomes, a failure."""
        met = self.met[report.nodeid]
        if (report.when == "call" or not report.passed) and self.kept.get(met) != "failed":
            self.kept[met] = report.outcome


def run_tests(*tests: Test, on: Mapping[str, Any]) -> pd.DataFrame:
    """Write the tests into a file, run pytest on it, and return the outcomes.

    Parameters
    ----------
    tests
        Functions defined in the notebook. Whatever else they name, the file takes from there.
    on
        The cases by name.

    Returns
    -------
    One row a test and one column a case, in the order given: ``passed``, ``failed`` or
    ``skipped``. Why a test fails on a case, `judge` says.

    Raises
    ------
    ParameterError
        If one of them is no test, or pytest could not run them at all.
    """
    import pytest

    if not tests or not isinstance(on, Mapping) or not on:
        raise ParameterError(
            f"run_tests was given {len(tests)} tests, and {on!r:.40} as cases.",
            "It takes at least one test, and a dictionary with at least one case.",
            "Call it as run_tests(test_one, test_two, on={'clean': clean}).",
        )
    outcomes = Outcomes(on)
    said = StringIO()
    sources = "\n\n".join(_source(test) for test in tests)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # Python keeps a module by its name, and a test that was edited must not meet the old one.
        file = Path(folder) / f"test_{Path(folder).name}.py"
        file.write_text(f"{HEADER}\n\n{sources}", encoding="utf-8")
        # The notebook's other tests are in the file's names, too: each is asked for by name.
        wanted = [f"{file}::{test.__name__}" for test in tests]
        with redirect_stdout(said):
            status = pytest.main([*wanted, "--rootdir", folder, *OPTIONS], plugins=[outcomes])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ParameterError(
            f"pytest could not run these tests: {said.getvalue().strip()[-400:]}",
            "Each test is a function of one argument named case, defined in the notebook.",
            "Correct the test, run its cell, and run this cell again.",
        )
    table = pd.Series(outcomes.kept, dtype="str").unstack()
    return table.reindex(index=[test.__name__ for test in tests], columns=list(on))


def _source(test: Test) -> str:
    """Return the code of a test, or say what is none."""
    name = getattr(test, "__name__", type(test).__name__)
    if inspect.isfunction(test) and name.startswith("test_"):
        with suppress(OSError):
            if "case" in inspect.signature(test).parameters:
                return dedent(inspect.getsource(test))
    raise ParameterError(
        f"{name} is not a test.",
        "A test is a function whose name begins with test_ and whose argument is named case, "
        "defined in a cell of the notebook.",
        "Correct it, or give what is no test another name.",
    )


def judge(case: Any, *tests: Test) -> Verdict:
    """Call each test on one case, and return the outcomes as a verdict."""
    names = ", ".join(test.__name__ for test in tests)
    return Verdict(names, tuple(_check(test, case) for test in tests))


def _check(test: Test, case: Any) -> Check:
    import pytest

    try:
        test(case)
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        return Check(test.__name__, False, f"{test.__name__}: {type(error).__name__}: {error}")
    return Check(test.__name__, True, f"{test.__name__} passed.")
