from datetime import date
from pathlib import Path

import pytest

from mlops_course.core.errors import ParameterError
from mlops_course.oncall.shift_files import (
    parse_shift,
    read_incidents,
    read_shift,
    write_incident,
    write_shift,
)
from mlops_course.shifts.plans import LEVELS, draw_shift

EXAMPLE = Path(__file__).parents[2] / "notebooks" / "10_shift.toml"


def told(text):
    with pytest.raises(ParameterError) as caught:
        parse_shift(text, "class.toml")
    return str(caught.value)


def changed(old, new):
    text = EXAMPLE.read_text(encoding="utf-8")
    assert old in text
    return told(text.replace(old, new))


def test_example_when_read_then_is_what_its_lines_say():
    shift = read_shift(EXAMPLE)
    assert (shift.name, shift.seed, shift.weeks) == ("Four weeks of summer", 7, 4)
    hours, storm = shift.planned
    assert (hours.incident.name, hours.strike.first) == ("hours", date(2013, 7, 8))
    assert (hours.strike.last, hours.strike.onset_days) == (date(2013, 7, 21), 2)
    assert (hours.reply.days, hours.reply.honest) == (3, False)
    assert (storm.strike.last, storm.reply.honest) == (date(2013, 7, 24), True)


def test_shift_when_written_then_is_read_back_equal():
    drawn = [draw_shift(seed, level) for level in LEVELS for seed in range(20)]
    for shift in [read_shift(EXAMPLE), *drawn]:
        assert parse_shift(write_shift(shift), "written") == shift


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("onset_days", "onsetdays", "Line 17: there is no field 'onsetdays'; do you mean onset"),
        ('"storm"', '"strom"', "Line 24: there is no incident 'strom'; do you mean storm?"),
        ("2013-07-08", "2013-02-30", "Line 15: day is 2013-02-30, which is no date"),
        ("2013-07-08", "2013-08-08", "Line 15: day is 2013-08-08; it is a day from 2013-07-01"),
        ("first = 2013-07-01", "first = 2013-07-02", "Line 8: first is 2013-07-02, a Tuesday"),
        ("severity = 1.0", "severity = 1.5", "Line 16: severity is 1.5; it is a share"),
        ("weeks = 4 ", "weeks = 40 ", "Line 9: weeks is 40; it is a whole number from 1 to 39"),
        ("seed = 7 ", "seed = true ", "Line 7: seed is True; it is a whole number"),
        ('what = "storm"\n', "", "Line 23: there is no incident None"),
        ('"storm"', '"hours"', "Line 24: hours strikes twice"),
        ("upstream_honest = false", "upstream_honest = 3", "upstream_honest is 3; it is true or"),
        ("lasts = 14", "lasts = 0", "Line 18: lasts is 0; it is a whole number from 1 to"),
        ("[[incident]]", "[[incidnet]]", "there is no field 'incidnet'; do you mean incident?"),
        ("seed = 7", "seed 7", "at line 7"),
    ],
)
def test_shift_file_when_something_is_wrong_then_line_and_fault_are_told(old, new, sentence):
    found = changed(old, new)
    assert "class.toml" in found and sentence in found


def test_shift_file_when_much_is_wrong_then_all_of_it_is_told_at_once():
    found = told("seed = -1\nfirst = 2013-02-30\nweek = 3\n[[incident]]\nwhat = 'hour'\n")
    for part in (
        "Line 1: seed",
        "Line 2: first",
        "Line 3: there is no field 'week'",
        "mean hours?",
    ):
        assert part in found


def test_shift_file_when_it_runs_out_of_flights_then_says_for_how_many_weeks_there_are_some():
    found = told("seed = 1\nfirst = 2013-12-23\nweeks = 2\n")
    assert "from 2013-12-23 on there are flights for 1." in found


def test_incident_that_is_sudden_when_given_a_share_then_is_refused():
    text = "seed = 1\nfirst = 2013-04-01\nweeks = 2\n[[incident]]\nday = 2013-04-02\n"
    assert "Line 7: slow-release is there wholly" in told(
        f"{text}what = 'slow-release'\nseverity = 0.5\n"
    )


def test_shift_file_when_missing_then_says_so(tmp_path):
    with pytest.raises(ParameterError, match="cannot be read"):
        read_shift(tmp_path / "none.toml")


def test_injection_when_its_day_has_passed_then_strikes_tomorrow(tmp_path):
    file = tmp_path / "inject.toml"
    file.write_text(write_incident("clock", date(2013, 7, 2)) + write_incident("celsius", None))
    clock, celsius = read_incidents(file, read_shift(EXAMPLE), date(2013, 7, 10))
    assert clock.strike.first == celsius.strike.first == date(2013, 7, 10)
    file.write_text(write_incident("storm", None))
    with pytest.raises(ParameterError, match="storm strikes in this shift already"):
        read_incidents(file, read_shift(EXAMPLE), date(2013, 7, 10))
