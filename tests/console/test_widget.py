"""The console in the page: its parts follow the shift, and a picture stands without a kernel."""

import pytest

from mlops_course.console.session import Session
from mlops_course.console.widget import ConsoleView, parts_of, still, still_text


@pytest.fixture
def session(open_engine):
    return Session(open_engine, None, lambda may_wait: None)


def test_parts_when_the_pager_has_called_then_say_it_at_once_and_the_status_too(session):
    session.pass_days(until_called=True)
    parts = parts_of(session)
    assert parts["urgent"].startswith("The pager calls:")
    assert parts["status"].startswith("Wed 17 Apr 2013. 16 days have passed.")
    assert parts["ending"] == "" == parts["debrief"]


def test_pages_when_several_were_looked_at_then_the_newest_is_on_top_and_older_ones_are_there(
    session,
):
    session.pass_days(until_called=False)
    for name in ("overview", "registry"):
        session.look(name)
    newest = parts_of(session)
    assert [title.split(",")[0] for title in newest["pages"]] == ["Registry log", "Dashboard"]
    assert "Registry log" in newest["page"] and "Dashboard" in parts_of(session, at=1)["page"]


def test_view_when_shown_twice_then_takes_only_what_changed(session):
    view = ConsoleView("A shift")
    view.show(session)
    changes = []
    view.observe(lambda change: changes.append(change["name"]))
    view.show(session)
    assert changes == []
    session.look("overview")
    view.show(session)
    assert "clock" in changes and "timeline" not in changes


def test_still_picture_when_made_twice_then_is_the_same_and_has_a_table(session):
    picture = still(session, "A shift")
    assert picture == still(session, "A shift") and "<table>" in picture and " at 0x" not in picture
    text = still_text(session, "A shift")
    assert "Week of the shift: 1 of 10" in text and "No alarm is open." in text
