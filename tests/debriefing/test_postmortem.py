import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.debriefing.postmortem import (
    ACTIONS,
    ASKED,
    SECTIONS,
    export,
    missing,
    template,
)


@pytest.fixture(scope="module")
def text(played_shift, debriefed_shift):
    found = debriefed_shift.found
    return template(found, found.chapters[0], played_shift.drill)


def filled(text):
    for note in ASKED.values():
        text = text.replace(f"<!-- {note} -->", "The feed changed its unit without notice.")
    return text.replace("|  |  |  |", "| Test the unit | feed team | 2013-09-30 |", 1)


def test_template_when_made_then_has_timeline_and_impact_and_asks_for_the_rest(text, played_shift):
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert "- 2013-07-08 it began." in text
    assert "Have the feed repaired" in text and "2013-07-14 the system was as it should" in text
    days = [day for day in played_shift.drill.days if "2013-07-08" <= str(day.day) < "2013-07-14"]
    assert f"{sum(day.wrong for day in days):,} flights were called wrong" in text


def test_template_when_nothing_was_filled_in_then_all_of_it_is_missing(text):
    found = missing(text)
    assert [sentence.partition(":")[0] for sentence in found] == [*ASKED, ACTIONS]


def test_post_mortem_when_filled_in_then_nothing_is_missing(text):
    assert missing(filled(text)) == []


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("| Test the unit |  | 2013-09-30 |", "Test the unit has no owner"),
        ("| Test the unit | feed team | soon |", "Test the unit has no date"),
        ("| Test the unit | feed team | 2013-02-30 |", "Test the unit has no date"),
        ("|  | feed team | 2013-09-30 |", "row 1 does not say what"),
        ("| Test the unit |", "Test the unit has no owner"),
    ],
)
def test_action_when_it_lacks_something_then_it_is_named(text, row, sentence):
    given = filled(text).replace("| Test the unit | feed team | 2013-09-30 |", row)
    assert any(sentence in one for one in missing(given))


def test_heading_when_deleted_then_it_is_asked_for(text):
    assert missing(filled(text).replace("## Impact", "")) == [
        "Impact: the heading is gone; write ## Impact."
    ]


def test_export_when_a_file_is_there_then_nobodys_words_are_lost(text, tmp_path):
    path = export(text, tmp_path / "post-mortem.md")
    assert path.read_text(encoding="utf-8") == text
    with pytest.raises(ParameterError, match="is there already"):
        export("", path)
    with pytest.raises(ParameterError, match="cannot be written"):
        export(text, tmp_path / "none" / "a.md")
