from datetime import date

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.data.incidents import INCIDENTS
from mlops_course.shifts.plans import APART, LEVELS, Planned, Shift, draw_shift, struck
from mlops_course.shifts.prices import ACTIONS

SEEDS = range(60)


@pytest.mark.parametrize("level", LEVELS)
def test_shift_when_drawn_then_it_lies_in_the_year_and_holds_one_of_each_group(level):
    for seed in SEEDS:
        shift = draw_shift(seed, level)
        names = [one.incident.name for one in shift.planned]
        assert len(set(names)) == len(LEVELS[level].deck)
        assert all(any(name in group for name in names) for group in LEVELS[level].deck)
        assert shift.weeks == LEVELS[level].weeks


@pytest.mark.parametrize("level", LEVELS)
def test_shift_when_drawn_then_it_holds_something_on_which_acting_is_wrong(level):
    for seed in SEEDS:
        planned = draw_shift(seed, level).planned
        assert any(one.incident.responses == ("dismiss",) for one in planned)


def test_shift_when_drawn_then_what_undoes_each_other_never_meets():
    for seed in SEEDS:
        for level in LEVELS:
            names = {one.incident.name for one in draw_shift(seed, level).planned}
            assert not any(names & set(APART.get(name, ())) for name in names)


def test_shift_when_seeds_differ_then_all_incidents_come_up():
    drawn = {one.incident.name for seed in SEEDS for one in draw_shift(seed, "hard").planned}
    drawn |= {one.incident.name for seed in SEEDS for one in draw_shift(seed).planned}
    assert drawn == set(INCIDENTS) - {"none"}


def test_replies_when_hard_then_more_of_them_are_wrong():
    def wrong(level):
        replies = [one.reply.honest for seed in SEEDS for one in draw_shift(seed, level).planned]
        return replies.count(False) / len(replies)

    assert wrong("easy") == 0 < wrong("normal") < wrong("hard")


def test_incident_when_it_strikes_then_it_ends_by_itself_or_with_the_shift():
    end = date(2013, 11, 4)
    storm = struck("storm", date(2013, 9, 10), end)
    assert (storm.first, storm.last) == (date(2013, 9, 10), date(2013, 9, 12))
    assert struck("padding", date(2013, 9, 10), end).last == date(2013, 11, 3)


@pytest.mark.parametrize(
    ("seed", "level"), [(-1, "easy"), (True, "easy"), ("3", "easy"), (2**32, "easy"), (1, "mild")]
)
def test_shift_when_seed_or_level_is_none_then_a_sentence_says_what_is_allowed(seed, level):
    with pytest.raises(ParameterError, match=r"4294967295|levels are easy, normal, hard"):
        draw_shift(seed, level)


@pytest.mark.parametrize(
    ("first", "weeks"),
    [(date(2013, 4, 2), 4), (date(2013, 3, 25), 4), (date(2013, 12, 16), 4), (date(2013, 5, 6), 0)],
)
def test_shift_when_there_are_no_such_weeks_then_it_is_refused(first, weeks):
    with pytest.raises(ParameterError, match="Monday"):
        Shift(1, first, weeks)


def test_shift_when_something_strikes_outside_then_it_is_refused():
    late = Planned(struck("storm", date(2013, 12, 1), date(2013, 12, 30)))
    with pytest.raises(ParameterError, match="2013-12-01"):
        Shift(1, date(2013, 9, 2), 8, (late,))


def test_responses_when_an_incident_names_them_then_they_are_actions():
    for incident in INCIDENTS.values():
        assert incident.responses
        assert set(incident.responses) <= set(ACTIONS)
