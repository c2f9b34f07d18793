"""A model that a colleague makes champion past the gate: recorded as that, undone by one call."""

from datetime import date

import numpy as np
import pytest

from mlops_course.core.errors import Refusal
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import open_workspace
from mlops_course.data.flights import load_flights
from mlops_course.registry import evidence, promotions, versions
from mlops_course.release.by_hand import release_by_hand
from mlops_course.training import tracking
from mlops_course.training.bad_releases import BAD_RELEASES
from mlops_course.training.model import load_model
from mlops_course.training.trainer import TrainingConfig, train

PASSED = Verdict("model", (Check("better overall", True, "Better."),))


@pytest.fixture(scope="module")
def flights(shared_workspace):
    return load_flights(shared_workspace, date(2013, 1, 1), date(2013, 1, 14))


@pytest.fixture(scope="module")
def champion(flights):
    return train(flights, TrainingConfig(max_iter=5))


@pytest.fixture(scope="module")
def store(tmp_path_factory, champion, flights):
    made = tracking.connect(open_workspace(tmp_path_factory.mktemp("by_hand") / "workspace"))
    run_id, uri = tracking.log_training(
        made, tracking.provenance(), champion, flights, {}, name="first", seed=0, parent=""
    )
    evidence.log_verdict(made, run_id, PASSED)
    version = versions.register(made, run_id, uri).version
    promotions.promote(made, version, "The first.", evidence=run_id)
    return made


@pytest.mark.parametrize("name", BAD_RELEASES)
def test_release_when_made_by_hand_then_serves_and_the_log_says_forced_and_one_call_undoes_it(
    store, champion, flights, name
):
    before = versions.version_at(store)
    made = release_by_hand(store, tracking.provenance(), name, champion, flights, seed=0, parent="")
    entry = promotions.history(store)[-1]
    assert entry == made.entry and entry.who == "a colleague"
    assert entry.reason.startswith("FORCED, ") and f"champion was version {before}" in entry.reason
    assert versions.version_at(store) == entry.after != before
    assert promotions.audit(store).passed
    kept = load_model(versions.resolve(store).path)
    np.testing.assert_array_equal(kept.probability(flights), made.result.model.probability(flights))
    promotions.roll_back(store, "It is worse.", leaving=entry.after)
    assert versions.version_at(store) == before


def test_release_when_nobody_forces_it_then_its_evidence_moves_nothing(store, champion, flights):
    made = release_by_hand(
        store, tracking.provenance(), "stuck", champion, flights, seed=0, parent=""
    )
    back = promotions.roll_back(store, "It is worse.", leaving=made.entry.after)
    with pytest.raises(Refusal, match="force it, and say why"):
        promotions.promote(store, made.entry.after, "Again.", evidence=made.run_id)
    assert versions.version_at(store) == back.after
