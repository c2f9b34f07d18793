from datetime import date

import numpy as np
import pandas as pd
import pytest

from mlops_course.shifts.ledger import Charge, Statement, day_of, harm_of
from mlops_course.shifts.prices import CONFIDENCE, HOUR, SLOW, UNANSWERED
from mlops_course.shifts.systems import Served

DAY = date(2013, 9, 2)


def served(probability, late, version):
    flights = pd.DataFrame({"probability": probability, "late": late, "version": version})
    return Served(DAY, flights, pd.DataFrame())


def test_day_when_counted_then_wrong_missing_and_slow_answers_are_told_apart():
    probability = [0.9, 0.9, 0.1, np.nan, 0.2]
    late = [1.0, 0.0, 0.0, 1.0, np.nan]
    day = day_of(served(probability, late, ["3", "3", "3", "", "3"]), False, ["3"])
    assert (day.flights, day.wrong, day.unanswered, day.slow, day.version) == (5, 1, 1, 4, "3")
    assert day.harm == pytest.approx(1 + UNANSWERED + 4 * SLOW)


def test_statement_when_wrong_then_it_costs_more_the_surer_it_was():
    def cost(sure, right, cause="clock"):
        return Statement(DAY, "fix-feed", cause, sure, right).harm

    assert cost(0.99, False) > cost(0.7, False) > cost(0.5, False)
    assert cost(0.99, True) < cost(0.7, True) < cost(0.5, True)
    assert cost(1.0, True) == 0
    assert cost(1.0, False) == CONFIDENCE
    assert cost(0.5, False, cause="") == cost(0.5, True)


@pytest.mark.parametrize("belief", [0.5, 0.6, 0.75, 0.9, 1.0])
def test_statement_when_one_says_what_one_thinks_then_nothing_else_costs_less(belief):
    def expected(sure):
        right = Statement(DAY, "fix-feed", "clock", sure, True).harm
        wrong = Statement(DAY, "fix-feed", "clock", sure, False).harm
        return belief * right + (1 - belief) * wrong

    said = np.linspace(0.5, 1, 101)
    assert said[np.argmin([expected(sure) for sure in said])] == pytest.approx(belief)


def test_harm_when_added_up_then_its_parts_are_the_whole():
    day = day_of(served([0.9, np.nan], [0.0, 0.0], ["2", ""]), False, [])
    statement = Statement(DAY, "fix-feed", "", 0.5, False)
    harm = harm_of([day], [Charge(DAY, "the feed's owners, in vain", 60.0)], [statement], 90)
    assert harm.wrong == 1
    assert harm.downtime == UNANSWERED
    assert harm.work == pytest.approx(1.5 * HOUR)
    assert harm.total == pytest.approx(1 + UNANSWERED + 1.5 * HOUR + 60 + 25)
