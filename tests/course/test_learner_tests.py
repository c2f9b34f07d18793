"""A learner's tests: run by pytest over many cases, or one by one as evidence."""

import inspect
import sys
from datetime import date
from pathlib import Path

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.course.fixtures import saved
from mlops_course.course.learner_tests import judge, run_tests
from mlops_course.data.flights import load_flights
from mlops_course.serving.app import Scorer
from mlops_course.serving.metrics import Metrics
from mlops_course.training.trainer import TrainingConfig, train

SOURCES = {
    "test_small": "def test_small(case):\n    assert case < 3\n",
    "test_even": "def test_even(case):\n    assert case % 2 == 0\n",
    "test_raises": "def test_raises(case):\n    raise KeyError(case)\n",
    "test_below": "def test_below(case):\n    assert case < limit\n",
    "test_marked": "import pytest\n@pytest.mark.skip\ndef test_marked(case):\n    pass\n",
    "test_several": "import pytest\n@pytest.mark.parametrize('n', [3, 1])\n"
    "def test_several(case, n):\n    assert case > n\n",
    "test_helped": "def test_helped(case):\n    assert case < _limit\n",
    "test_broken": "def test_broken(case)\n    pass\n",
}


@pytest.fixture
def written(monkeypatch):
    """Give a test as if its cell had just been run."""

    def by_name(name):
        names = {}
        exec(SOURCES[name].replace("test_broken(case)\n", "test_broken(case):\n"), names)
        return names[name]

    monkeypatch.setattr(inspect, "getsource", lambda test: SOURCES[test.__name__])
    return by_name


def test_run_when_tests_meet_cases_then_every_outcome_is_real_and_in_order(written):
    tests = [written(name) for name in ("test_small", "test_even", "test_raises")]
    table = run_tests(*tests, on={"two": 2, "four": 4, "one": 1})
    assert list(table.index) == ["test_small", "test_even", "test_raises"]
    assert list(table.columns) == ["two", "four", "one"]
    assert table.loc["test_small"].tolist() == ["passed", "failed", "passed"]
    assert table.loc["test_even"].tolist() == ["passed", "passed", "failed"]
    assert set(table.loc["test_raises"]) == {"failed"}


def test_run_when_called_then_prints_nothing(written, capfd):
    run_tests(written("test_small"), on={"four": 4})
    assert capfd.readouterr() == ("", "")


def test_run_when_a_test_names_what_the_notebook_defined_then_finds_it(written, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "limit", 3, raising=False)
    table = run_tests(written("test_below"), on={"two": 2, "four": 4})
    assert table.iloc[0].tolist() == ["passed", "failed"]


def test_run_when_the_file_cannot_be_read_then_says_what_a_test_is(written):
    with pytest.raises(ParameterError, match="could not run these tests"):
        run_tests(written("test_broken"), on={"two": 2})


def test_judge_when_a_test_fails_or_raises_then_the_verdict_does_not_pass(written):
    tests = [written(name) for name in ("test_small", "test_even", "test_raises")]
    assert judge(2, *tests[:2]).passed
    verdict = judge(4, *tests)
    assert [check.passed for check in verdict.checks] == [False, True, False]
    assert verdict.subject == "test_small, test_even, test_raises"
    assert "KeyError" in verdict.failures[1]


def test_saved_when_open_then_a_service_can_load_it_and_afterwards_it_is_gone(workspace):
    january = load_flights(workspace, date(2013, 1, 1), date(2013, 1, 3))
    model = train(january, TrainingConfig(max_iter=2)).model
    with saved(model) as path:
        scorer = Scorer(Metrics())
        scorer.load(path, "1")
        assert scorer.loaded is not None and scorer.loaded.version == "1"
    assert not path.exists()


@pytest.mark.parametrize("name", ["kälte", "a]", "x::y", "", 5])
def test_run_when_a_case_has_any_name_then_its_failure_is_not_lost(written, name):
    table = run_tests(written("test_even"), on={"two": 2, name: 3})
    assert table.loc["test_even", name] == "failed" and table.loc["test_even", "two"] == "passed"


def test_run_when_a_test_is_skipped_or_has_several_outcomes_then_none_is_lost(written):
    tests = [written(name) for name in ("test_marked", "test_several")]
    table = run_tests(*tests, on={"two": 2})
    assert table["two"].tolist() == ["skipped", "failed"]


def test_run_when_a_test_uses_a_helper_with_an_underscore_then_finds_it(written, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "_limit", 3, raising=False)
    assert run_tests(written("test_helped"), on={"two": 2}).iloc[0].tolist() == ["passed"]


@pytest.mark.parametrize("test", [0.2, [], print, lambda case: None, SOURCES.get, Path])
def test_run_when_given_what_is_no_test_then_says_what_a_test_is(test):
    with pytest.raises(ParameterError, match=r"is not a test.*begins with test_"):
        run_tests(test, on={"two": 2})


def test_run_when_a_test_does_not_take_a_case_or_has_no_source_then_names_it(written, monkeypatch):
    names = {}
    exec("def test_table(table): pass\ndef test_lost(case): pass", names)
    with pytest.raises(ParameterError, match=r"test_table is not a test.*named case"):
        run_tests(names["test_table"], on={"two": 2})
    monkeypatch.undo()
    with pytest.raises(ParameterError, match=r"test_lost is not a test.*in a cell"):
        run_tests(names["test_lost"], on={"two": 2})


@pytest.mark.parametrize("cases", [{}, [1, 2], 7, None])
def test_run_when_there_is_no_test_or_no_case_then_says_how_to_call_it(written, cases):
    with pytest.raises(ParameterError, match="given 0 tests"):
        run_tests(on={"two": 2})
    with pytest.raises(ParameterError, match="a dictionary with at least one case"):
        run_tests(written("test_even"), on=cases)


def test_judge_when_a_test_calls_pytests_own_fail_or_skip_then_the_verdict_does_not_pass():
    def test_fails(case):
        pytest.fail("seen")

    def test_skips(case):
        pytest.skip("not here")

    assert [check.passed for check in judge(1, test_fails, test_skips).checks] == [False, False]
