"""The real registry and service answer as the rehearsed ones do, and keep their own books."""

from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest

from mlops_course.monitoring.windows import read_record
from mlops_course.oncall.engine import Engine
from mlops_course.registry import promotions, versions
from mlops_course.shifts.live import open_live
from mlops_course.shifts.plans import Planned, Reply, Shift, struck
from mlops_course.shifts.systems import Rehearsed, is_sluggish, numbered_by_desk
from mlops_course.shifts.worlds import open_world

FIRST = date(2013, 9, 2)
END = date(2013, 9, 30)
STRUCK = (("slow-release", date(2013, 9, 6)), ("refused", date(2013, 9, 14)))


@pytest.fixture(scope="module")
def shift():
    planned = [Planned(struck(name, day, END), Reply()) for name, day in STRUCK]
    return Shift(2, FIRST, 4, tuple(planned))


@pytest.fixture(scope="module")
def world(shared_workspace, shift):
    return open_world(shared_workspace, shift)


def play(engine):
    """Meet a slow release, begin a canary, and hold traffic that is refused."""
    deeds = {7: "roll-back", 10: "canary", 14: "hold", 17: "resume", 21: "fix-feed"}
    while not engine.drill.over:
        day = (engine.drill.today - FIRST).days
        if day in deeds:
            engine.act(deeds[day], **({"weeks": 2} if deeds[day] == "canary" else {}))
        engine.next_day()


@pytest.fixture(scope="module")
def both(shared_workspace, shift, world):
    rehearsed = Engine(shift, world, Rehearsed())
    play(rehearsed)
    with closing(open_live(shared_workspace, "test")) as live:
        engine = Engine(shift, world, live)
        play(engine)
        yield rehearsed, engine, live


def test_systems_when_the_same_is_done_then_each_day_costs_the_same(both):
    rehearsed, real, _ = both
    assert real.drill.days == rehearsed.drill.days
    assert real.drill.harm == rehearsed.drill.harm


def test_systems_when_the_same_is_done_then_the_log_says_the_same_apart_from_speed(both):
    def told(engine):
        return [entry for entry in engine.drill.log if "millisecond" not in entry.text.lower()]

    rehearsed, real, _ = both
    assert told(real) == told(rehearsed)


def test_registry_when_the_shift_is_over_then_its_own_log_has_each_move_and_holds(both):
    rehearsed, _, live = both
    assert list(live.moves()) == list(rehearsed.drill.system.moves())
    assert promotions.audit(live.store).passed
    assert versions.version_at(live.store) == rehearsed.drill.champion == live.service.version


def test_log_when_read_then_it_has_the_flights_that_were_sent_and_no_held_one(both):
    _, real, live = both
    record = read_record(live.log)
    sent = [one for one in real.drill.served if not one.requests.empty]
    assert len(sent) < len(real.drill.served)
    assert len(record.flights) == sum(len(one.flights) for one in sent)
    assert {"champion", "challenger", "refused"} <= set(record.requests["role"])


def test_service_when_slow_then_its_log_shows_it(both):
    _, _, live = both
    requests = read_record(live.log).requests
    by_version = requests[requests["version"] != ""].groupby("version")["ms"].median()
    assert by_version["3"] > 5 * by_version["2"]


def test_service_when_killed_in_mid_shift_then_it_is_started_again_and_nothing_is_lost(
    shared_workspace, shift, world
):
    calm = replace(shift, planned=())
    stream = replace(world.stream, strikes=())
    with closing(open_live(shared_workspace, "killed")) as live:
        engine = Engine(calm, replace(world, stream=stream), live, watched=False)
        engine.next_day()
        live.service.kill()
        engine.next_day()
        assert engine.drill.days[-1].unanswered == 0
        assert engine.drill.days[-1].version == "2"


def test_store_when_opened_for_a_drill_then_mlflow_stays_where_it_was_pointed_at(shared_workspace):
    import mlflow

    from mlops_course.training import tracking

    store = tracking.connect(shared_workspace)
    with closing(open_live(shared_workspace, "aside")) as live:
        assert live.store.workspace.tracking_uri != store.workspace.tracking_uri
        assert mlflow.get_tracking_uri() == store.workspace.tracking_uri
        assert mlflow.get_registry_uri() == store.workspace.tracking_uri


def test_release_when_it_has_many_trees_then_it_counts_as_slow(world):
    from mlops_course.training.bad_releases import BAD_RELEASES

    slow = BAD_RELEASES["slow"](world.champion, world.rows)
    assert is_sluggish(slow.model)
    assert not is_sluggish(world.champion.model)


def test_desks_when_numbered_then_each_airport_and_day_is_a_request(world):
    flights = numbered_by_desk(world.stream.week(1).flights)
    assert flights["request_id"].nunique() == 21
    assert not flights.duplicated(["request_id", "row"]).any()
    assert (flights.groupby("request_id")["origin"].nunique() == 1).all()
