import sqlite3
import subprocess
import sys
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from mlops_course.core.errors import DataError, RegistryError
from mlops_course.core.verdicts import Check, Verdict, as_markdown
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import (
    FIRST_HELD_OUT,
    LAST_HELD_OUT,
    draw_days,
    labelled,
    load_flights,
)
from mlops_course.registry import exams, promotions, versions
from mlops_course.registry.evidence import verdicts_on
from mlops_course.release import gate
from mlops_course.training import tracking
from mlops_course.training.model import load_model, model_digest
from mlops_course.training.trainer import TrainingConfig, train

LAST_LEARNED = date(2013, 3, 17)
PASSED = Verdict("model", (Check("better overall", True, "Better."),))


@pytest.fixture(scope="module")
def store(tmp_path_factory, shared_workspace):
    """A store with a champion, and candidates of which each but one has a fault of its own."""
    root = tmp_path_factory.mktemp("gate") / "workspace"
    return tracking.connect(open_workspace(root, cache=shared_workspace.cache))


@pytest.fixture(scope="module")
def rows(store):
    return load_flights(store.workspace, date(2013, 1, 1), LAST_LEARNED)


@pytest.fixture(scope="module")
def ordinary(rows):
    return train(rows, TrainingConfig())


@pytest.fixture(scope="module")
def all_rows(store):
    """The rows to learn from and those to be judged on."""
    return load_flights(store.workspace, date(2013, 1, 1), date(2013, 3, 31))


@pytest.fixture(scope="module")
def leaked(all_rows):
    """What was learned from both."""
    return train(all_rows, TrainingConfig())


@pytest.fixture(scope="module")
def register(store, rows):
    """Return a function that logs and registers a training as the pipeline would."""

    def do(result, flights=rows, seed=0):
        tracking.connect(store.workspace)
        run_id, uri = tracking.log_training(
            store, tracking.provenance(), result, flights, {}, name="c", seed=seed, parent=""
        )
        return versions.register(store, run_id, uri)

    return do


@pytest.fixture(scope="module")
def champion(store, ordinary, register):
    version = register(ordinary)
    promotions.log_verdict(store, version.run_id, PASSED)
    promotions.promote(store, version.version, "first", evidence=version.run_id)
    return version


@pytest.fixture(autouse=True)
def fresh_exam(store):
    """Let each test begin with an exam on which nobody was judged."""
    with closing(sqlite3.connect(store.workspace.database)) as database, database:
        database.execute("DELETE FROM tags WHERE key = 'judged' OR key LIKE 'exam.%'")


@pytest.fixture
def judge(store, service):
    """Return the gate's verdict on a version; one service tries all of them."""

    def do(version, first=FIRST_HELD_OUT, last=LAST_HELD_OUT):
        return gate.judge(store, version.version, first, last, service=service)

    return do


@pytest.fixture
def blocked(judge):
    """Return the checks that a version fails."""
    return lambda version: {
        check.name: check.seen for check in judge(version).checks if not check.passed
    }


def seen(verdict, name):
    return next(check.seen for check in verdict.checks if check.name == name)


def test_gate_when_the_candidate_is_as_good_then_passes_and_its_run_is_evidence(
    store, rows, register, champion, judge
):
    drawn = draw_days(rows, 1)
    good = register(train(drawn, TrainingConfig(random_state=1)), drawn, seed=1)
    verdict = judge(good)
    assert verdict.passed, verdict.failures
    assert {check.name for check in verdict.checks} >= {
        *("trained on earlier days", "data as claimed", "rebuilt", "contract", "fast enough"),
        *("fresh exam", "no sure loss to the rule", "not worse overall"),
        *("not worse for origin JFK", "no sure loss for small slices"),
    }
    assert "(one-sided 99%, by 14 days)" in seen(verdict, "not worse overall")
    flights = labelled(load_flights(store.workspace, FIRST_HELD_OUT, LAST_HELD_OUT))
    assert verdict.exam == exams.describe(flights).fingerprint
    evidence = gate.record(store, good.version, verdict)
    entry = promotions.promote(store, good.version, "as good", evidence=evidence)
    assert entry.after == good.version and promotions.audit(store).passed
    promotions.roll_back(store, "end of the test")


def test_gate_when_nothing_serves_yet_then_compares_with_the_rule_alone(workspace, rows, ordinary):
    store = tracking.connect(workspace)
    run_id, uri = tracking.log_training(
        store, tracking.provenance(), ordinary, rows, {}, name="c", seed=0, parent=""
    )
    verdict = gate.judge(store, versions.register(store, run_id, uri).version)
    named = {check.name for check in verdict.checks}
    assert verdict.passed and {"better than the rule", "not worse for origin JFK"} <= named
    assert not {"fast enough", "no sure loss to the rule"} & named
    assert "of the rule dep_delay > 15" in seen(verdict, "not worse overall")
    assert "against the rule" in seen(verdict, "not worse for origin JFK")


def test_gate_when_the_candidate_is_worse_overall_then_blocks(rows, register, champion, blocked):
    worse = register(train(rows, TrainingConfig(max_iter=6)))
    assert "not worse overall" in blocked(worse)


def test_gate_when_one_airport_is_lost_then_blocks_for_it(rows, register, champion, blocked):
    spoilt = rows.copy()
    spoilt.loc[spoilt["origin"] == "LGA", "late"] = 0.0
    found = blocked(register(train(spoilt, TrainingConfig()), spoilt))
    assert "not worse for origin LGA" in found and "not worse for origin EWR" not in found


def test_gate_when_the_candidate_is_slow_then_blocks(rows, register, champion, blocked):
    few = rows[rows["date"] >= "2013-03-04"]
    slow = train(few, TrainingConfig(max_iter=1_000, max_leaf_nodes=4, learning_rate=0.05))
    assert set(blocked(register(slow, few))) == {"fast enough"}


def test_gate_when_it_learned_from_the_days_it_is_judged_on_then_blocks(
    register, champion, blocked, all_rows, leaked
):
    assert "trained on earlier days" in blocked(register(leaked, all_rows))


def test_gate_when_it_claims_other_days_than_it_learned_from_then_blocks(
    rows, register, champion, blocked, leaked
):
    liar = register(leaked, rows)
    assert "another model" in blocked(liar)["rebuilt"]
    changed = rows.assign(dep_delay=rows["dep_delay"] + 1)
    assert (
        "is not of these days"
        in blocked(register(train(changed, TrainingConfig()), changed))["data as claimed"]
    )


def test_gate_when_the_record_names_days_that_nobody_knows_then_blocks_for_that(
    rows, register, champion, blocked
):
    other_year = rows.assign(date=rows["date"] - pd.Timedelta(days=365))
    found = blocked(register(train(rows, TrainingConfig(max_iter=5)), other_year))
    assert "no such days are known" in found["known data"]


@pytest.mark.parametrize(
    ("value", "said"), [("plenty", "settings that are none"), ("-3", "refuses this configuration")]
)
def test_gate_when_the_record_holds_impossible_settings_then_blocks_for_that(
    store, rows, register, champion, blocked, value, said
):
    version = register(train(rows, TrainingConfig(max_iter=5)))
    change = "UPDATE params SET value = ? WHERE key = 'max_iter' AND run_uuid = ?"
    with closing(sqlite3.connect(store.workspace.database)) as database, database:
        database.execute(change, [value, version.run_id])
    assert said in blocked(version)["rebuilt"]


def test_gate_when_the_contract_is_broken_then_blocks_and_the_exam_is_not_touched(
    store, rows, register, champion, judge
):
    result = train(rows, TrainingConfig(max_iter=5))
    narrow = deepcopy(result.model.estimator)
    narrow.n_features_in_ = 3
    broken = register(replace(result, model=replace(result.model, estimator=narrow)))
    found = judge(broken)
    assert not found.passed and "answered with 500" in " ".join(found.failures)
    assert not {"fresh exam", "better than the rule"} & {check.name for check in found.checks}
    assert not exams.judged_on(store, march(store))


def test_gate_when_the_model_file_is_gone_then_blocks(rows, register, champion, blocked):
    version = register(train(rows, TrainingConfig(max_iter=5)))
    (version.path / "MLmodel").unlink()
    lost = "The model's files cannot be read (No such file or directory)."
    assert blocked(version) == {
        "rebuilt": lost,
        "can be served": f"The service could not load version {version.version}: {lost}",
    }


def test_gate_when_the_files_have_changed_then_blocks_unread(rows, register, champion, blocked):
    version = register(train(rows, TrainingConfig(max_iter=5)))
    with (version.path / "model.skops").open("ab") as file:
        file.write(b" ")
    found = blocked(version)
    assert set(found) == {"rebuilt", "can be served"}
    assert all("have changed since it was registered" in seen for seen in found.values())


def test_gate_when_the_champion_has_changed_since_then_its_verdict_is_no_evidence(
    store, rows, register, champion, judge
):
    version = register(train(rows, TrainingConfig(max_iter=5)))
    verdict = judge(version)
    assert verdict.rival == champion.version
    kept = verdicts_on(store, version.version)
    assert kept == []
    gate.record(store, version.version, verdict)
    assert [one for _, one in verdicts_on(store, version.version)] == [verdict]


ODD = [
    *("", " ", "nan", "1e999", "\u00b2", "\u0663", "9" * 4_999, "-" * 50, "__import__('os')"),
    *("[" * 4_000, "{1: 2}", "None", "'60'", "10**9", "1000000000", "a|b\n## <b>`[x](y)"),
]


@pytest.mark.parametrize("key", ["seed", "max_iter", "learning_rate", "early_stopping"])
def test_gate_when_a_parameter_of_the_run_is_odd_then_a_check_says_so(
    store, rows, register, champion, key
):
    version = register(train(rows, TrainingConfig(max_iter=2)))
    change = "UPDATE params SET value = ? WHERE key = ? AND run_uuid = ?"
    for value in ODD:
        with closing(sqlite3.connect(store.workspace.database)) as database, database:
            database.execute(change, [value, key, version.run_id])
        checks = list(gate._origin(store, version, FIRST_HELD_OUT))
        assert {check.name for check in checks} >= {"data as claimed"}
        text = as_markdown(Verdict(value, tuple(checks)), value)
        assert len(text.splitlines()) == 4 + len(checks)


@pytest.mark.parametrize(
    "name",
    [
        *("", "flights", "flights x to y", "flights 2013-01-01 to 2013-13-01", "a\n|b|"),
        *("flights 9999-12-31 to 0001-01-01", "flights 2013-01-01 to 2013-01-01\x1b[2J"),
        *("flights 2099-01-01 to 2099-01-02", "flights " + "2" * 400 + " to x", "<script>"),
    ],
)
def test_gate_when_the_run_names_odd_data_then_a_check_says_so(
    store, rows, register, champion, name
):
    version = register(train(rows, TrainingConfig(max_iter=2)))
    change = (
        "UPDATE datasets SET name = ?, digest = '|' WHERE dataset_uuid IN "
        "(SELECT source_id FROM inputs WHERE destination_id = ?)"
    )
    with closing(sqlite3.connect(store.workspace.database)) as database, database:
        before = database.execute("SELECT dataset_uuid, name, digest FROM datasets").fetchall()
        database.execute(change, [name, version.run_id])
    try:
        (check,) = gate._origin(store, version, FIRST_HELD_OUT)
        assert (check.name, check.passed) == ("known data", False)
        assert check.seen.isprintable() and len(check.seen) < 300
    finally:
        with closing(sqlite3.connect(store.workspace.database)) as database, database:
            put = "UPDATE datasets SET name = ?2, digest = ?3 WHERE dataset_uuid = ?1"
            database.executemany(put, before)


def march(store):
    """Return the exam that the gate holds by default."""
    return exams.describe(labelled(load_flights(store.workspace, FIRST_HELD_OUT, LAST_HELD_OUT)))


def test_gate_when_the_exam_is_worn_out_then_compares_nothing_until_later_days_are_named(
    store, rows, register, champion, judge
):
    exam = march(store)
    for number in range(gate.CANDIDATES):
        exams.note(store, champion.run_id, exam, exams.Pair(f"candidate {number}"))
    one_more = register(train(rows, TrainingConfig(max_iter=50)))
    verdict = judge(one_more)
    assert not verdict.passed and verdict.checks[-1].name == "fresh exam"
    assert verdict.failures == (
        "5 of at most 5 candidates, each against a rival, were judged on days of 2013-03-18 to "
        "2013-03-31. These are worn out: judge on days after 2013-03-31.",
    )
    verdict = judge(one_more, date(2013, 4, 1), date(2013, 4, 14))
    assert seen(verdict, "fresh exam").startswith("With this one 1 of at most 5 judged on exam")
    assert "not worse overall" in {check.name for check in verdict.checks}


def test_gate_when_a_candidate_is_judged_again_then_it_is_no_other_and_the_verdict_the_same(
    store, rows, register, champion, judge
):
    candidate = register(train(rows, TrainingConfig(max_iter=50)))
    quality = [
        [check for check in judge(candidate).checks if check.name != "fast enough"]
        for _ in range(2)
    ]
    assert quality[0] == quality[1]
    pair = exams.Pair(
        *(model_digest(load_model(one.path).estimator) for one in (candidate, champion))
    )
    assert exams.judged_on(store, march(store)) == {pair}


def test_gate_when_the_training_run_is_gone_then_blocks_and_the_exam_is_not_touched(
    store, rows, register, champion, judge
):
    candidate = register(train(rows, TrainingConfig(max_iter=5)))
    store.client.delete_run(candidate.run_id)
    verdict = judge(candidate)
    assert not verdict.passed and "is gone" in seen(verdict, "fresh exam")
    assert verdict.checks[-1].name == "fresh exam"


def test_gate_when_the_version_or_the_period_is_impossible_then_says_so(store, champion):
    with pytest.raises(RegistryError, match="no version 99"):
        gate.judge(store, "99")
    with pytest.raises(DataError, match=r"unfit: .* flights; at least"):
        gate.judge(store, champion.version, date(2013, 3, 18), date(2013, 3, 19))


def test_command_when_a_candidate_is_judged_then_status_and_report_say_it(
    store, rows, register, champion, tmp_path
):
    worse = register(train(rows, TrainingConfig(max_iter=6)))
    report = tmp_path / "report.md"

    def called(version):
        command = [sys.executable, "-m", "mlops_course", "gate", version, "--report", str(report)]
        place = ["--workspace", str(store.workspace.root)]
        return subprocess.run([*command, *place], capture_output=True, text=True)

    assert called(champion.version).returncode == 0
    assert "passed" in report.read_text()
    assert called(worse.version).returncode == 1
    assert "is blocked" in report.read_text()
    report.unlink()
    done = called("99")
    assert done.returncode == 3 and "There is no version 99" in done.stderr
    assert "Traceback" not in done.stderr and not report.exists()
