"""The end of a shift: harm by part beside that of others, and the truth of each incident."""

import pytest

from mlops_course.console import ending
from mlops_course.oncall.players import BASELINES
from mlops_course.oncall.scoring import rehearse, score


@pytest.fixture(scope="module")
def oracle(shift, world):
    return rehearse(shift, world, "oracle")


@pytest.fixture(scope="module")
def scored(shift, world, oracle):
    left = rehearse(shift, world, "nothing")
    others = {name: oracle if name == "oracle" else left for name in BASELINES}
    return score(oracle, others)


def test_rows_when_a_shift_is_scored_then_the_parts_add_up_to_all(scored):
    head, *parts, total = ending.rows_of(scored)
    assert head[1:] == ["You", *ending.OTHERS.values()]
    for place in range(1, len(head)):
        added = sum(int(row[place].replace(",", "")) for row in parts)
        assert abs(added - int(total[place].replace(",", ""))) <= len(parts)


def test_ending_when_shown_then_tells_the_truth_of_each_incident(scored, oracle):
    shown = ending.ending(scored, oracle)
    for planned in oracle.shift.planned:
        assert planned.incident.title in shown and planned.incident.response in shown
    assert "You saved 100%" in shown and "Left alone, rightly." in shown
    assert "Resolved on" in shown and "You named it." in shown


def test_text_when_there_is_no_page_then_has_the_same_rows(scored):
    text = ending.text(scored)
    assert all(cell in text for row in ending.rows_of(scored) for cell in row)
