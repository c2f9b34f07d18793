import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.stats.cusum import Cusum


def alarms(detector, values):
    """Return the numbers of the values on which a detector alarms."""
    found = []
    for number, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
    return found


def test_cusum_when_worked_by_hand_then_has_the_same_sums_and_alarms():
    detector = Cusum(target=10, deviation=2, allowance=0.5, limit=2)
    levels = []
    for value in (11, 13, 9, 14, 14, 10, 13):
        detector.update(value)
        levels.append((detector.level, detector.drift_detected))
    assert levels == [
        *((0.0, False), (1.0, False), (0.0, False), (1.5, False), (3.0, True)),
        *((0.0, False), (1.0, False)),
    ]


def test_cusum_when_it_has_not_alarmed_then_its_level_is_the_rise_from_the_lowest_sum():
    values = np.random.default_rng(0).normal(size=2_000)
    detector = Cusum(target=0, deviation=1, limit=np.inf)
    levels = []
    for value in values:
        detector.update(value)
        levels.append(detector.level)
    sums = np.cumsum([0, *(values - 0.5)])
    assert levels == pytest.approx((sums - np.minimum.accumulate(sums))[1:], abs=1e-9)


def test_cusum_when_values_are_normal_then_alarms_as_rarely_as_stated():
    values = np.random.default_rng(2).normal(size=400_000)
    one_sided = len(alarms(Cusum(0, 1), values))
    assert len(values) / one_sided == pytest.approx(930, rel=0.15)
    two_sided = len(alarms(Cusum(0, 1, two_sided=True), values))
    assert len(values) / two_sided == pytest.approx(465, rel=0.15)


def test_cusum_when_the_mean_falls_then_only_a_two_sided_one_alarms():
    fallen = np.full(50, -2.0)
    assert alarms(Cusum(0, 1), fallen) == []
    assert alarms(Cusum(0, 1, two_sided=True), fallen)[0] == 3


def test_cusum_when_the_unit_changes_then_alarms_where_it_did():
    values = np.random.default_rng(2).normal(size=5_000)
    assert alarms(Cusum(32, 1.8), 1.8 * values + 32) == alarms(Cusum(0, 1), values)


def test_cusum_when_it_has_alarmed_then_begins_anew():
    generator = np.random.default_rng(3)
    first = generator.normal(2, 1, size=20)
    rest = generator.normal(size=3_000)
    seen = alarms(Cusum(0, 1), first)[0]
    after = np.concatenate([first[seen + 1 :], rest])
    whole = alarms(Cusum(0, 1), np.concatenate([first, rest]))
    assert [number - seen - 1 for number in whole[1:]] == alarms(Cusum(0, 1), after)


@pytest.mark.parametrize("deviation", [0.0, -1.0, np.nan])
def test_cusum_when_the_deviation_is_no_unit_then_says_so(deviation):
    with pytest.raises(ParameterError, match="above 0"):
        Cusum(0, deviation)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cusum_when_a_value_is_missing_then_says_so_and_keeps_its_sums(value):
    detector = Cusum(0, 1)
    detector.update(2.0)
    with pytest.raises(ParameterError, match="without a label"):
        detector.update(value)
    assert detector.level == 1.5
