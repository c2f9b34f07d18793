"""The file of what was done on a shift: read as it was written, and every fault in a sentence."""

import json
from datetime import date

import pytest

from mlops_course.core.errors import WorkspaceError
from mlops_course.oncall.records import name_of, read_record, record_text, write_record
from mlops_course.oncall.state import Step
from mlops_course.shifts.plans import Shift, draw_shift

SHIFT = draw_shift(3, "easy")
STEPS = [
    Step(SHIFT.first, 0, "overview"),
    Step(SHIFT.first, 5, "fix-feed", {"cause": "hours", "sure": 0.9}),
]


def test_record_when_written_then_is_read_as_it_was(tmp_path):
    path = tmp_path / "oncall" / "record.json"
    write_record(path, SHIFT, STEPS)
    assert read_record(path, SHIFT) == STEPS
    assert list(path.parent.iterdir()) == [path]


def test_record_when_there_is_none_then_nothing_was_done(tmp_path):
    assert read_record(tmp_path / "record.json", SHIFT) == []


def test_record_when_read_by_a_person_then_has_a_line_a_step_and_no_truth():
    text = record_text(SHIFT, STEPS)
    assert len(text.splitlines()) == len(STEPS) + 3
    assert json.loads(text)["shift"] == {"seed": 3, "level": "easy"}
    assert not any(one.incident.name in record_text(SHIFT, []) for one in SHIFT.planned)


def test_name_when_the_shift_is_somebodys_own_then_is_another_than_that_of_a_drawn_one():
    own = Shift(3, SHIFT.first, SHIFT.weeks, name="easy, seed 3")
    assert name_of(SHIFT) == "easy-3.json"
    assert name_of(own).startswith("file-")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "format, digest or steps are missing"),
        ('{"format": 2}', "has format 2"),
        (record_text(draw_shift(4, "easy"), []), "of another shift"),
        (record_text(SHIFT, STEPS).replace('"minute": 5', '"minute": "five"'), "step 2"),
        (record_text(SHIFT, STEPS).replace(str(date(2013, 4, 1)), "2013-04-31"), "step 1"),
    ],
)
def test_record_when_it_was_edited_then_the_sentence_says_where_and_what_next(tmp_path, text, said):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(WorkspaceError, match=said) as refused:
        read_record(path, SHIFT)
    assert str(path) in refused.value.happened and "fresh=True" in refused.value.remedy


def test_record_when_its_folder_cannot_be_written_then_says_so(tmp_path):
    (tmp_path / "oncall").write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_record(tmp_path / "oncall" / "record.json", SHIFT, STEPS)
