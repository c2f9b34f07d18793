import numpy as np
import pytest
from river import drift

from mlops_course.core.errors import ParameterError
from mlops_course.stats.page_hinkley import PageHinkley


def alarms(detector, values):
    """Return the numbers of the values on which a detector alarms."""
    found = []
    for number, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
    return found


def streams():
    """Yield streams of errors and of numbers, calm and changed."""
    generator = np.random.default_rng(0)
    rates = np.repeat([0.1, 0.3, 0.05, 0.6], 3_000)
    yield (generator.random(len(rates)) < rates).astype(float)
    yield (generator.random(20_000) < 0.1).astype(float)
    yield generator.normal(np.repeat([5.0, 0.0, 30.0], 2_000), 3)


SETTINGS = [
    {},
    {"threshold": 10.0},
    {"threshold": 5.0, "delta": 0.05},
    {"threshold": 20.0, "alpha": 0.99},
    {"threshold": 2.0, "min_instances": 400},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("two_sided", [False, True])
def test_page_hinkley_when_streams_are_any_then_alarms_where_river_does(settings, two_sided):
    ours = dict(settings)
    ours["forgetting"] = ours.pop("alpha", 0.9999)
    ours["min_values"] = ours.pop("min_instances", 30)
    seen = 0
    for stream in streams():
        theirs = drift.PageHinkley(**settings, mode="both" if two_sided else "up")
        expected = alarms(theirs, stream)
        assert alarms(PageHinkley(**ours, two_sided=two_sided), stream) == expected
        seen += len(expected)
    assert seen > 2


def test_page_hinkley_when_the_rise_is_worked_by_hand_then_alarms_there():
    # Means so far 0, 0, 1, 1.5; above them 0, 0, 2, 1.5; the sum 0, 0, 2, 3.5.
    detector = PageHinkley(threshold=3.4, delta=0.0, forgetting=1.0, min_values=1)
    assert alarms(detector, [0, 0, 3, 3]) == [3]
    detector = PageHinkley(threshold=3.6, delta=0.0, forgetting=1.0, min_values=1)
    assert alarms(detector, [0, 0, 3, 3]) == []


def test_page_hinkley_when_the_level_of_the_stream_is_another_then_alarms_where_it_did():
    calm = np.random.default_rng(1).normal(size=3_000)
    stream = calm + np.repeat([0.0, 0.5, 1.0], 1_000)
    expected = alarms(PageHinkley(threshold=40), stream)
    assert expected
    assert alarms(PageHinkley(threshold=40), stream + 1_000) == expected


def test_page_hinkley_when_a_value_is_missing_then_says_so():
    with pytest.raises(ParameterError, match="without a label"):
        PageHinkley().update(np.nan)
