import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.oncall.runbooks import SIGNS, built_in, follow, read_runbook, sign_faults

ONE = """
[[entry]]
signs = ["alarm hardly any flight called late", "rows.dep_delay_largest < 60"]
cause = "hours"
sure = 0.9
do = ["declare", "fix-feed"]
"""


def test_runbook_when_followed_then_it_acts_on_the_morning_its_signs_hold(drills):
    engine = drills.engine(drills.shift("hours"))
    follow(engine, read_runbook(ONE))
    acted = [(step.day.isoformat(), step.name) for step in engine.drill.steps]
    done = [one for one in acted if one[1] not in ("next-day", "rows")]
    assert done == [("2013-09-13", name) for name in ("declare", "fix-feed")]
    assert ("2013-09-13", "rows") in acted
    assert [(one.cause, one.right) for one in engine.drill.statements] == [("hours", True)]


def test_runbook_when_its_first_sign_does_not_hold_then_no_page_is_paid_for(drills):
    engine = drills.engine(drills.shift())
    follow(engine, read_runbook(ONE))
    assert engine.drill.minutes == 0


@pytest.mark.parametrize(
    ("was", "now", "named"),
    [
        ("called late", "called lat", "do you mean hardly any flight called late?"),
        ("rows.dep_delay_largest", "rows.dep_delay_larges", "do you mean rows.dep_delay_largest?"),
        ("< 60", "under 60", "no comparison"),
        ("< 60", "< sixty", "no number"),
        ('"hours"', '"hour"', "do you mean hours?"),
        ("0.9", "90", "from 0.5 to 1"),
        ("fix-feed", "fix-feeds", "do you mean fix-feed?"),
        ("fix-feed", "retrain four", "retrain weeks=2"),
        ("signs =", "sign =", "do you mean signs?"),
        ("[[entry]]", "[[entries]]", "no entry"),
        ("cause =", "cause", "line 4"),
    ],
)
def test_runbook_when_something_in_it_is_wrong_then_it_is_named_with_its_line(was, now, named):
    with pytest.raises(ParameterError) as refused:
        read_runbook(ONE.replace(was, now))
    assert named in str(refused.value)


def test_faults_when_several_then_all_are_named_with_the_line_of_their_entry():
    twice = ONE.replace("fix-feed", "fix") + ONE.replace('"hours"', '"hour"')
    with pytest.raises(ParameterError, match=r"Line 2: .*Line 8: "):
        read_runbook(twice)


def test_signs_when_a_page_was_looked_at_then_it_tells_each_of_its_figures(drills):
    from mlops_course.oncall.runbooks import PAGES

    engine = drills.engine(drills.shift())
    for _ in range(26):
        engine.next_day()
    for page, figures in SIGNS.items():
        told = PAGES[page](engine.look(page), engine.drill.today)
        assert set(told) == set(figures), page
        assert all(sign_faults(f"{page}.{figure} > 0") == "" for figure in figures)


def test_built_in_when_read_then_its_entries_name_what_they_state():
    entries = built_in().entries
    stated = {entry.cause for entry in entries if entry.cause}
    assert {"clock", "hours", "refused", "padding", "storm", "late-labels"} <= stated
