from datetime import date

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import WorkspaceError
from mlops_course.data.flights import load_flights
from mlops_course.data.stream import Stream
from mlops_course.monitoring import labels
from mlops_course.serving.prediction_log import KEY
from mlops_course.serving.replay import numbered

MONDAY = date(2013, 9, 23)


@pytest.fixture(scope="module")
def week(shared_workspace):
    flights = load_flights(shared_workspace, MONDAY, date(2013, 9, 29))
    return numbered(Stream(flights, MONDAY).week(1).flights, 500)


@pytest.fixture
def store(week, tmp_path):
    path = tmp_path / "run-labels.db"
    labels.begin(path)
    labels.expect(path, week)
    labels.arrive(path, week)
    return path


def test_store_when_read_then_holds_what_was_announced_and_every_label_once(store, week):
    found = labels.read_labels(store)
    assert found.requests["rows"].sum() == len(week)
    assert found.requests["request_id"].tolist() == week["request_id"].unique().tolist()
    assert (found.requests["at"].dt.strftime("%m-%d") == found.requests["request_id"].str[:5]).all()
    known = week[week["late"].notna()].set_index(KEY)
    read = found.labels.set_index(KEY)
    assert len(read) == len(known) < len(week)
    assert (read["late"] == known["late"].reindex(read.index)).all()
    gap = read["at"] - known["label_at"].reindex(read.index)
    assert gap.abs().max() < pd.Timedelta(milliseconds=1) and read["at"].is_monotonic_increasing


def test_store_when_asked_for_a_moment_then_later_labels_have_not_arrived(store):
    seen = [
        len(labels.read_labels(store, before=MONDAY.replace(day=day)).labels)
        for day in (23, 25, 27, 30)
    ]
    assert seen[0] == 0 and seen == sorted(set(seen))
    assert labels.read_labels(store, before=MONDAY).requests["rows"].sum() > seen[-1]


def test_store_when_asked_for_requests_then_has_no_others(store, week):
    some = week["request_id"].unique()[2:4]
    found = labels.read_labels(store, some)
    assert set(found.requests["request_id"]) == set(found.labels["request_id"]) == set(some)
    nothing = labels.read_labels(store, [])
    assert nothing.requests.empty and nothing.labels.empty
    assert str(nothing.labels["at"].dtype).startswith("datetime64")


def test_store_when_labels_come_bit_by_bit_then_all_are_there(store, week, tmp_path):
    path = tmp_path / "slow.db"
    labels.begin(path)
    labels.expect(path, week)
    for part in np.array_split(np.arange(len(week)), 7):
        labels.arrive(path, week.iloc[part])
    pd.testing.assert_frame_equal(
        labels.read_labels(path).labels.sort_values(KEY, ignore_index=True),
        labels.read_labels(store).labels.sort_values(KEY, ignore_index=True),
    )


def test_store_when_begun_anew_then_is_empty(store):
    labels.begin(store)
    assert labels.read_labels(store).requests.empty


def test_store_when_missing_or_damaged_then_says_what_it_is(tmp_path, week):
    for content in (None, b"no database", b""):
        path = tmp_path / "labels.db"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WorkspaceError, match="label store"):
            labels.read_labels(path)
    with pytest.raises(WorkspaceError, match="label store"):
        labels.expect(tmp_path / "nowhere" / "labels.db", week)


def test_name_when_asked_for_then_stands_beside_the_log(tmp_path):
    assert labels.beside(tmp_path / "run-2.db") == tmp_path / "run-2-labels.db"
