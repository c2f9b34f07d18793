import json
from dataclasses import replace

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.oncall.engine import Engine
from mlops_course.oncall.results import (
    begun,
    compare,
    read_result,
    recompute,
    record_of,
    write_record,
    write_result,
)
from mlops_course.oncall.scoring import score
from mlops_course.shifts.plans import Planned, draw_shift, struck
from mlops_course.shifts.systems import Rehearsed


@pytest.fixture
def file(played_shift, tmp_path):
    path = tmp_path / "ada.json"
    write_result(path, played_shift.drill, played_shift.score, "Ada")
    return path


def edited(file, change):
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")
    return file


def again(file, played_shift):
    return recompute(read_result(file), played_shift.world, played_shift.others)


def test_result_when_counted_anew_then_is_the_same_to_the_last_digit(file, played_shift):
    found = again(file, played_shift)
    assert found.faults == ()
    assert found.score.harm == played_shift.score.harm
    assert found.score.outcomes == played_shift.score.outcomes
    assert found.result.who == "Ada"


def test_score_when_edited_then_it_is_named(file, played_shift):
    def lower(record):
        record["score"]["harm"] -= 1

    (fault,) = again(edited(file, lower), played_shift).faults
    harm = played_shift.score.harm.total
    assert f"The file says harm {harm - 1}, and its steps come to {harm}" in fault


def test_step_when_moved_or_dropped_then_it_is_named(file, played_shift):
    def drop(record):
        del record["steps"][20]

    found = again(edited(file, drop), played_shift)
    assert found.score is None
    assert "cannot have been played" in found.faults[0]


def test_step_when_another_was_put_in_its_place_then_the_score_tells(file, played_shift):
    def dismiss(record):
        repair = next(step for step in record["steps"] if step["name"] == "fix-feed")
        repair["name"] = "revert-desk"

    found = again(edited(file, dismiss), played_shift)
    assert "its steps come to" in found.faults[0]


def test_result_when_cut_short_then_is_no_result(file, played_shift):
    def cut(record):
        record["steps"] = record["steps"][:12]

    found = again(edited(file, cut), played_shift)
    assert "was not played to its end" in found.faults[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "It is no JSON"),
        ("[]", "It holds no object"),
        ('{"steps": 3}', "steps a list"),
        ('{"steps": []}', "shift is"),
        ('{"steps": [{"day": "2013-02-30"}], "shift": {"seed": 1, "level": "easy"}}', "Step 1"),
        ('{"steps": [], "shift": {"seed": -1, "level": "easy"}}', "The seed is -1"),
        ('{"steps": [], "shift": {"file": "seed = 1"}}', "weeks is missing"),
    ],
)
def test_file_when_it_is_none_then_says_what_is_wrong(tmp_path, text, why):
    file = tmp_path / "odd.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=why):
        read_result(file)


def test_results_when_compared_then_least_harm_is_named(file, played_shift, shared_workspace):
    other = file.with_name("bob.json")
    bob = played_shift.others["rollback"]
    write_result(other, bob, score(bob, played_shift.others), "Bob")
    found = compare([file, other], shared_workspace)
    assert [row["who"] for row in found.rows] == ["Ada", "Bob"]
    assert found.rows[0]["harm"] == played_shift.score.harm.total < found.rows[1]["harm"]
    assert found.sentence.startswith("Ada (ada.json) did least harm")
    assert found.faults == ()


def test_results_when_of_different_shifts_then_are_not_compared(file, shared_workspace, tmp_path):
    other = tmp_path / "other.json"
    write_record(other, {"shift": {"seed": 1, "level": "easy"}, "steps": []})
    with pytest.raises(ParameterError, match="of another shift"):
        compare([file, other], shared_workspace)
    with pytest.raises(ParameterError, match="two files"):
        compare([file], shared_workspace)


def test_drawn_shift_when_recorded_then_seed_and_level_are_all_that_is_said(played_shift):
    drill = replace(played_shift.drill, shift=draw_shift(3, "easy"), steps=[])
    assert record_of(drill)["shift"] == {"seed": 3, "level": "easy"}


def test_injection_when_replayed_then_strikes_again_and_the_shift_began_without_it(played_shift):
    engine = Engine(played_shift.shift, played_shift.world, Rehearsed())
    engine.next_day()
    day = played_shift.shift.first
    late = Planned(struck("clock", day.replace(day=4), played_shift.shift.last))
    engine.inject(late)
    for _ in range(4):
        engine.next_day()
    assert begun(engine.drill) == played_shift.shift
    again = Engine(played_shift.shift, played_shift.world, Rehearsed())
    list(again.replay(engine.drill.steps))
    assert again.drill.present(again.drill.today) == [late]
    assert again.drill.days == engine.drill.days
    assert again.drill.days[-1] != played_shift.others["nothing"].days[4]
    with pytest.raises(ParameterError, match="cannot strike"):
        engine.inject(late)
