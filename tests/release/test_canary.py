import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.release.canary import Limits, judge_canary, judge_shadow, plan
from mlops_course.serving.prediction_log import PredictionLog, read_predictions, read_requests
from mlops_course.stats.confidence_sequences import rows_needed

ERROR_RATE, LATE_RATE = 0.09, 0.24


class Traffic:
    """One-flight requests with labels, and models that are wrong as often as they are told to."""

    def __init__(self, rows, seed=0):
        self.generator = np.random.default_rng(seed)
        self.ids = np.array([f"r-{number}" for number in range(rows)])
        self.late = self.generator.random(rows) < LATE_RATE
        index = pd.MultiIndex.from_arrays(
            [self.ids, np.zeros(rows, int)], names=["request_id", "row"]
        )
        self.labels = pd.Series(self.late.astype(float), index)

    def wrong(self, rate, like=None, differs=0.0):
        drawn = self.generator.random(len(self.ids))
        if like is None:
            return drawn < rate
        return np.where(drawn < differs, ~like, like)

    def log(self, roles, wrong):
        called = np.where(wrong, ~self.late, self.late)
        return pd.DataFrame(
            {"request_id": self.ids, "row": 0, "role": roles, "probability": called * 0.8 + 0.1}
        )

    def requests(self, roles, failing=0.0, slow=0.0):
        """Return one row a request; the challenger fails or is slow as often as told."""
        is_challenger = np.asarray(roles) == "challenger"
        fails = is_challenger & (self.generator.random(len(self.ids)) < failing)
        slows = is_challenger & (self.generator.random(len(self.ids)) < slow)
        return pd.DataFrame(
            {
                "request_id": self.ids,
                "at": pd.Timestamp("2013-09-02", tz="UTC"),
                "role": roles,
                "ms": np.where(slows, 80.0, 2.0),
                "failure": np.where(fails, "KeyError", ""),
            }
        )

    def roles(self, share=0.5):
        return np.where(self.generator.random(len(self.ids)) < share, "challenger", "champion")


def canary(rows=20_000, extra=0.0, seed=0, late=None, **faults):
    traffic = Traffic(rows, seed)
    roles = traffic.roles()
    rates = np.where(roles == "challenger", ERROR_RATE + extra, ERROR_RATE)
    log = traffic.log(roles, traffic.wrong(rates))
    labels = traffic.labels if late is None else traffic.labels.iloc[:late]
    requests = traffic.requests(roles, **faults)
    return judge_canary(requests, log, labels, Limits(), rows // 2)


def failed(ruling):
    return [check.name for check in ruling.checks if not check.passed]


def test_canary_when_the_challenger_is_as_good_then_promotes_once_there_is_enough():
    assert canary().action == "promote"
    few = canary(rows=1_000)
    assert few.action == "wait" and not failed(few)


@pytest.mark.parametrize(
    ("fault", "name"),
    [({"extra": 0.06}, "errors"), ({"failing": 0.02}, "failures"), ({"slow": 0.05}, "slow")],
)
def test_canary_when_one_figure_is_surely_worse_then_aborts_and_names_it(fault, name):
    ruling = canary(**fault)
    assert ruling.action == "abort" and failed(ruling) == [name]


def test_canary_when_it_calls_far_more_flights_late_then_aborts_without_any_label():
    traffic = Traffic(20_000)
    roles = traffic.roles()
    excess = (roles == "challenger") & ~traffic.late & (traffic.generator.random(20_000) < 0.15)
    log = traffic.log(roles, excess)
    ruling = judge_canary(traffic.requests(roles), log, traffic.labels.iloc[:0], Limits(), 10_000)
    assert ruling.action == "abort" and failed(ruling) == ["called late"]


def test_canary_when_labels_are_late_then_waits_with_everything_else_in_order():
    ruling = canary(late=50)
    assert ruling.action == "wait" and "Too little to tell" in ruling.checks[-1].seen


def test_canary_when_the_challenger_loses_exactly_the_limit_then_is_seldom_promoted():
    rulings = [canary(rows=6_000, extra=Limits().errors, seed=seed).action for seed in range(60)]
    assert rulings.count("promote") <= 3


def test_canary_when_the_champion_stood_in_then_that_request_counts_for_neither():
    traffic = Traffic(4_000)
    roles = traffic.roles()
    requests = traffic.requests(roles, failing=0.5)
    stood_in = requests[requests["failure"] != ""].assign(role="champion", failure="", ms=500.0)
    both = pd.concat([requests, stood_in])
    log = traffic.log(roles, traffic.wrong(ERROR_RATE))
    ruling = judge_canary(both, log, traffic.labels, Limits(), 2_000)
    assert failed(ruling) == ["failures"]


def test_canary_when_requests_were_sent_again_then_the_copies_tell_nothing_new():
    traffic = Traffic(4_000)
    roles = traffic.roles()
    requests, log = traffic.requests(roles), traffic.log(roles, traffic.wrong(ERROR_RATE))
    twice = judge_canary(
        pd.concat([requests, requests]), pd.concat([log, log]), traffic.labels, Limits(), 2_000
    )
    assert twice == judge_canary(requests, log, traffic.labels, Limits(), 2_000)


def test_canary_when_the_log_is_empty_then_waits(tmp_path):
    path = tmp_path / "predictions.db"
    PredictionLog(path).close()
    labels = Traffic(10).labels
    ruling = judge_canary(read_requests(path), read_predictions(path), labels, Limits(), 2_000)
    assert ruling.action == "wait"


def test_canary_when_the_share_grows_as_the_days_get_worse_then_does_not_blame_the_challenger():
    traffic = Traffic(24_000)
    bad_day = np.arange(24_000) >= 12_000
    roles = np.where(bad_day, traffic.roles(0.5), traffic.roles(0.05))
    log = traffic.log(roles, traffic.wrong(np.where(bad_day, 0.25, 0.02)))
    requests = traffic.requests(roles)
    told = judge_canary(
        requests.assign(period=bad_day), log, traffic.labels, Limits(), planned=6_000
    )
    by_day = requests.assign(at=requests["at"] + pd.to_timedelta(bad_day.astype(int), unit="D"))
    assert told == judge_canary(by_day, log, traffic.labels, Limits(), planned=6_000)
    assert not failed(told)
    assert failed(judge_canary(requests, log, traffic.labels, Limits(), 6_000)) == ["errors"]


def shadow(differs, rows=4_000, margin=0.01, worse=False):
    traffic = Traffic(rows)
    champion = traffic.wrong(ERROR_RATE)
    other = (
        champion | (traffic.generator.random(rows) < differs)
        if worse
        else (traffic.wrong(0, champion, differs))
    )
    log = pd.concat([traffic.log("champion", champion), traffic.log("shadow", other)])
    return judge_shadow(log, traffic.labels, margin, rows)


def test_shadow_when_the_models_hardly_differ_then_promotes_on_few_flights():
    ruling = shadow(differs=0.002)
    assert ruling.action == "promote" and "they disagree on 0." in ruling.checks[0].seen


def test_shadow_when_the_challenger_is_worse_then_aborts():
    assert shadow(differs=0.05, worse=True).action == "abort"


def test_shadow_when_there_are_few_flights_then_waits():
    assert shadow(differs=0.02, rows=90).action == "wait"


def test_shadow_when_nothing_was_scored_twice_then_says_what_to_do():
    traffic = Traffic(10)
    log = traffic.log("champion", traffic.wrong(0.1))
    with pytest.raises(DataError, match="Set the split to shadow"):
        judge_shadow(log, traffic.labels, 0.01, 100)


def test_plan_when_made_then_the_shadow_needs_days_where_the_canary_needs_months():
    days = plan(0.01, error_rate=ERROR_RATE, disagreement=0.013, per_day=914, share=0.1)
    assert days.loc["shadow", ("one look", "flights")] == pytest.approx(800, rel=0.02)
    assert days.loc["canary", ("one look", "flights")] == pytest.approx(10_100, rel=0.02)
    assert days.loc["canary", ("one look", "days")] == pytest.approx(111, rel=0.02)
    assert days.loc["shadow", ("any time", "days")] < 2
    assert days.loc["shadow", ("any time", "flights")] == rows_needed(0.01, 0.013**0.5)


@pytest.mark.parametrize("wrong", [{"errors": 0}, {"slow": 2}, {"slow_ms": -1}])
def test_limits_when_they_cannot_be_then_says_so(wrong):
    with pytest.raises(ParameterError, match="share between 0 and 1"):
        Limits(**wrong)
