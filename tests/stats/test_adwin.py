import numpy as np
import pytest
from river import drift

from mlops_course.core.errors import ParameterError
from mlops_course.stats.adwin import Adwin


def followed(detector, values):
    """Return the numbers of the values on which a detector alarms, and its widths elsewhere."""
    found = []
    widths = []
    for number, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
        else:
            widths.append(detector.width)
    return found, widths


def streams():
    """Yield streams of errors and of numbers, calm and changed."""
    generator = np.random.default_rng(0)
    rates = np.repeat([0.1, 0.2, 0.05, 0.6], 2_000)
    yield (generator.random(len(rates)) < rates).astype(float)
    yield (generator.random(20_000) < 0.1).astype(float)
    yield generator.normal(np.repeat([5.0, 6.0, 30.0], 1_000), 3)
    for change in np.linspace(0.1, 2, 20):
        yield generator.normal(np.repeat([0.0, change, 0.0], [100, 700, 700]))


SETTINGS = [
    {},
    {"delta": 0.3},
    {"clock": 1},
    {"clock": 1, "delta": 0.9},
    {"min_window_length": 40},
    {"grace_period": 500, "delta": 0.5},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_adwin_when_streams_are_any_then_alarms_where_river_does_with_the_same_window(settings):
    ours = dict(settings)
    ours["min_part"] = ours.pop("min_window_length", 5)
    ours["min_values"] = ours.pop("grace_period", 10)
    seen = 0
    for stream in streams():
        expected = followed(drift.ADWIN(**settings), stream)
        assert followed(Adwin(**ours), stream) == expected
        seen += len(expected[0])
    assert seen > 3


def test_adwin_when_nothing_changes_then_its_window_holds_all():
    stream = np.random.default_rng(1).random(3_000) < 0.1
    detector = Adwin()
    assert followed(detector, stream)[0] == []
    assert detector.width == 3_000
    assert detector.mean == pytest.approx(stream.mean())


def test_adwin_when_it_has_alarmed_then_begins_anew():
    detector = Adwin()
    seen = followed(detector, np.repeat([0.0, 1.0], [64, 80]))[0]
    assert seen == [95]
    assert detector.width == 48
    assert detector.mean == 1.0


def test_adwin_when_a_value_is_missing_then_says_so():
    with pytest.raises(ParameterError, match="without a label"):
        Adwin().update(np.nan)
