"""The flights that are followed: what is said of them, and what is not before the run is over."""

import pytest
from handmade import example, silent_week, started, week

from mlops_course.data.features import WEATHER
from mlops_course.drawing import flights
from mlops_course.pipeline.events import RunFinished
from mlops_course.pipeline.state import fold


def shown(one, *more) -> str:
    return str(flights.render(fold([*started(), week(1, 0.95, examples=(one,)), *more])))


def test_flight_when_shown_then_can_be_followed_from_the_feed_to_its_label():
    told = shown(example())
    for words in (
        "UA, EWR to IAH, Tue 24 Sep",
        "dep_delay 35",
        "UA as 11",
        "95.0% late: called <b>late</b>",
        "× Wrong</b>: on time, 4 min before schedule.",
    ):
        assert words in told


def test_flight_when_the_run_is_not_over_then_its_truth_is_not_told():
    assert "In truth" not in shown(example())
    assert "dep_delay was 15, and the feed sent 35." in shown(example(), RunFinished(1.0))


def test_flight_when_nothing_struck_then_no_truth_is_told_apart():
    assert "In truth" not in shown(example(unharmed={}), RunFinished(1.0))


def test_flight_when_the_label_itself_changed_then_says_what_it_would_have_been():
    told = shown(example(unharmed={"arr_delay": -24.0}), RunFinished(1.0))
    assert "By the former schedule it would have arrived 24 min before schedule." in told


def test_flight_when_values_are_missing_then_says_what_the_model_gets_in_their_place():
    gaps = dict.fromkeys(WEATHER)
    unknown = example(
        delivered={**example().delivered, **gaps, "carrier": "ZZ"},
        encoded={**example().encoded, **gaps, "carrier": None},
    )
    told = shown(unknown)
    assert "ZZ, unknown to it, as missing" in told and "all weather missing" in told


def test_flight_when_it_has_no_label_then_says_so():
    told = shown(example(late=None, arr_delay=None, unharmed={}))
    assert "No label" in told and "from the feed to the label: no label has arrived" in told
    assert "1 of 1 called right" in shown(example(late=True))


def test_flights_when_none_was_answered_then_says_so_and_before_a_week_nothing():
    assert "once it is scored" in flights.render(fold(started()))
    silent = flights.render(fold([*started(), silent_week(1)]))
    assert "No flight was answered in week 1" in silent


@pytest.mark.parametrize("evil", ['"><b/onclick=1>'])
def test_flight_when_a_value_holds_markup_then_says_it_and_does_not_obey_it(evil):
    told = shown(example(delivered={**example().delivered, "carrier": evil}), RunFinished(1.0))
    assert evil not in told and "onclick=1" in told
