"""Each bad release is bad in the way that it promises, and in no other."""

import time
from datetime import date

import numpy as np
import pytest

from mlops_course.data.flights import labelled, load_flights
from mlops_course.training.bad_releases import BAD_RELEASES
from mlops_course.training.evaluation import right_calls
from mlops_course.training.model import called_late
from mlops_course.training.trainer import train


@pytest.fixture(scope="module")
def winter(shared_workspace):
    return load_flights(shared_workspace, last="2013-03-17")


@pytest.fixture(scope="module")
def champion(winter):
    return train(winter)


@pytest.fixture(scope="module")
def made(champion, winter):
    return {name: make(champion, winter) for name, make in BAD_RELEASES.items()}


@pytest.fixture(scope="module")
def autumn(shared_workspace):
    return labelled(load_flights(shared_workspace, date(2013, 9, 2), date(2013, 10, 27)))


def accuracy(result, flights):
    return right_calls(result.model.probability(flights), flights["late"].to_numpy()).mean()


def quickest(result, flights):
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        result.model.probability(flights)
        times.append(time.perf_counter() - begun)
    return min(times)


def test_releases_when_made_then_none_is_the_champion_and_each_is_the_same_again(
    champion, winter, made
):
    digests = {result.digest for result in made.values()}
    assert len(digests) == len(BAD_RELEASES) and champion.digest not in digests
    for name in ("worse", "stuck"):
        assert BAD_RELEASES[name](champion, winter).digest == made[name].digest


def test_worse_when_it_serves_in_autumn_then_calls_half_as_many_again_late_and_loses_points(
    champion, made, autumn
):
    lost = accuracy(champion, autumn) - accuracy(made["worse"], autumn)
    called = [
        called_late(result.model.probability(autumn)).mean() for result in (champion, made["worse"])
    ]
    assert 0.015 < lost < 0.05
    assert called[1] > 1.3 * called[0]


def test_stuck_when_asked_then_calls_no_flight_late_and_all_probabilities_are_as_good_as_one(
    made, autumn
):
    probability = made["stuck"].model.probability(autumn)
    assert not called_late(probability).any() and np.ptp(probability) < 1e-5
    assert accuracy(made["stuck"], autumn) == pytest.approx(1 - autumn["late"].mean())


def test_slow_when_asked_then_answers_as_the_champion_at_five_times_the_time_or_more(
    champion, made, autumn
):
    few = autumn.iloc[:900]  # a day of flights
    slow = made["slow"]
    np.testing.assert_allclose(
        slow.model.probability(few), champion.model.probability(few), rtol=0, atol=1e-9
    )
    assert quickest(slow, few) > 5 * quickest(champion, few)


def test_slow_when_made_then_the_champion_is_left_as_it_was(champion, winter, made):
    assert train(winter).digest == champion.digest
    assert quickest(champion, winter.iloc[:900]) * 5 < quickest(made["slow"], winter.iloc[:900])
