"""A release by hand: a model that somebody makes champion past the gate.

Nobody has compared it with what serves. The registry has a way for that, and writes down that it
was used; who goes back needs no more than the version before.
"""

from dataclasses import dataclass

import pandas as pd

from mlops_course.core.verdicts import Check, Verdict
from mlops_course.registry import evidence, promotions, versions
from mlops_course.training import tracking
from mlops_course.training.bad_releases import BAD_RELEASES
from mlops_course.training.trainer import TrainingResult

NO_EXAM = "No exam: nobody compared it with what serves."
WHY_FORCED = "it is wanted today."
_TRIED = Check("tried by hand", True, NO_EXAM)


@dataclass(frozen=True)
class ByHand:
    """A model released by hand: its training, the run and the URI that keep it, and its entry."""

    result: TrainingResult
    run_id: str
    uri: str
    entry: promotions.Entry


def release_by_hand(
    store: tracking.Store,
    origin: tracking.Provenance,
    release: str,
    champion: TrainingResult,
    flights: pd.DataFrame,
    *,
    seed: int | None,
    parent: str,
) -> ByHand:
    """Make a colleague's model, log and register it, and force it to be champion.

    The service follows whenever it is told to (`release.follower`).

    Parameters
    ----------
    release
        A name of `training.bad_releases.BAD_RELEASES`.
    champion, flights
        The model that serves, and the flights that it learned from.
    seed, parent
        As `tracking.log_training` takes them.

    Raises
    ------
    RegistryError
        If another program moves the champion just now.
    WorkspaceError
        If the store is locked or damaged.
    """
    result = BAD_RELEASES[release](champion, flights)
    run_id, uri = tracking.log_training(
        store, origin, result, flights, {}, name="a colleague's model", seed=seed, parent=parent
    )
    evidence.log_verdict(store, run_id, Verdict("model", (_TRIED,), rival=""))
    registered = versions.register(store, run_id, uri)
    entry = promotions.promote(
        store,
        registered.version,
        NO_EXAM,
        evidence=run_id,
        who="a colleague",
        force=WHY_FORCED,
    )
    return ByHand(result, run_id, uri, entry)
