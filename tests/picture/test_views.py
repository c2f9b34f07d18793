"""What a run's picture says, told on events made by hand; the real ones are in test_simulator."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.dom import minidom

import pytest
from handmade import (
    drift_run,
    forced,
    monday,
    silent_run,
    silent_week,
    started,
    two_day_week,
    unanswered_alert,
    unlabelled_week,
    unwatched_week,
    week,
)

from mlops_course.drawing import chart, loop, versions, weekly
from mlops_course.drawing.markup import element, join
from mlops_course.picture import alert_log, panel, poster, views
from mlops_course.pipeline.events import (
    STAGES,
    AlertRaised,
    Notified,
    Promoted,
    Rejected,
    Retrained,
    RolledBack,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from mlops_course.pipeline.state import RunState, fold
from mlops_course.simulator.widget import Picture, StillPicture
from mlops_course.telling import content, narrator


def whole(state: RunState):
    """Return the whole loop."""
    return join(*(loop.step(state, stage) for stage in STAGES), loop.way_back(state))


PARTS = {
    "loop": whole,
    "versions": versions.render,
    "figures": lambda state: join(*(panel.figures(state, stage) for stage in STAGES)),
    "accuracy": views.accuracy,
    "inputs": views.inputs,
    "tiles": views.tiles,
    "signals": weekly.signals,
    "story": lambda state: element("p", narrator.story(state)),
    "log": alert_log.log,
    "poster": poster.render,
}
RUNS = {"idle": [], "half": started(), "drift": drift_run(), "silent": silent_run()}


class Reader(HTMLParser):
    """Reads markup as a browser does: which attributes it has, and all it says."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.said = ""
        self.feed(str(markup))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            self.attributes.add(name)
            self.said += f" {value} "

    def handle_data(self, data):
        self.said += data


# ---- what may come from outside

EVIL = '"><b/onclick=alert(1)>&amp;'


def evil_run() -> RunState:
    """Return a run in which every text that can hold something bad does."""
    events = [
        RunStarted("good", EVIL, 0, 0.9, 8, "auto", EVIL),
        StageStarted("data", 1),
        StageFinished("data", 1, 0.1, EVIL, {EVIL: EVIL}),
        week(1, 0.80, EVIL, findings=(EVIL,), drift={EVIL: 3.0}),
        AlertRaised(monday(1), EVIL, 0.8, 0.9, EVIL),
        Notified(monday(1), EVIL, {"text": EVIL}),
        Rejected(monday(1), EVIL),
        Promoted(monday(1), EVIL, EVIL, EVIL, EVIL),
        RolledBack(monday(1), EVIL, EVIL, EVIL, EVIL),
        RunFinished(1.0),
    ]
    return fold(events)


PLACES_FOR_TEXT = {
    **{name: part for name, part in PARTS.items() if name != "tiles"},
    "debrief": lambda state: alert_log.debrief(state, EVIL, EVIL),
    "still picture": lambda state: StillPicture(state).html(),
}


@pytest.mark.parametrize("place", PLACES_FOR_TEXT)
def test_markup_when_a_text_holds_markup_then_says_it_and_does_not_obey_it(place):
    read = Reader(PLACES_FOR_TEXT[place](evil_run()))
    assert EVIL in read.said
    assert "onclick" not in read.attributes


@pytest.mark.parametrize("part", ["status", "spoken", "stale"])
def test_page_when_a_sentence_holds_markup_then_says_it_and_does_not_obey_it(part):
    page = Picture()
    failed = fold([*started(), StageFailed("monitor", 1, 0.1, EVIL)])
    page.show(failed, stale=EVIL)
    read = Reader(getattr(page, part))
    assert EVIL in read.said
    assert "onclick" not in read.attributes


def test_reader_when_markup_is_not_escaped_then_sees_it():
    assert "onclick" in Reader(f'<p title="{EVIL}"></p>').attributes


def test_element_when_given_text_and_markup_then_escapes_the_text_alone():
    made = element("li", "<i>", element("i"), title='"<', data_key=None)
    assert made == '<li title="&#34;&lt;">&lt;i&gt;<i></i></li>'


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("part", PARTS)
def test_markup_when_rendered_then_closes_what_it_opens(part, run):
    rendered = PARTS[part](fold(RUNS[run]))
    assert minidom.parseString(f"<all>{rendered}</all>").documentElement.childNodes


# ---- the parts


def test_chart_when_alerts_fired_then_marks_them_by_shape_and_names_the_new_model():
    state = fold(drift_run("7", "8"))
    rendered = chart.render(state)
    assert rendered.count('class="mls-bad"') == 3 and rendered.count('class="mls-dot"') == 5
    assert "v8 promoted" in rendered and "alert line" in rendered
    assert "alerts in weeks 4, 5 and 6" in chart.describe(state)


def test_chart_when_the_simple_rule_collapses_then_says_where_it_went():
    state = fold([*started(), week(1, 0.95), week(2, 0.93, baseline_accuracy=0.49)])
    assert "49%" in chart.render(state)


def test_inputs_when_one_drifted_then_flags_it_alone_and_says_how_often_a_calm_week_would():
    rendered = views.inputs(fold(drift_run()[:-6]))
    assert row_of(rendered, "dep_delay") == ("drifted", "4.8", "▲ drifted")
    assert row_of(rendered, "temp") == ("calm", "0.9", "")
    assert "Of 100 calm weeks up to 15 have such an input by chance, some 8 a year" in rendered


def row_of(rendered: str, name: str) -> tuple[str, str, str]:
    """Return an input's kind, its score and the word beside it."""
    row = next(part for part in rendered.split("<li ") if f">{name}<" in part)
    kind = re.search(r'data-kind="(\w+)"', row)
    score, flag = re.findall(r'class="mls-(?:score|flag)">([^<]*)<', row)
    return kind.group(1), score, flag


def test_inputs_when_data_checks_fail_then_says_so_even_without_an_alert():
    state = fold([*started(), week(1, 0.95, findings=("temp is missing.", "dewp is missing."))])
    assert "temp is missing. And 1 more." in views.inputs(state)


def test_tiles_when_a_week_is_calm_then_none_is_marked():
    tiles = content.tiles_of(fold([*started(), week(1, 0.95)]))
    assert [tile.value for tile in tiles] == ["95.0%", "94.0%", "19.0%", "93.0%", "12 ms"]
    assert not [tile.name for tile in tiles if tile.bad]
    assert views.tiles(fold(started())).count("<b>–</b>") == len(tiles)


def test_tiles_when_shown_then_each_name_explains_itself_and_stays_open_when_drawn_anew():
    rendered = views.tiles(fold(drift_run()))
    assert rendered.count('<details class="mls-term"') == 5
    assert rendered.count('data-key="tile-') == 5 and "counts days, not flights" in rendered


def test_tiles_when_accuracy_raised_the_alert_then_it_alone_is_marked():
    state = fold(drift_run()[:-5])
    assert [tile.name for tile in content.tiles_of(state) if tile.bad] == ["Accuracy"]


def test_log_when_alerts_follow_each_other_then_only_the_first_is_unfolded():
    rendered = alert_log.log(fold(drift_run()))
    entries = alerts_in(rendered)
    assert ["<details" in entry for entry in entries] == [False, True, True]
    assert "fewer than one week in 20" in entries[0] and "dep_delay moved" in entries[0]
    assert "look &lt;here&gt;" in rendered


def alerts_in(rendered: str) -> list[str]:
    """Return the log's entries that are alerts."""
    return [part for part in rendered.split("<li ") if 'data-kind="alert"' in part]


def test_log_when_a_run_is_shown_then_has_a_kind_and_a_key_for_every_entry():
    rendered = alert_log.log(fold([*drift_run(), Rejected(monday(8), "worse")]))
    kinds = re.findall(r'data-key="entry-\d+" data-kind="(\w+)"', rendered)
    assert kinds == ["done", "alert", "sent", "alert", "again", "alert", "done", "refused"]
    assert "week 5, 30 Sep" in rendered and "before week 1" in rendered


# ---- weeks of which nothing is known


@pytest.mark.parametrize("cut", range(14, len(silent_run()) + 1))
@pytest.mark.parametrize("part", PARTS)
def test_views_when_weeks_are_silent_then_show_no_number_that_is_none(part, cut):
    rendered = PARTS[part](fold(silent_run()[:cut]))
    assert not re.search(r"\bnan\b", rendered, re.IGNORECASE)


def test_chart_when_weeks_are_silent_then_they_have_a_mark_words_and_no_line():
    state = fold([*started(), week(1, 0.95), silent_week(2), silent_week(3), week(4, 0.94)])
    rendered = chart.render(state)
    assert rendered.count('class="mls-bad"') == 2 and rendered.count('class="mls-dot"') == 2
    assert rendered.count(">no answers</text>") == 1
    assert 'class="mls-line"' not in rendered and 'class="mls-base"' not in rendered
    assert "accuracy unknown since no flight was answered, 6,400 of 6,400" in rendered
    assert re.findall(r'mls-value"[^>]*>([\d.]+)<', rendered) == ["95.0", "94.0"]


def test_chart_when_labels_are_missing_then_says_that_and_raises_no_alarm():
    rendered = chart.render(fold([*started(), unlabelled_week(1)]))
    assert ">no labels</text>" in rendered and 'class="mls-bad"' not in rendered


def test_chart_when_silent_weeks_stand_among_others_then_keeps_the_scale_of_the_others():
    weeks = [week(1, 0.90), week(2, 0.70)]
    assert chart.scale_of(fold([*weeks, silent_week(3)])) == chart.scale_of(fold(weeks))


def test_chart_when_hardly_any_flight_was_answered_then_says_of_how_many_the_accuracy_is():
    few = week(1, 1.0, answered=3, labelled=3, upper=1.0, alert=True)
    assert ">of 3</text>" in chart.render(fold([*started(), few]))


def test_description_when_weeks_are_silent_then_names_them():
    said = chart.describe(fold(silent_run()))
    assert "first 95.0%, lowest 80.0% in week 5, last 80.0%" in said
    assert "flights unanswered in weeks 3, 4 and 5; accuracy unknown in weeks 3 and 4." in said


def test_description_when_nothing_is_known_then_says_so():
    assert "it is not known of any week" in chart.describe(fold([silent_week(1)]))


def test_tiles_when_no_flight_was_answered_then_say_why_and_mark_the_service():
    silent = silent_week(1)
    tiles = content.tiles_of(fold([*started(), silent, unanswered_alert(silent)]))
    assert [tile.value for tile in tiles] == ["–", "–", "–", "–", "12 ms"]
    accuracy, *_, service = tiles
    assert accuracy.note == "no flight was answered" and not accuracy.bad
    assert "7 errors; 6,400 of 6,400 flights unanswered" in service.note and service.bad


def test_tiles_when_some_flights_were_answered_then_say_of_how_many_the_accuracy_is():
    tiles = content.tiles_of(fold(silent_run()))
    assert tiles[0].note.startswith("of 4,900 flights; upper bound 80.6%: alert if even that")
    assert [tile.name for tile in tiles if tile.bad] == ["Accuracy", "Service"]


def test_tiles_when_only_answers_raised_the_alert_then_accuracy_is_not_marked():
    few = week(1, 0.95, answered=6000, alert=True)
    tiles = content.tiles_of(fold([*started(), few, unanswered_alert(few)]))
    assert [tile.name for tile in tiles if tile.bad] == ["Service"]


def test_tiles_when_no_label_has_arrived_then_the_service_is_not_to_blame():
    accuracy, _, late, confidence, service = content.tiles_of(fold([unlabelled_week(1)]))
    assert accuracy.note == confidence.note == "no label has arrived"
    assert (late.value, late.note) == ("19.0%", "were late: unknown")
    assert confidence.value == "93.0%" and not service.bad


def test_week_when_days_are_too_few_then_tile_and_chart_say_that_it_cannot_tell():
    few = two_day_week(1, 0.6)
    accuracy, *_ = content.tiles_of(fold([*started(), few]))
    assert (accuracy.value, accuracy.bad) == ("60.0%", False)
    assert accuracy.note == "1,800 labels of 2 days cannot tell, alert below 90%"
    rendered = chart.render(fold([*started(), few]))
    assert "accuracy 60.0%, 1,800 labels of 2 days cannot tell" in rendered
    assert "nan" not in rendered


def test_inputs_when_no_flight_was_answered_then_says_that_nothing_was_compared():
    rendered = views.inputs(fold([*started(), week(1, 0.95), silent_week(2)]))
    assert "No flight was answered: nothing to compare." in rendered
    assert "mls-bars" not in rendered and "dep_delay is empty in 22 flights" in rendered


def test_log_when_a_week_has_two_alerts_then_each_has_its_own_advice():
    *_, first, second = alerts_in(alert_log.log(fold(silent_run())))
    assert "1,400 of 6,400 flights unanswered" in first and "what the service refuses" in first
    assert "Even the upper bound" in second and "what the service refuses" not in second
    assert "<details" in first, "its rule fired the week before"
    assert "<details" not in second, "its rule fired for the first time"


# ---- the still picture


@pytest.mark.parametrize("run", RUNS)
def test_poster_when_rendered_then_is_a_small_whole_svg_with_a_background(run):
    rendered = poster.render(fold(RUNS[run]))
    root = minidom.parseString(rendered).documentElement
    assert root.tagName == "svg" and root.getAttribute("xmlns")
    assert root.getElementsByTagName("rect")[0].getAttribute("fill") == "#fff"
    assert len(rendered) < 60_000


def test_poster_when_only_times_ids_and_versions_differ_then_is_the_same():
    one = fold(drift_run("1", "2", "abc", 0.5))
    other = fold(drift_run("31", "32", "fed", 0.7))
    assert poster.render(one) == poster.render(other)
    assert poster.describe(one) == poster.describe(other)


def test_poster_when_the_latest_week_was_silent_then_says_that_nothing_was_compared():
    rendered = poster.render(fold([*started(), week(1, 0.95), silent_week(2)]))
    said = " ".join(re.findall(r">([^<]*)</text>", rendered))
    assert "week 2. No flight was answered: nothing to compare." in said


@pytest.mark.parametrize("run", ["drift", "silent"])
def test_poster_and_page_when_they_show_a_run_then_say_the_same(run):
    state = fold(RUNS[run])
    page = Reader(whole(state) + views.accuracy(state) + views.inputs(state)).said
    still = Reader(poster.render(state)).said
    for entry in chart.LEGEND:
        assert entry.words in still and (entry.more or entry.words) in page
    for bar in content.moved_inputs(state).bars:
        assert bar.name in page and bar.name in still
    for stage in STAGES:
        title = content.card_of(state, stage).title
        assert title in page and title in still


def test_log_when_it_is_long_then_the_poster_counts_the_rest():
    many = [Retrained(monday(n), (monday(n),), 100, "abc", 0.1) for n in range(1, 16)]
    state = replace(fold(started()), log=tuple(many))
    assert "… and 3 more entries." in poster.render(state)


def test_log_when_no_rule_was_evaluated_then_says_for_which_weeks_with_entries_and_without():
    words = "The rules were not evaluated for weeks 2 and 3."
    quiet = fold([week(1, 0.95), unwatched_week(2, 0.95), unwatched_week(3, 0.95)])
    assert words in alert_log.log(quiet) and "No alert so far." in alert_log.log(quiet)
    promoted = alert_log.log(fold([*quiet.weeks, forced(3)]))
    assert words in promoted and 'data-kind="told"' in promoted  # and not as something done well
    assert "evaluated" not in alert_log.log(fold(drift_run()))


def test_accuracy_tile_when_no_rule_was_evaluated_then_promises_no_alert():
    accuracy = content.tiles_of(fold([unwatched_week(1, 0.80)]))[0]
    assert accuracy.note == "the rules were not evaluated for this week" and not accuracy.bad


def test_chart_when_no_rule_was_evaluated_then_says_so_of_the_week_and_of_the_run():
    state = fold([week(1, 0.95), unwatched_week(2, 0.80)])
    assert "the rules were not evaluated for week 2" in chart.describe(state)
    rendered = chart.render(state)
    assert rendered.count("the rules were not evaluated") == 1  # in the tooltip of the week's mark
    assert rendered.count(">rules not evaluated<") == 1
    nothing = chart.render(fold([replace(unlabelled_week(1), watched=False)]))
    assert ">no labels, rules not evaluated<" in nothing
