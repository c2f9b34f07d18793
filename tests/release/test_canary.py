from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.release.canary import Limits, judge_canary, judge_shadow
from mlops_course.release.planning import canary_lengths
from mlops_course.serving.prediction_log import PredictionLog, read_predictions, read_requests
from mlops_course.stats.confidence_sequences import Arm, between

ERROR_RATE, LATE_RATE = 0.09, 0.24
MONDAY = pd.Timestamp("2013-09-02", tz="UTC")


class Traffic:
    """Requests with labels, over some days, and models that are wrong as often as told to."""

    def __init__(self, rows, seed=0, size=1, days=1):
        self.generator = np.random.default_rng(seed)
        self.rows = rows
        self.number = np.arange(rows) // size
        self.ids = np.array([f"r-{number}" for number in self.number])
        self.row = np.arange(rows) % size
        self.at = MONDAY + pd.to_timedelta(np.arange(rows) * days // rows, unit="D")
        self.late = self.generator.random(rows) < LATE_RATE
        index = pd.MultiIndex.from_arrays([self.ids, self.row], names=["request_id", "row"])
        self.labels = pd.Series(self.late.astype(float), index)

    def wrong(self, rate, like=None, differs=0.0):
        drawn = self.generator.random(self.rows)
        if like is None:
            return drawn < rate
        return np.where(drawn < differs, ~like, like)

    def wrong_together(self, rate, alike):
        """Return wrong calls whose requests share their luck."""
        rates = np.broadcast_to(rate, self.rows)[self.row == 0]
        level = self.generator.beta(rates * (1 / alike - 1), (1 - rates) * (1 / alike - 1))
        return self.generator.random(self.rows) < level[self.number]

    def log(self, roles, wrong):
        called = np.where(wrong, ~self.late, self.late)
        return pd.DataFrame(
            {
                "request_id": self.ids,
                "row": self.row,
                "at": self.at,
                "role": roles,
                "probability": called * 0.8 + 0.1,
            }
        )

    def requests(self, roles, failing=0.0, slow=0.0):
        """Return one row a request; the challenger fails or is slow as often as told."""
        first = self.row == 0
        is_challenger = np.asarray(roles)[first] == "challenger"
        fails = is_challenger & (self.generator.random(first.sum()) < failing)
        slows = is_challenger & (self.generator.random(first.sum()) < slow)
        return pd.DataFrame(
            {
                "request_id": self.ids[first],
                "at": self.at[first],
                "role": np.asarray(roles)[first],
                "ms": np.where(slows, 80.0, 2.0),
                "failure": np.where(fails, "KeyError", ""),
            }
        )

    def have_late(self, late):
        """Replace which flights were late."""
        self.late = late
        self.labels = pd.Series(late.astype(float), self.labels.index)

    def dealt_evenly(self):
        """Return roles of which just half are the challenger's."""
        new = self.generator.permutation(self.number[-1] + 1) % 2 == 0
        return np.where(new, "challenger", "champion")[self.number]

    def roles(self, share=0.5):
        drawn = self.generator.random(self.number[-1] + 1) < share
        return np.where(drawn, "challenger", "champion")[self.number]


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


def seen(ruling, name):
    return next(check.seen for check in ruling.checks if check.name == name)


def test_canary_when_the_challenger_is_as_good_then_promotes_once_there_is_enough():
    assert canary().action == "promote"
    few = canary(rows=1_000)
    assert few.action == "wait" and not failed(few)


@pytest.mark.parametrize(
    ("fault", "name"),
    [({"extra": 0.06}, "errors"), ({"failing": 0.02}, "failures"), ({"slow": 0.05}, "slow")],
)
def test_canary_when_one_figure_is_worse_then_aborts_and_names_it(fault, name):
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
    assert ruling.action == "wait" and "Too little to tell" in seen(ruling, "errors")


def test_canary_when_it_speaks_then_says_level_side_unit_and_looks():
    ruling = canary(rows=3_000)
    assert seen(ruling, "errors").endswith(
        "(one-sided 95%, at all looks, by requests); the limit is 3."
    )
    assert ", at most +" in seen(ruling, "errors") and "requests" in seen(ruling, "failures")
    assert "(each one-sided 95%, at all looks" in seen(ruling, "called late")
    worse = seen(canary(extra=0.06), "errors")
    assert ", at least +" in worse and "(one-sided 99%, at all looks, by requests)" in worse


def one_period(traffic, roles, wrong):
    new = roles == "challenger"
    return [tuple(Arm(wrong[side].astype(float), np.ones(side.sum())) for side in (new, ~new))]


def test_canary_when_it_promotes_then_each_figure_had_its_full_level_and_aborts_share_theirs():
    for seed in range(30):
        traffic = Traffic(3_400, seed)
        roles = traffic.roles()
        worse = 0.045 * (seed % 2)
        wrong = traffic.wrong(np.where(roles == "challenger", ERROR_RATE + worse, ERROR_RATE))
        # Each is called early with its error, so that nothing but errors can differ by much.
        limits = Limits(called_late=0.2, failures=0.1, slow=0.1)
        ruling = judge_canary(
            traffic.requests(roles), traffic.log(roles, wrong), traffic.labels, limits, 1_700
        )
        periods = one_period(traffic, roles, wrong)
        keeps = between(periods, 1_700, 0.05).high < limits.errors
        lost = between(periods, 1_700, 0.01).low > 0
        assert ruling.action == ("abort" if lost else "promote" if keeps else "wait"), seed


LIMITS = Limits(failures=0.02, slow=0.02)


@pytest.mark.parametrize(
    ("limits", "binding", "promoted"),
    [
        (LIMITS, "called late", (0.68, 0.92)),
        (replace(LIMITS, called_late=0.2), "errors", (0.68, 0.92)),
        (Limits(), "failures", (0.7, 1.0)),
    ],
)
def test_canary_when_it_has_its_length_then_equals_are_promoted_as_often_as_was_planned(
    limits, binding, promoted
):
    turns = 60
    wrong_rate, late_rate = 0.1, 0.18
    lengths = canary_lengths(
        limits, error_rate=0.1, late_rate=0.244, per_day=900, request_rows=10, share=0.5
    )["requests"]
    assert lengths.idxmax() == binding
    actions = {"planned": [], "for the errors alone": []}
    for name, length in (("planned", lengths.max()), ("for the errors alone", lengths["errors"])):
        for seed in range(turns):
            traffic = Traffic(20 * length, seed, size=10)
            traffic.have_late(traffic.wrong_together(late_rate, alike=0.22))
            roles = traffic.dealt_evenly()
            log = traffic.log(roles, traffic.wrong_together(wrong_rate, alike=0.4 / 9))
            ruling = judge_canary(traffic.requests(roles), log, traffic.labels, limits, length)
            actions[name].append(ruling.action)
    share = actions["planned"].count("promote") / turns
    assert promoted[0] <= share <= promoted[1]
    if binding != "errors":
        assert actions["for the errors alone"].count("promote") / turns < share - 0.05


def test_canary_when_the_challenger_loses_exactly_the_limit_then_is_seldom_promoted():
    rulings = [canary(rows=4_000, extra=Limits().errors, seed=seed).action for seed in range(40)]
    assert rulings.count("promote") <= 2


def by_flights(table):
    """Return a table in which each flight is a request of its own."""
    return table.assign(request_id=table["request_id"] + "." + table["row"].astype(str), row=0)


@pytest.mark.parametrize(("extra", "action"), [(0.0, "abort"), (0.03, "promote")])
def test_canary_when_requests_share_their_luck_then_is_wrong_by_flights_and_not_by_requests(
    extra, action
):
    limits = Limits(failures=0.2, slow=0.2, called_late=0.2)
    by_requests = []
    flight_by_flight = []
    for seed in range(30):
        traffic = Traffic(3_000, seed, size=10)
        roles = traffic.roles()
        rates = np.where(roles == "challenger", ERROR_RATE + extra, ERROR_RATE)
        log = traffic.log(roles, traffic.wrong_together(rates, alike=0.9))
        requests = traffic.requests(roles)
        by_requests.append(judge_canary(requests, log, traffic.labels, limits, 150).action)
        single = by_flights(log)
        dealt = single[["request_id", "role", "at"]].assign(ms=2.0, failure="")
        labels = traffic.labels.rename("late").reset_index()
        late = by_flights(labels).set_index(["request_id", "row"])["late"]
        flight_by_flight.append(judge_canary(dealt, single, late, limits, 1_500).action)
    assert by_requests.count(action) <= 2
    assert flight_by_flight.count(action) >= 4


def test_canary_when_the_champion_stood_in_then_that_request_counts_for_neither():
    traffic = Traffic(4_000)
    roles = traffic.roles()
    requests = traffic.requests(roles, failing=0.5)
    stood_in = requests[requests["failure"] != ""].assign(role="champion", failure="", ms=500.0)
    both = pd.concat([requests, stood_in])
    is_stood_in = np.isin(traffic.ids, stood_in["request_id"])
    answered = np.where(is_stood_in, "champion", roles)
    # The champion is wrong on all that the challenger failed on, and that is nobody's fault.
    log = traffic.log(answered, traffic.wrong(ERROR_RATE) | is_stood_in)
    ruling = judge_canary(both, log, traffic.labels, Limits(), 2_000)
    assert failed(ruling) == ["failures"]
    wrong = float(seen(ruling, "errors").split()[0])
    assert abs(wrong) < 3


def test_canary_when_requests_were_sent_again_then_the_copies_tell_nothing_new():
    traffic = Traffic(4_000)
    roles = traffic.roles()
    requests, log = traffic.requests(roles), traffic.log(roles, traffic.wrong(ERROR_RATE))
    twice = judge_canary(
        pd.concat([requests, requests]), pd.concat([log, log]), traffic.labels, Limits(), 2_000
    )
    assert twice == judge_canary(requests, log, traffic.labels, Limits(), 2_000)


@pytest.mark.parametrize(
    ("first", "later"), [("champion", "challenger"), ("challenger", "champion")]
)
def test_canary_when_requests_come_back_to_the_other_side_then_the_first_answers_count(
    first, later
):
    traffic = Traffic(4_000)
    roles = traffic.roles()
    log = traffic.log(roles, traffic.wrong(ERROR_RATE))
    requests = traffic.requests(roles)
    # As the share grows, or goes back to nothing, the hash deals the same ids to the other side.
    back = roles == first
    turned = np.where(back, later, roles)
    log_again = traffic.log(turned, np.full(4_000, True))[back]
    again = traffic.requests(turned)[back].assign(ms=500.0, failure="KeyError")
    twice = judge_canary(
        pd.concat([requests, again]), pd.concat([log, log_again]), traffic.labels, Limits(), 2_000
    )
    assert twice == judge_canary(requests, log, traffic.labels, Limits(), 2_000)


def test_canary_when_a_failed_request_is_sent_again_then_its_second_answer_does_not_count():
    traffic = Traffic(4_000)
    roles = traffic.roles()
    requests = traffic.requests(roles, failing=0.3)
    log = traffic.log(roles, traffic.wrong(ERROR_RATE))
    failed_first = np.isin(traffic.ids, requests.loc[requests["failure"] != "", "request_id"])
    again = requests[requests["failure"] != ""].assign(failure="")
    log_again = traffic.log(roles, np.full(4_000, True))[failed_first]
    told = judge_canary(
        pd.concat([requests, again]),
        pd.concat([log[~failed_first], log_again]),
        traffic.labels,
        Limits(),
        2_000,
    )
    assert failed(told) == ["failures"]
    assert told == judge_canary(requests, log[~failed_first], traffic.labels, Limits(), 2_000)


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


def shadow(differs, rows=7_000, days=7, worse=False, ended=True, **told):
    traffic = Traffic(rows, days=days)
    champion = traffic.wrong(ERROR_RATE)
    other = (
        champion | (traffic.generator.random(rows) < differs)
        if worse
        else traffic.wrong(0, champion, differs)
    )
    log = pd.concat([traffic.log("champion", champion), traffic.log("shadow", other)])
    return judge_shadow(log.assign(**told), traffic.labels, margin=0.01, ended=ended)


def test_shadow_when_the_models_hardly_differ_then_promotes_after_a_week():
    ruling = shadow(differs=0.002)
    assert ruling.action == "promote"
    assert "on these 7,000 flights; they disagree on 0.2% of them." in seen(ruling, "accuracy")
    assert seen(ruling, "accuracy").endswith(
        "(one-sided 95%, at all weekly looks, by days); the margin is 1."
    )


def test_shadow_when_the_challenger_is_worse_then_aborts():
    ruling = shadow(differs=0.05, worse=True)
    assert ruling.action == "abort" and failed(ruling) == ["accuracy"]
    assert "On days like these 7 at most -" in seen(ruling, "accuracy")


@pytest.mark.parametrize(("differs", "worse"), [(0.002, False), (0.05, True)])
def test_shadow_when_a_week_is_not_over_then_waits_and_says_what_was_on_these_flights(
    differs, worse
):
    ruling = shadow(differs, rows=6_000, days=6, worse=worse)
    assert ruling.action == "wait"
    assert "points on these 6,000 flights" in seen(ruling, "accuracy")
    assert seen(ruling, "accuracy").endswith(
        "For other days it takes 7 that are over; there are 6."
    )


def test_shadow_when_days_were_replayed_at_once_then_the_log_says_which_they_were():
    days = [f"09-{2 + number // 1_000:02}" for number in range(7_000)]
    assert shadow(differs=0.002, days=1).action == "wait"
    assert shadow(differs=0.002, days=1, period=[*days, *days]) == shadow(differs=0.002)


def test_shadow_when_the_last_day_is_not_over_then_it_does_not_count_before_a_later_one_is_seen():
    traffic = Traffic(8_000, days=8)
    champion = traffic.wrong(ERROR_RATE)
    both = [traffic.log("champion", champion), traffic.log("shadow", champion)]

    def judged(flights, **told):
        return judge_shadow(
            pd.concat([log[:flights] for log in both]), traffic.labels, 0.01, **told
        )

    for flights in (6_000, 6_001, 6_500, 7_000):
        assert judged(flights).action == "wait", flights
    assert "that are over; there are 6." in seen(judged(6_500), "accuracy")
    assert "on these 6,500 flights" in seen(judged(6_500), "accuracy")
    assert judged(7_000, ended=True).action == judged(7_001).action == "promote"
    # What the eighth day has shown so far changes nothing in the verdict on the seven before it.
    told = [
        seen(judged(flights), "accuracy").split("On days like")[1] for flights in (7_001, 7_600)
    ]
    assert told[0] == told[1]


def test_shadow_when_requests_were_sent_again_then_the_first_answers_count():
    traffic = Traffic(7_000, days=7)
    champion = traffic.wrong(ERROR_RATE)
    first = [traffic.log("champion", champion), traffic.log("shadow", champion)]
    again = [traffic.log("champion", champion), traffic.log("shadow", ~champion)]
    ruling = judge_shadow(pd.concat([*first, *again]), traffic.labels, 0.01, ended=True)
    assert ruling == judge_shadow(pd.concat(first), traffic.labels, 0.01, ended=True)
    assert ruling.action == "promote"


def test_shadow_when_no_label_has_arrived_then_waits():
    traffic = Traffic(7_000, days=7)
    wrong = traffic.wrong(ERROR_RATE)
    log = pd.concat([traffic.log("champion", wrong), traffic.log("shadow", wrong)])
    ruling = judge_shadow(log, traffic.labels.iloc[:0], margin=0.01)
    assert ruling.action == "wait"
    assert seen(ruling, "accuracy").startswith("No label has arrived.")


def test_shadow_when_nothing_was_scored_twice_then_says_what_to_do(tmp_path):
    traffic = Traffic(10)
    log = traffic.log("champion", traffic.wrong(0.1))
    with pytest.raises(DataError, match="Set the split to shadow"):
        judge_shadow(log, traffic.labels, 0.01)
    path = tmp_path / "predictions.db"
    PredictionLog(path).close()
    with pytest.raises(DataError, match="Set the split to shadow"):
        judge_shadow(read_predictions(path), traffic.labels, 0.01)


@pytest.mark.parametrize("wrong", [{"errors": 0}, {"slow": 2}, {"slow_ms": -1}])
def test_limits_when_they_cannot_be_then_says_so(wrong):
    with pytest.raises(ParameterError, match="share between 0 and 1"):
        Limits(**wrong)
