from math import sqrt

import numpy as np
import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.release.planning import CANARY_EFFECT, plan
from mlops_course.stats.confidence_sequences import LONG_RUN, Arm, between, paired, rows_needed

ERROR_RATE, PER_DAY = 0.09, 914
POWERS = ["50%", "80%", "90%"]


def made(margin=0.03, share=0.5, **told):
    settings = {"error_rate": ERROR_RATE, "disagreement": 0.013, "per_day": PER_DAY, **told}
    return plan(margin, share=share, **settings)


def test_plan_when_made_for_three_points_then_gives_the_known_flights_for_each_power():
    canary = made(canary_effect=1).loc["canary"]
    assert list(canary.index) == POWERS
    flights = canary["any time", "flights"].to_list()
    assert flights == pytest.approx([1_410, 2_388, 3_002], rel=0.004)
    assert canary["one look", "flights"].to_list() == [493, 1_126, 1_559]
    assert canary["one look", "days"].to_list() == pytest.approx(
        [flights / 457 for flights in (493, 1_126, 1_559)]
    )


def test_plan_when_the_canary_has_a_tenth_then_the_champions_many_flights_count():
    days = made(0.01, 0.1, canary_effect=1, powers=[0.8])
    assert days.loc[("canary", "80%"), ("one look", "days")] == pytest.approx(61.6, abs=0.05)
    double = made(0.01, 0.2, canary_effect=1, powers=[0.8])
    ratio = (
        days.loc[("canary", "80%"), ("one look", "days")]
        / double.loc[("canary", "80%"), ("one look", "days")]
    )
    assert ratio == pytest.approx(0.2 * 0.8 / (0.1 * 0.9), rel=0.001)


@pytest.mark.parametrize(("share", "canaries"), [(0.5, 400), (0.1, 300)])
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_plan_when_an_equal_challenger_gets_its_flights_then_so_many_are_promoted(
    share, power, canaries
):
    generator = np.random.default_rng(1)
    table = made(share=share, canary_effect=1, powers=[power]).loc["canary"].iloc[0]
    new = int(table["any time", "flights"])
    old = round(new * (1 - share) / share)
    promoted = 0
    for _ in range(canaries):
        pair = [
            Arm((generator.random(n) < ERROR_RATE).astype(float), np.ones(n)) for n in (new, old)
        ]
        promoted += between([tuple(pair)], new).high < 0.03
    assert promoted / canaries == pytest.approx(power, abs=0.06)


def test_plan_when_the_share_is_small_then_its_skewed_luck_takes_more_flights():
    any_time = {
        share: made(share=share, canary_effect=1)["any time", "flights"]["canary"]["80%"]
        for share in (0.5, 0.1)
    }
    assert any_time[0.5] == rows_needed(0.03, sqrt(2 * 0.09 * 0.91))
    assert any_time[0.1] > 1.08 * rows_needed(0.03, sqrt(0.09 * 0.91 / 0.9))


def test_plan_when_looked_at_once_then_so_many_are_promoted():
    generator = np.random.default_rng(2)
    for power in (0.5, 0.8, 0.9):
        row = made(share=0.1, canary_effect=1, powers=[power]).loc["canary"].iloc[0]
        new = int(row["one look", "flights"])
        old = 9 * new
        gap = (
            generator.binomial(new, ERROR_RATE, 20_000) / new
            - generator.binomial(old, ERROR_RATE, 20_000) / old
        )
        error = sqrt(ERROR_RATE * (1 - ERROR_RATE) * (1 / new + 1 / old))
        assert np.mean(gap + 1.645 * error < 0.03) == pytest.approx(power, abs=0.02)


@pytest.mark.parametrize("disagreement", [0.03, 0.06])
def test_plan_when_the_shadow_has_run_its_weeks_then_so_many_are_promoted(disagreement):
    generator = np.random.default_rng(3)
    table = made(0.01, disagreement=disagreement, shadow_effect=2, powers=[0.8])
    days = int(table.loc[("shadow", "80%"), ("any time", "days")])
    assert days % 7 == 0 and table.loc[("shadow", "80%"), ("any time", "flights")] == days * PER_DAY
    day = np.repeat(np.arange(days), PER_DAY)
    reached = [0, 0]
    for _ in range(200):
        # Days whose differences spread as much as the plan assumes for weeks.
        gained = np.repeat(
            generator.normal(0, sqrt(disagreement * 2 * LONG_RUN / PER_DAY), days), PER_DAY
        )
        reached[0] += paired(gained, day, long_run=1).low > -0.01
        short = day < days - 7
        reached[1] += paired(gained[short], day[short], long_run=1).low > -0.01
    assert reached[0] / 200 >= 0.74
    assert reached[1] / 200 < 0.84


def test_plan_when_the_models_hardly_differ_then_the_shadow_takes_a_week_and_no_less():
    shadow = made(0.01, disagreement=0.001).loc["shadow"]
    assert set(shadow["any time", "days"]) == set(shadow["one look", "days"]) == {7}
    far = made(0.01, disagreement=0.3).loc["shadow"]
    assert far["any time", "days"].min() > 7
    assert (far["any time", "days"] >= far["one look", "days"]).all()


def test_plan_when_requests_share_their_luck_then_takes_as_many_times_the_flights():
    alone = made(canary_effect=1).loc["canary"]
    together = made(canary_effect=2).loc["canary"]
    assert np.allclose(together / alone, 2, rtol=0.002)
    measured = made().loc["canary"]
    assert np.allclose(measured / alone, CANARY_EFFECT, rtol=0.002)
    assert np.allclose(made(canary_effect=2).loc["shadow"], made().loc["shadow"])


def test_plan_when_the_share_grows_then_each_day_adds_what_it_tells():
    table = made(share=[0.05, 0.10, 0.25, 0.50])
    row = table.loc[("canary", "80%"), "any time"]
    last = made(share=0.5).loc[("canary", "80%"), "any time"]
    told = (PER_DAY * share * (1 - share) for share in (0.05, 0.10, 0.25))
    rest = (last["flights"] / 2 - sum(told)) / (PER_DAY / 4)
    assert row["days"] == pytest.approx(3 + rest)
    assert row["flights"] == pytest.approx(PER_DAY * (0.4 + 0.5 * rest), abs=1)
    assert last["days"] < row["days"] < last["days"] + 3


def test_plan_when_a_growing_share_is_enough_early_then_ends_within_its_days():
    table = made(0.2, share=[0.25, 0.50], powers=[0.5]).loc[("canary", "50%"), "one look"]
    alone = made(0.2, share=0.5, powers=[0.5]).loc[("canary", "50%"), "one look"]
    assert table["days"] == pytest.approx(alone["flights"] / 2 / (PER_DAY * 0.25 * 0.75))
    assert table["days"] < 1
    assert np.allclose(made(share=[0.5, 0.5, 0.5]), made(share=0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 0},
        {"share": 1.0},
        {"share": [0.1, 1.0]},
        {"powers": [1]},
        {"margin": 0},
        {"per_day": 0},
        {"canary_effect": 0},
        {"disagreement": 0},
    ],
)
def test_plan_when_it_cannot_be_made_then_says_so(wrong):
    with pytest.raises(ParameterError, match="between 0 and 1"):
        made(**wrong)
