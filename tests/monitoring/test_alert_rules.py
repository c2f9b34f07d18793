"""The Prometheus rules to take home: under promtool, broken, and beside a real service."""

import os
import re
import subprocess
from datetime import date
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlops_course.course.fixtures import saved
from mlops_course.data.flights import load_flights
from mlops_course.serving.contract import request_body
from mlops_course.serving.routing import Split
from mlops_course.serving.service import Service
from mlops_course.training.trainer import TrainingConfig, train

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RULES = NOTEBOOKS / "07_alert_rules.yml"
UNIT_TESTS = sorted(NOTEBOOKS.glob("07_alert_rules_*test.yml"))
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
EVERY_RULE = list(chain.from_iterable(group["rules"] for group in GROUPS))
ALERTS = {rule["alert"]: rule for rule in EVERY_RULE if "alert" in rule}
FILES = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in UNIT_TESTS}
CASES = list(chain.from_iterable(file["tests"] for file in FILES.values()))

# A threshold, and values on either side of it that are not it.
THRESHOLDS = {
    "PushBackDown": ("== 0", "== 1", "== 2"),
    "PushBackNotWatched": ("push-back", "other", "nobody"),
    "PushBackWithoutModel": ("champion", "challenger", "nobody"),
    "PushBackErrorBudgetBurnsFast": ("16.8", "14.4", "25"),
    "PushBackErrorBudgetBurns": ("7 *", "5 *", "17 *"),
    "PushBackErrorBudgetLeaks": ("3.5 *", "2 *", "7 *"),
    "PushBackRefusesRequests": ("0.05", "0.03", "0.2"),
    "PushBackSlow": ("> 0.2", "> 0.1", "> 0.5"),
    "PushBackNearlyFull": ("0.8", "0.7", "0.95"),
    "PushBackNoFlights": (">= 20", ">= 10", ">= 70"),
    "PushBackFewFlights": ("0.5 *", "0.6 *", "0.3 *"),
    "PushBackWeatherMissing": ("0.9", "0.8", "1.1"),
    "PushBackUnknownCategories": ("0.05", "0.02", "0.2"),
    "PushBackLateShareOutOfRange": ("0.65", "0.5", "0.8"),
    "PushBackModelFails": ("> 0", ">= 0", "> 5"),
    "PushBackTwoChampions": ("> 1", "> 0", "> 2"),
    "PushBackLogTooLarge": ("1.5", "1.4", "2"),
}
MINIMA = {
    "PushBackErrorBudgetBurnsFast": (">= 5", ">= 1"),
    "PushBackErrorBudgetBurns": (">= 5", ">= 1"),
    "PushBackErrorBudgetLeaks": (">= 5", ">= 1"),
    "PushBackRefusesRequests": (">= 5", ">= 1"),
    "PushBackSlow": (">= 200", ">= 1"),
    "PushBackFewFlights": (">= 60", ">= 1"),
    "PushBackWeatherMissing": (">= 100", ">= 1"),
    "PushBackUnknownCategories": (">= 100", ">= 1"),
    "PushBackLateShareOutOfRange": (">= 300", ">= 1"),
}


def run(*command):
    # promtool lets go of much memory between cases; collecting it less often spares a fifth.
    surroundings = {**os.environ, "GOGC": "800"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=surroundings)


def test_rules_when_checked_by_promtool_then_nothing_is_found(promtool):
    done = run(promtool, "check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_when_tested_by_promtool_then_every_case_holds(promtool):
    done = run(promtool, "test", "rules", *UNIT_TESTS)
    assert len(UNIT_TESTS) == 2 and done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_alert_when_read_then_says_how_bad_whose_it_is_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["labels"]["owner"] in ("serving", "feed", "model")
    for told in ("summary", "runbook"):
        text = rule["annotations"][told]
        assert text.endswith(".") and "\n" not in text and "http" not in text


@pytest.mark.parametrize("name", ALERTS)
def test_alert_when_looked_for_in_the_unit_tests_then_is_seen_firing_and_silent(name):
    expected = [
        bool(asked.get("exp_alerts"))
        for case in CASES
        for asked in case.get("alert_rule_test", ())
        if asked["alertname"] == name
    ]
    assert True in expected and False in expected


def rules_of(name):
    """Return the group of an alert: what it records, and this alert alone."""
    (group,) = (one for one in GROUPS if name in [rule.get("alert") for rule in one["rules"]])
    return [rule for rule in group["rules"] if rule.get("alert", name) == name]


def passes(promtool, name, rules):
    """Return whether the unit tests of one alert pass with these rules."""
    with TemporaryDirectory() as folder:
        broken = {"groups": [{"name": "broken", "rules": rules}]}
        (Path(folder) / "rules.yml").write_text(yaml.safe_dump(broken))
        files = []
        for path, tests in FILES.items():
            cases = [case for one in tests["tests"] if (case := only(one, name))]
            kept = tests | {"rule_files": ["rules.yml"], "tests": cases}
            files.append(Path(folder) / path.name)
            files[-1].write_text(yaml.safe_dump(kept))
        return run(promtool, "test", "rules", *files).returncode == 0


@cache
def sound(promtool, name):
    """Return whether the unit tests of one alert pass with the rules as they are."""
    return passes(promtool, name, rules_of(name))


def goes_red(promtool, name, change):
    """Return whether the unit tests of one alert notice a change, having passed without it."""
    assert sound(promtool, name)
    return not passes(promtool, name, change(rules_of(name)))


def only(case, name):
    """Return a test case with what it asks about one alert, None if that is nothing."""
    alerts = [one for one in case.get("alert_rule_test", ()) if one["alertname"] == name]
    values = [one for one in case.get("promql_expr_test", ()) if f'"{name}"' in one["expr"]]
    if not alerts and not values:
        return None
    return case | {"alert_rule_test": alerts, "promql_expr_test": values}


def replaced(old, new):
    """Return a change that puts another text into the expressions that have the old one."""

    def change(rules):
        assert any(old in rule["expr"] for rule in rules)
        return [rule | {"expr": rule["expr"].replace(old, new)} for rule in rules]

    return change


def without(key):
    """Return a change that takes a key out of the alert."""

    def change(rules):
        return [{name: rule[name] for name in rule if name != key} for rule in rules]

    return change


@pytest.mark.parametrize("name", ALERTS)
def test_alert_when_its_threshold_is_moved_then_the_unit_tests_go_red(promtool, name):
    old, looser, stricter = THRESHOLDS[name]
    assert goes_red(promtool, name, replaced(old, looser))
    assert goes_red(promtool, name, replaced(old, stricter))


@pytest.mark.parametrize("name", MINIMA)
def test_alert_when_it_asks_for_no_minimum_then_the_unit_tests_go_red(promtool, name):
    assert goes_red(promtool, name, replaced(*MINIMA[name]))


WAITING = [(name, "for") for name in ALERTS if "for" in ALERTS[name]]
STAYING = [(name, "keep_firing_for") for name in ALERTS if "keep_firing_for" in ALERTS[name]]


@pytest.mark.parametrize(("name", "key"), WAITING + STAYING)
def test_alert_when_it_does_not_wait_or_stay_then_the_unit_tests_go_red(promtool, name, key):
    assert goes_red(promtool, name, without(key))


@pytest.fixture(scope="module")
def exposed(shared_workspace, tmp_path_factory):
    """What a real service exposes after real requests of each kind: labels by sample's name."""
    flights = load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 7))
    log = tmp_path_factory.mktemp("exposed") / "predictions.db"
    model = train(flights, TrainingConfig(max_iter=5)).model
    with saved(model) as path, Service(predictions=log) as service:
        service.load(path, "1")
        service.load(path, "2", "challenger")
        service.share(Split("shadow"))
        records = orjson.loads(request_body(flights.iloc[:50]))
        records["dataframe_split"]["data"][0][4:] = [None] * 7 + ["ZZ", "ZZZ", "ZZZ"]
        bodies = [request_body(flights), orjson.dumps(records), b"{"]
        statuses = [answer.status_code for answer in service.send(bodies)]
        assert statuses == [200, 200, 422]
        text = httpx.get(f"{service.url}/metrics").text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


SELECTOR = re.compile(r"\b(push_back_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|=)\s*"([^"]*)"')
FROM_PROMETHEUS = {"job", "instance", "le"}


def selectors():
    """Yield each metric that the rules ask for, with its matchers."""
    for rule in EVERY_RULE:
        expression = re.sub(r"\b\w+:push_back_\w+(:\w+)?", "", rule["expr"])
        for name, matchers in SELECTOR.findall(expression):
            yield name, tuple(MATCHER.findall(matchers))


def fits(labels, matchers):
    for name, sign, value in matchers:
        given = labels.get(name)
        if given is None:
            return False
        same = re.fullmatch(value, given) is not None if sign == "=~" else given == value
        if same == (sign == "!="):
            return False
    return True


def test_rules_when_they_ask_for_a_metric_then_a_real_service_exposes_it(exposed):
    asked = set(selectors())
    assert len(asked) > 10
    unknown = [
        (name, matchers)
        for name, matchers in asked
        if not any(fits(labels, matchers) for labels in exposed.get(name, ()))
    ]
    assert not unknown


def test_rules_when_they_group_by_a_label_then_a_real_service_exposes_it(exposed):
    for rule in EVERY_RULE:
        names = {name for name, _ in SELECTOR.findall(rule["expr"]) if name in exposed}
        samples = chain.from_iterable(exposed[name] for name in names)
        known = FROM_PROMETHEUS.union(*samples)
        for labels in re.findall(r"\b(?:by|on|group_left) \(([\w, ]*)\)", rule["expr"]):
            assert {label.strip() for label in labels.split(",")} - {""} <= known, rule
