"""What lesson 03 says of its tests beyond its own outputs, and its exercises' other answers."""

from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from executor import NOTEBOOKS

from mlops_course.course.exercises import check, find
from mlops_course.course.learner_tests import judge
from mlops_course.course.lessons import LEAVES

(PATH,) = NOTEBOOKS.glob("03_*.ipynb")


@pytest.fixture(scope="module")
def lesson(shared_workspace):
    """What the notebook defines: its cells that leave something, `case_of` and the changes."""
    names = {"lesson": SimpleNamespace(workspace=shared_workspace, record=ignore, close=ignore)}
    for cell in nbformat.read(PATH, as_version=4).cells:
        wanted = LEAVES in cell.metadata.get("tags", []) or "def case_of" in cell.source
        if cell.cell_type == "code" and (wanted or "def celsius" in cell.source):
            exec(cell.source, names)
    return SimpleNamespace(**names)


def ignore(*_):
    """Take what a lesson would record."""


def red_on(lesson, case):
    tests = [value for name, value in vars(lesson).items() if name.startswith("test_")]
    verdict = judge(case, *tests)
    return {check.name for check in verdict.checks if not check.passed}


def accuracy(lesson, model, rows):
    return lesson.is_right(model, rows).mean()


def test_tests_when_listed_then_are_those_that_exercise_03_1_knows(lesson):
    tests = {name for name in vars(lesson) if name.startswith("test_")}
    assert tests == {name for name in tests if f'"{name}"' in find("03.1").check}
    assert f"One test of the {len(tests)} " in find("03.1").check


def test_hour_when_one_more_then_the_one_test_told_is_red(lesson):
    shifted = lesson.flights.assign(hour=(lesson.flights["hour"] + 1) % 24)
    case = lesson.case_of(shifted)
    assert red_on(lesson, case) == {"test_training_equals_serving"}
    change = accuracy(lesson, case.model, case.holdout)
    change -= accuracy(lesson, lesson.clean.model, lesson.holdout)
    assert abs(change) < 0.001


def test_celsius_when_merged_then_moves_no_prediction_and_the_two_tests_told_are_red(lesson):
    case = lesson.case_of(lesson.celsius(lesson.flights))
    told = case.model.probability(case.holdout)
    assert (told == lesson.clean.model.probability(lesson.holdout)).all()
    assert red_on(lesson, case) == {"test_schema", "test_training_equals_serving"}


def test_known_pressure_when_merged_then_the_model_of_yesterday_gains_as_much(lesson):
    case = lesson.case_of(lesson.known_pressure(lesson.flights))
    before = accuracy(lesson, lesson.clean.model, lesson.holdout)
    same_model = accuracy(lesson, lesson.clean.model, case.holdout)
    assert f"{same_model:.2f}" == "0.92" and same_model - before > 0.005
    assert abs(accuracy(lesson, case.model, case.holdout) - same_model) < 0.001


def test_head_wind_when_merged_then_gains_a_point_on_the_same_flights(lesson):
    case = lesson.case_of(lesson.head_wind(lesson.flights))
    gain = accuracy(lesson, case.model, case.holdout)
    gain -= accuracy(lesson, lesson.clean.model, lesson.holdout)
    assert round(100 * gain) == 1 and len(case.holdout) == len(lesson.holdout)


def test_one_clock_when_planted_then_the_slice_test_alone_is_red_by_its_bound(lesson):
    class OneClock(lesson.DelayModel):
        def probability(self, rows):
            moved = rows["dep_delay"] + 20 * (rows["carrier"] == "MQ")
            return super().probability(rows.assign(dep_delay=moved))

    sound = lesson.clean.model
    case = lesson.clean._replace(model=OneClock(sound.estimator, sound.vocabulary))
    assert red_on(lesson, case) == {"test_no_slice_loses_to_the_rule"}
    (said,) = judge(case, lesson.test_no_slice_loses_to_the_rule).failures
    assert "('carrier', 'MQ'): at most -" in said


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        ((-0.0020, 0.0100), "green"),
        ((-0.0030, -0.0020), "green"),  # shown to lose, and shown to lose less than half a point
        ((-0.0080, 0.0100), "not judged"),
        ((-0.0080, 0.0000), "not judged"),
        ((-0.0080, -0.0010), "red"),
        ((-0.0080, -0.0070), "red"),
    ],
)
def test_rule_when_the_bounds_are_known_then_is_green_red_or_not_judged_as_told(
    lesson, monkeypatch, bounds, outcome
):
    test = lesson.test_not_worse_than_the_rule
    monkeypatch.setitem(test.__globals__, "bounds", lambda *_: bounds)
    try:
        test(lesson.clean)
        seen = "green"
    except AssertionError:
        seen = "red"
    except pytest.skip.Exception:
        seen = "not judged"
    assert seen == outcome


def test_missing_values_when_the_log_has_them_too_then_training_equals_serving(lesson):
    assert lesson.served["pressure"].isna().any()
    lesson.test_training_equals_serving(lesson.clean)


def by_name(case):
    pass


by_name.__name__ = "test_training_equals_serving"


@pytest.mark.parametrize(
    "answer",
    [
        "test_training_equals_serving",
        ["test_training_equals_serving"],
        frozenset({"test_training_equals_serving "}),
        {by_name},
        by_name,
    ],
)
def test_exercise_03_1_when_the_right_answer_has_another_shape_then_is_right(answer):
    assert check("03.1", answer).status == "right"


def leaves_one_out(model, flights):
    together = model.probability(flights)
    for place in range(len(flights)):
        others = [n for n in range(len(flights)) if n != place]
        assert abs(model.probability(flights.iloc[others]) - together[others]).max() < 1e-9


def in_halves(model, flights):
    together = model.probability(flights)
    half = len(flights) // 2
    parts = [*model.probability(flights.iloc[:half]), *model.probability(flights.iloc[half:])]
    assert parts == pytest.approx(list(together), abs=1e-9)


def with_a_stranger(model, flights):
    for place in range(len(flights)):
        stranger = flights.iloc[[place]].assign(dep_delay=500.0, hour=0.0, pressure=1_000.0)
        pair = model.probability(pd.concat([stranger, flights]))
        if abs(pair[1:] - model.probability(flights)).max() > 1e-9:
            pytest.fail("the stranger mattered")


@pytest.mark.parametrize("answer", [leaves_one_out, in_halves, with_a_stranger])
def test_exercise_03_2_when_the_company_changes_in_another_way_then_is_right(answer):
    feedback = check("03.2", answer)
    assert feedback.status == "right", feedback


def celsius(table):
    return table


def known_pressure(table):
    return table


def head_wind(table):
    return table


def test_exercise_03_3_when_the_keys_are_the_functions_then_is_right():
    answer = {celsius: "nothing", known_pressure: "other flights", head_wind: "leak"}
    assert check("03.3", answer).status == "right"


def test_exercise_03_3_when_words_differ_in_case_then_is_right():
    answer = {"celsius": "Nothing", "known_pressure": " other flights", "head_wind": "LEAK"}
    assert check("03.3", answer).status == "right"
