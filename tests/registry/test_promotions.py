import json
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from mlflow.entities import Param

from mlops_course.core.errors import ModelError, Refusal, RegistryError, WorkspaceError
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import fingerprint, load_flights
from mlops_course.registry import promotions, versions
from mlops_course.registry.evidence import EVIDENCE, verdicts_on
from mlops_course.registry.promotions import audit, champion_at, history, promote, roll_back
from mlops_course.training import tracking
from mlops_course.training.trainer import TrainingConfig, train

PASSED = Verdict("model", (Check("better overall", True, "Better by 1 point."),))
REFUSED = Verdict("model", (Check("better overall", False, "Worse by 1 point."),))


@pytest.fixture(scope="module")
def january(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, shared_workspace, january):
    """A workspace, a copy of its folder, and the runs of three registered versions, 1 to 3.

    The runs hold a passed verdict; one has a model.
    """
    root = tmp_path_factory.mktemp("promotions") / "workspace"
    workspace = open_workspace(root, cache=shared_workspace.cache)
    store = tracking.connect(workspace)
    result, origin = train(january, TrainingConfig(max_iter=5)), tracking.provenance()
    first, uri = tracking.log_training(
        store, origin, result, january, {}, name="trained", seed=0, parent=""
    )
    about = {"dataset_version": fingerprint(january)}
    params = [{"seed": seed} for seed in (1, 2)]
    made = [
        first,
        *(tracking.start_run(store, "trained", origin, given, tags=about) for given in params),
    ]
    for run_id in made:
        promotions.log_verdict(store, run_id, PASSED)
        versions.register(store, run_id, uri)
    return workspace, shutil.copytree(root, root.with_name("copy")), tuple(made)


@pytest.fixture
def store(prepared):
    """The store with the three versions, whatever the test before has done to it."""
    workspace, copy, _ = prepared
    shutil.rmtree(workspace.root)
    shutil.copytree(copy, workspace.root)
    return tracking.connect(workspace)


@pytest.fixture
def runs(prepared):
    return prepared[2]


@pytest.fixture
def promoted(store, runs):
    """Versions 1 and 2 promoted in turn."""
    for version in ("1", "2"):
        promote(store, version, f"why {version}", evidence=runs[int(version) - 1], who="Ada")
    return runs


def seen(verdict):
    return {check.name: check.seen for check in verdict.checks if not check.passed}


def move_alias(store, version):
    store.client.set_registered_model_alias(versions.MODEL_NAME, "champion", version)


def change(store, sql, *values):
    with closing(sqlite3.connect(store.workspace.database)) as database, database:
        assert database.execute(sql, values).rowcount > 0


def test_promote_when_versions_follow_each_other_then_alias_and_log_agree(store, promoted):
    one, two = history(store)
    assert (one.number, one.action, one.before, one.after) == (1, "promoted", "", "1")
    assert (two.number, two.action, two.before, two.after) == (2, "promoted", "1", "2")
    assert two.reason == "why 2" and two.who == "Ada" and two.evidence == promoted[1]
    assert one.previous == promotions.GENESIS and two.previous == one.digest
    assert timedelta(0) <= datetime.now(UTC) - two.when < timedelta(minutes=1)
    assert versions.find(store).version == "2"
    kept = store.client.get_model_version(versions.MODEL_NAME, "2")
    assert kept.tags["promotion.reason"] == "why 2" and kept.tags["promotion.who"] == "Ada"
    assert audit(store).passed


def test_promote_when_nobody_is_named_then_the_user_of_the_computer_is(store, runs):
    entry = promote(store, "1", " spaced ", evidence=runs[0])
    assert entry.who and entry.reason == "spaced" and history(store) == [entry]


def test_log_when_read_by_a_plain_mlflow_client_then_is_all_there(store, promoted):
    import mlflow

    found = mlflow.search_runs(experiment_names=["promotions"])
    assert sorted(found["params.after"]) == ["1", "2"] and set(found["status"]) == {"FINISHED"}


@pytest.mark.parametrize(
    ("version", "reason", "sentence"),
    [("1", " ", "no reason"), ("9", "typo", "no version 9")],
)
def test_promote_when_version_or_reason_is_missing_then_refuses_and_nothing_moves(
    store, promoted, version, reason, sentence
):
    before = history(store)
    with pytest.raises(RegistryError, match=sentence):
        promote(store, version, reason, evidence=promoted[0])
    assert versions.find(store).version == "2" and history(store) == before


def test_promote_when_the_evidence_does_not_speak_for_it_then_says_why(store, runs):
    bare = tracking.start_run(store, "bare", tracking.provenance(), {})
    deleted = runs[2]
    store.client.delete_run(deleted)
    promotions.log_verdict(store, runs[0], REFUSED)
    for version, evidence, sentence in (
        ("2", "", "run none holds no verdict"),
        ("2", "nonsense", "run nonsense holds no verdict"),
        ("2", bare, "holds no verdict"),
        ("3", deleted, "holds no verdict"),
        ("2", runs[0], "about another model"),
        ("1", runs[0], "refused it: Worse by 1 point"),
    ):
        with pytest.raises(RegistryError, match=sentence):
            promote(store, version, "because", evidence=evidence)
    assert versions.find(store) is None and history(store) == []


def test_promote_when_the_evidence_is_in_a_run_below_the_training_then_accepts(store, runs):
    below = tracking.start_run(store, "gate", tracking.provenance(), {}, parent=runs[0])
    promotions.log_verdict(store, below, PASSED)
    assert promote(store, "1", "judged later", evidence=below).after == "1"


@pytest.fixture
def judged(store, promoted):
    """The run of a verdict on version 3 against version 2, the champion then and now."""
    below = tracking.start_run(store, "gate", tracking.provenance(), {}, parent=promoted[2])
    promotions.log_verdict(store, below, replace(PASSED, rival="2"))
    return below


def test_promote_when_judged_against_the_champion_then_is_promoted(store, judged):
    assert promote(store, "3", "better", evidence=judged).before == "2"
    assert promote(store, "3", "once more", evidence=judged).after == "3"
    roll_back(store, "a bad feeling")
    assert promote(store, "3", "it was not that", evidence=judged).before == "2"


def test_promote_when_judged_against_another_champion_then_refuses_and_force_goes_on_record(
    store, judged
):
    roll_back(store, "2 is bad")
    with pytest.raises(Refusal, match="judged against version 2, and champion is version 1"):
        promote(store, "3", "better", evidence=judged)
    with pytest.raises(Refusal, match="judged against version 2"):
        promote(store, "3", "better", evidence=judged, force=" ")
    with pytest.raises(Refusal, match="no reason was given"):
        promote(store, "3", " ", evidence=judged, force="a hotfix")
    assert len(history(store)) == 3 and versions.version_at(store) == "1"
    entry = promote(store, "3", "better", evidence=judged, force="a hotfix")
    reason = "FORCED, judged against version 2, champion was version 1: a hotfix | better"
    assert entry.reason == reason and entry.before == "1" and audit(store).passed


def test_promote_when_judged_while_nothing_served_then_replaces_no_champion(store, promoted):
    promotions.log_verdict(store, promoted[2], replace(PASSED, rival=""))
    with pytest.raises(Refusal, match="while there was no champion, and champion is version 2"):
        promote(store, "3", "better", evidence=promoted[2])


def test_promote_when_the_verdict_names_its_exam_then_that_is_kept_and_held_to(store, promoted):
    judged = replace(PASSED, exam="0123456789ab")
    promotions.log_verdict(store, promoted[2], judged)
    assert verdicts_on(store, "3")[0] == (promoted[2], judged)
    promote(store, "3", "better", evidence=promoted[2])
    assert audit(store).passed
    promotions.log_verdict(store, promoted[2], replace(PASSED, exam="ba9876543210"))
    assert seen(audit(store)) == {"evidence kept": "Not so in entry 3 of 3."}


@pytest.mark.parametrize("kept", [{}, {"rival": None}, {"rival": 2}, {"exam": None}, {"exam": 7}])
def test_promote_when_the_evidence_is_of_an_older_form_then_is_read_as_it_is(store, promoted, kept):
    old = {"subject": "model", "checks": [asdict(PASSED.checks[0])], **kept}
    store.client.log_dict(promoted[2], old, EVIDENCE)
    assert promote(store, "3", "better", evidence=promoted[2]).after == "3"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        '{"subject": "model", "checks": []}',
        '{"subject": "model", "checks": {"a": 1}}',
        '{"subject": "model", "checks": [{"name": "a"}]}',
        '{"subject": "model", "checks": [{"name": "a", "seen": "", "passed": "yes"}]}',
        '{"checks": ' + "[" * 50_000,
        " " * 2**20 + '{"subject": "m", "checks": [{"name": "a", "seen": "", "passed": true}]}',
    ],
)
def test_promote_when_the_evidence_is_no_verdict_then_refuses_in_a_sentence(store, promoted, text):
    store.client.log_text(promoted[2], text, EVIDENCE)
    with pytest.raises(Refusal, match=r"holds no verdict of the gate|the gate refused it"):
        promote(store, "3", "better", evidence=promoted[2])
    assert versions.version_at(store) == "2"


def test_promote_when_a_check_that_failed_was_numpys_then_its_verdict_is_no_pass(store, promoted):
    slow = Check("fast enough", np.float64(3) <= 2, "Three times as slow.")
    promotions.log_verdict(store, promoted[2], Verdict("model", (*PASSED.checks, slow)))
    with pytest.raises(Refusal, match="the gate refused it: Three times as slow"):
        promote(store, "3", "better", evidence=promoted[2])
    for passed in ("False", "false", "yes", 0, None):
        kept = {"name": "fast enough", "passed": passed, "seen": "Slow."}
        store.client.log_dict(promoted[2], {"subject": "model", "checks": [kept]}, EVIDENCE)
        with pytest.raises(Refusal, match="the gate refused it: Slow"):
            promote(store, "3", "better", evidence=promoted[2])


def test_promote_when_the_files_have_changed_then_refuses_and_announces_nothing(store, promoted):
    with (versions.get(store, "3").path / "model.skops").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ModelError, match="have changed"):
        promote(store, "3", "better", evidence=promoted[2])
    assert len(history(store)) == 2 and audit(store).passed


def test_roll_back_when_the_champions_files_are_broken_then_leaves_it_all_the_same(store, promoted):
    other = promoted[2]
    broken = store.workspace.root / "broken"
    shutil.copytree(versions.get(store, "3").path, broken)
    store.client.create_model_version(versions.MODEL_NAME, broken.as_uri(), other)
    promote(store, "4", "better", evidence=other)
    (broken / "model.skops").write_bytes(b"")
    with pytest.raises(ModelError):
        versions.resolve(store)
    assert roll_back(store, "its files are broken").after == "2"


def test_move_when_who_or_why_is_endless_then_the_log_keeps_its_beginning(store, runs):
    entry = promote(store, "1", "r" * 10**7, evidence=runs[0], who="w" * 10**7)
    assert (len(entry.reason), len(entry.who)) == (5_000, 200) and audit(store).passed


def race(store, monkeypatch, *moves):
    """Begin moves while the lock is held, give it back when all wait for it; what they say."""
    monkeypatch.setattr(promotions, "LOCK_SECONDS", 60)

    def told(move):
        try:
            return move().after
        except Refusal as refused:
            return refused.happened

    with ThreadPoolExecutor() as threads:
        with promotions._alone(store):
            begun = [threads.submit(told, move) for move in moves]
            deadline = time.monotonic() + 60
            while openings("promotions.lock") <= len(moves):  # theirs and ours
                assert time.monotonic() < deadline
                time.sleep(0.02)
        return [one.result() for one in begun]


def openings(name):
    return sum(Path(file.path).name == name for file in psutil.Process().open_files())


def test_roll_back_when_two_programs_do_it_at_once_then_one_version_is_left_and_not_two(
    store, promoted, monkeypatch
):
    promote(store, "3", "why 3", evidence=promoted[2])
    told = race(store, monkeypatch, *[lambda: roll_back(store, "worse")] * 2)
    refused = "Nothing was rolled back: not version 3 is champion by now, but 2."
    assert sorted(told) == ["2", refused]
    assert versions.version_at(store) == "2" and len(history(store)) == 4
    assert audit(store).passed


def test_promote_when_two_were_judged_against_one_champion_then_the_second_is_refused(
    store, promoted, judged, monkeypatch
):
    fourth = versions.register(store, promoted[0], source_of(store, "1")).version
    below = tracking.start_run(store, "gate", tracking.provenance(), {}, parent=promoted[0])
    promotions.log_verdict(store, below, replace(PASSED, rival="2"))
    told = race(
        store,
        monkeypatch,
        lambda: promote(store, "3", "mine", evidence=judged),
        lambda: promote(store, fourth, "no, mine", evidence=below),
    )
    now = versions.version_at(store)
    other = {"3": fourth, fourth: "3"}[now]
    late = f"Version {other} was not promoted: it was judged against version 2, and champion is "
    assert sorted(told) == [now, f"{late}version {now}."]
    assert len(history(store)) == 3 and audit(store).passed


def source_of(store, version):
    return store.client.get_model_version(versions.MODEL_NAME, version).source


def test_roll_back_when_the_version_to_leave_is_champion_no_longer_then_nothing_moves(
    store, promoted
):
    with pytest.raises(Refusal, match="not version 1 is champion by now, but 2"):
        roll_back(store, "1 answers unlike training", leaving="1")
    assert len(history(store)) == 2 and roll_back(store, "worse", leaving="2").after == "1"


def test_roll_back_when_called_then_the_former_version_serves_and_its_evidence_is_named(
    store, promoted
):
    entry = roll_back(store, "late flights called on time")
    assert (entry.action, entry.before, entry.after) == ("rolled back", "2", "1")
    assert entry.evidence == promoted[0] and versions.find(store).version == "1"
    assert audit(store).passed


def test_roll_back_when_called_twice_then_does_not_return_to_the_bad_version(store, promoted):
    promote(store, "3", "why 3", evidence=promoted[2])
    assert [roll_back(store, "worse").after for _ in range(2)] == ["2", "1"]
    with pytest.raises(RegistryError, match="nothing to go back to from version 1"):
        roll_back(store, "worse still")


def test_roll_back_when_told_where_to_then_may_go_to_any_version_that_was_promoted(store, promoted):
    promote(store, "3", "why 3", evidence=promoted[2])
    entry = roll_back(store, "the feed is repaired", to="1")
    assert (entry.before, entry.after, entry.evidence) == ("3", "1", promoted[0])
    assert roll_back(store, "and broken again", to="3").after == "3"
    assert roll_back(store, "worse").after == "1"
    assert audit(store).passed


@pytest.mark.parametrize("version", ["2", "3", "9", "x"])
def test_roll_back_when_told_to_go_to_no_former_champion_then_refuses_and_nothing_moves(
    store, promoted, version
):
    with pytest.raises(Refusal, match=f"no way back to version {version} from version 2"):
        roll_back(store, "worse", to=version)
    assert len(history(store)) == 2 and versions.find(store).version == "2"


def test_roll_back_when_an_unjudged_version_served_in_between_then_passes_it_over(store, promoted):
    move_alias(store, "3")
    assert roll_back(store, "not judged").after == "2"
    move_alias(store, "3")
    promote(store, "1", "back to order", evidence=promoted[0])
    assert roll_back(store, "worse").after == "2"


def test_roll_back_when_a_version_was_fled_from_and_the_alias_moved_then_never_returns_to_it(
    store, promoted
):
    assert roll_back(store, "2 is bad").after == "1"
    move_alias(store, "3")
    promote(store, "1", "back to order", evidence=promoted[0])
    with pytest.raises(RegistryError, match="nothing to go back to from version 1"):
        roll_back(store, "worse")


def test_roll_back_when_the_former_version_was_deleted_then_nothing_moves_and_no_entry(
    store, promoted
):
    store.client.delete_model_version(versions.MODEL_NAME, "1")
    with pytest.raises(RegistryError, match="no version 1"):
        roll_back(store, "worse")
    assert len(history(store)) == 2 and versions.find(store).version == "2"
    assert audit(store).passed


def test_roll_back_when_nothing_was_promoted_then_says_so(workspace):
    with pytest.raises(RegistryError, match="from version none"):
        roll_back(tracking.connect(workspace), "panic")


def test_champion_at_when_asked_for_a_time_then_answers_by_the_log(store, promoted):
    one, two = history(store)
    assert champion_at(store, one.when - timedelta(milliseconds=1)) == ""
    assert champion_at(store, one.when) == "1"
    assert champion_at(store, two.when + timedelta(days=60)) == "2"
    assert champion_at(store, two.when.replace(tzinfo=None)) == "2"


def test_audit_when_the_alias_was_moved_by_other_means_then_reports_it(store, promoted):
    move_alias(store, "3")
    assert seen(audit(store)) == {
        "alias where the log left it": "champion is version 3; by the log it is 2."
    }


def test_promote_when_the_alias_was_moved_by_other_means_then_the_log_says_so_first(
    store, promoted
):
    move_alias(store, "3")
    promote(store, "1", "back to order", evidence=promoted[0])
    found, last = history(store)[-2:]
    assert (found.action, found.before, found.after, found.who) == ("found", "2", "3", "unknown")
    assert (last.before, last.after) == ("3", "1") and audit(store).passed


@pytest.mark.parametrize("field", ["reason", "who", "after", "at", "evidence", "digest"])
def test_audit_when_an_entry_was_changed_in_the_database_then_finds_it(store, promoted, field):
    sql = "UPDATE params SET value = '1' || value WHERE key = ? AND run_uuid = ?"
    change(store, sql, field, promotions._runs(store)[0].info.run_id)
    assert seen(audit(store))["unchanged"] == "Not so in entry 1 of 2."


def test_audit_when_an_entry_was_changed_and_sealed_again_then_the_next_one_tells(store, promoted):
    one = history(store)[0]
    run_id = promotions._runs(store)[0].info.run_id
    digest = promotions._digest(replace(one, reason="a better story"))
    for key, value in (("reason", "a better story"), ("digest", digest)):
        change(
            store, "UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", value, run_id, key
        )
    found = seen(audit(store))
    assert "unchanged" not in found and found["chained"] == "Not so in entry 2 of 2."


@pytest.mark.parametrize("number", [0, 1])
def test_audit_when_an_entry_was_deleted_then_finds_the_gap(store, promoted, number):
    store.client.delete_run(promotions._runs(store)[number].info.run_id)
    assert seen(audit(store)) == {"kept": f"Not so in entry {number + 1} of 2."}


def test_audit_when_the_whole_log_was_deleted_then_says_so_and_the_next_entry_restores_it(
    store, promoted
):
    store.client.delete_experiment(store.client.get_experiment_by_name("promotions").experiment_id)
    assert seen(audit(store)) == {"kept": "Not so in entry 1, 2 of 2."}
    assert roll_back(store, "worse").number == 3
    assert audit(store).passed and len(history(store)) == 3


def test_moving_when_the_store_is_locked_then_says_so_at_once(store, promoted):
    with closing(sqlite3.connect(store.workspace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for move in (
            lambda: promote(store, "3", "now", evidence=promoted[2]),
            lambda: roll_back(store, "worse"),
            lambda: tracking.copy_of(store, "copy"),
        ):
            with pytest.raises(WorkspaceError, match="locked by another program"):
                move()


def test_get_when_the_store_is_gone_then_does_not_say_that_the_version_is(store, promoted):
    with closing(sqlite3.connect(store.workspace.database)) as database:
        database.execute("DROP TABLE model_versions")
    with pytest.raises(WorkspaceError, match="no such table"):
        versions.get(store, "1")


def test_audit_when_evidence_was_changed_or_deleted_then_names_the_entries(store, promoted):
    promotions.log_verdict(store, promoted[0], REFUSED)
    assert seen(audit(store)) == {"evidence kept": "Not so in entry 1 of 2."}
    store.client.delete_run(promoted[1])
    assert seen(audit(store)) == {"evidence kept": "Not so in entry 1, 2 of 2."}


def test_audit_when_a_promotion_was_cut_off_before_the_alias_moved_then_finds_it(
    store, promoted, monkeypatch
):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store.client, "set_registered_model_alias", die)
        promote(store, "3", "why 3", evidence=promoted[2])
    found = seen(audit(store))
    assert found["carried out"] == "Not so in entry 3 of 3."
    assert found["alias where the log left it"] == "champion is version 2; by the log it is 3."
    promote(store, "3", "again", evidence=promoted[2])
    assert [entry.action for entry in history(store)[-2:]] == ["found", "promoted"]


def test_audit_when_the_log_is_empty_then_passes_and_an_alias_alone_does_not(store, runs):
    assert audit(store).passed
    move_alias(store, "1")
    assert set(seen(audit(store))) == {"alias where the log left it"}


def test_promote_when_another_program_holds_the_lock_then_one_sentence(
    store, promoted, monkeypatch
):
    monkeypatch.setattr(promotions, "LOCK_SECONDS", 0.1)
    with promotions._alone(store), pytest.raises(RegistryError, match="another program holds"):
        promote(store, "3", "now", evidence=promoted[2])


def test_promote_when_many_processes_do_it_at_once_then_every_entry_is_kept(store, promoted):
    code = (
        "import sys; from mlops_course.training import tracking;"
        "from mlops_course.registry import promotions;"
        "from mlops_course.core.workspace import open_workspace;"
        "store = tracking.connect(open_workspace(sys.argv[1]));"
        "[promotions.promote(store, v, 'race', evidence=e) for v, e in zip('123', sys.argv[2:])]"
    )
    command = [sys.executable, "-c", code, str(store.workspace.root), *promoted]
    crowd = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in crowd] == [0, 0]
    assert [entry.number for entry in history(store)] == list(range(1, 9))
    assert audit(store).passed


def test_history_when_a_run_was_cut_off_before_its_fields_then_is_no_entry(store, promoted):
    experiment = store.client.get_experiment_by_name("promotions").experiment_id
    store.client.create_run(experiment)
    stray = store.client.create_run(experiment)
    store.client.log_batch(stray.info.run_id, params=[Param("other", "1")])
    assert len(history(store)) == 2


def test_verdict_when_logged_then_any_client_can_read_it(store, runs):
    path = Path(store.client.download_artifacts(runs[0], EVIDENCE))
    assert json.loads(path.read_text()) == json.loads(json.dumps(asdict(PASSED)))
