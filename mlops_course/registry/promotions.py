"""The audited promotion log: who made which version the champion, when, why, on what evidence.

Every entry is an MLflow run in an experiment of its own, so the log travels with the store and
any MLflow client can read it. Each entry holds the digest of the one before, which makes a later
change visible; it does not prevent one. `promote` and `roll_back` are the ways to move the alias
that leave an entry; an alias moved by other means is found out.
"""

import getpass
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from itertools import pairwise

from mlflow.entities import LifecycleStage, Param, Run, ViewType

from mlops_course.core.errors import Refusal, RegistryError
from mlops_course.core.files import alone
from mlops_course.core.texts import short
from mlops_course.core.verdicts import Check, Verdict
from mlops_course.core.workspace import check_store
from mlops_course.registry.evidence import log_verdict as log_verdict  # its other way in
from mlops_course.registry.evidence import newest_pass, sha256, speaking_for, text_of
from mlops_course.registry.versions import MODEL_NAME, checked, get, sealed, version_at
from mlops_course.serving.routing import CHAMPION
from mlops_course.training.tracking import Store, open_experiment

EXPERIMENT = "promotions"
GENESIS = "0" * 64
LOCK_SECONDS = 10.0
MAX_REASON_LETTERS = 5_000
MAX_FORCE_LETTERS = 1_000
MAX_WHO_LETTERS = 200
MAX_ENTRIES = 50_000


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes
    ----------
    action
        ``promoted``, ``rolled back``, or ``found`` where the alias had moved by other means.
    before, after
        The champion's version before and after; empty for none.
    reason, who
        Why, and who decided.
    evidence, evidence_digest
        The run that holds the gate's verdict, and the SHA-256 of that verdict.
    number
        Counts from 1.
    at
        Milliseconds since 1970, UTC.
    previous
        The digest of the entry before.
    digest
        The SHA-256 of all of the above.
    """

    action: str
    before: str
    after: str
    reason: str
    who: str
    evidence: str = ""
    evidence_digest: str = ""
    number: int = 0
    at: int = 0
    previous: str = GENESIS
    digest: str = ""

    @property
    def when(self) -> datetime:
        """The time of the entry, in UTC."""
        return datetime.fromtimestamp(self.at / 1000, UTC)


def promote(
    store: Store,
    version: str,
    reason: str,
    *,
    evidence: str | None,
    who: str = "",
    force: str = "",
) -> Entry:
    """Make ``version`` the champion and write down why.

    All is decided while no other program can move the champion. The entry is written before the
    alias moves: a process killed in between leaves an announcement that `audit` reports, never a
    move that nobody recorded. From then on the version's files are held to their digest.

    Parameters
    ----------
    evidence
        The id of the run that holds the gate's verdict on this version, as ``gate.json``: its
        training run, or a run below that. None for the newest, which must be a pass.
    who
        Who decided; by default the user of this computer.
    force
        Why it may replace a champion with which the verdict did not compare it. The entry's reason
        then begins with that.

    Raises
    ------
    Refusal
        If the reason is empty, or the evidence is missing, is not a pass, is about another model,
        or against a version that is champion no longer. Nothing has moved then.
    RegistryError
        If there is no such version, or another program moves the champion just now.
    ModelError
        If the version's files are not those that were registered.
    WorkspaceError
        If the store is locked or damaged.
    """
    check_store(store.workspace)
    registered = get(store, version)
    with _alone(store):
        champion = version_at(store)
        if evidence is None:
            evidence = newest_pass(store, registered.version)
        verdict, digest = speaking_for(store, registered, evidence)
        stale = champion not in (verdict.rival, registered.version)
        if stale and verdict.rival is not None and reason.strip():
            reason = _forced(registered.version, verdict.rival, champion, force) + reason
        draft = Entry("promoted", champion, registered.version, reason, who, evidence, digest)
        return _move(store, draft)


def roll_back(
    store: Store, reason: str, *, to: str = "", leaving: str = "", who: str = ""
) -> Entry:
    """Make the champion before the current one the champion again.

    It needs no new evidence: what spoke for the version when it was promoted is in the log. A
    version that was never judged, because the alias was moved by other means, is passed over, and
    so is one that was rolled back from.

    Parameters
    ----------
    to
        The version to go back to, which must have been promoted at some time, and may have been
        left since; by default the last champion that no rollback has left.
    leaving
        The version to leave; by default the champion of this moment. If another program moves the
        champion first, nobody has asked to leave that one.
    who
        Who decided; by default the user of this computer.

    Raises
    ------
    Refusal
        If the reason is empty, the log knows nothing to go back to, or the version to leave is
        champion no longer.
    RegistryError
        If that version was deleted, or another program moves the champion just now.
    ModelError
        If that version's files are not those that were registered.
    WorkspaceError
        If the store is locked or damaged.
    """
    check_store(store.workspace)
    leaving = leaving or version_at(store)
    with _alone(store):
        now = version_at(store)
        if now != leaving:
            raise Refusal(
                f"Nothing was rolled back: not version {leaving or 'none'} is champion by now, "
                f"but {now or 'none'}.",
                "A rollback leaves the version that its caller saw in charge.",
                "Look at the log, and roll back again if this one is to be left, too.",
            )
        entries = history(store)
        judged = _promoted(entries, to) if to else _before(_standing(entries), now)
        if not judged or to == now:
            where = f"no way back to version {short(to)}" if to else "nothing to go back to"
            raise Refusal(
                f"There is {where} from version {now or 'none'}.",
                "A rollback returns to a champion before it that the log has a verdict for.",
                "Promote a version instead.",
            )
        target = judged[-1]
        evidence = (target.evidence, target.evidence_digest)
        return _move(store, Entry("rolled back", now, target.after, reason, who, *evidence))


def history(store: Store) -> list[Entry]:
    """Return all entries, oldest first."""
    return [_read(run) for run in _runs(store)]


def champion_at(store: Store, when: datetime) -> str:
    """Return the version that was champion at a time, as the log has it; empty before the first.

    A time without a zone is taken as UTC.
    """
    moment = when if when.tzinfo else when.replace(tzinfo=UTC)
    past = [entry for entry in history(store) if entry.when <= moment]
    return past[-1].after if past else ""


def audit(store: Store) -> Verdict:
    """Check the log against itself, its evidence, and the alias.

    It cannot see a log that was rewritten up to its end. Keep the last digest somewhere else
    to see that, too.
    """
    runs = _runs(store)
    entries = [_read(run) for run in runs]
    alias = version_at(store)
    logged = _after(entries)
    pairs = list(pairwise(entries))
    digests = [GENESIS, *(entry.digest for entry in entries)]
    faults = {
        "unchanged": [e for e in entries if e.digest != _digest(e)],
        "chained": [e for e, d in zip(entries, digests, strict=False) if e.previous != d],
        "in order of time": [later for earlier, later in pairs if later.at < earlier.at],
        "evidence kept": [e for e in entries if e.evidence and not _still_there(store, e)],
        "kept": [_read(r) for r in runs if r.info.lifecycle_stage != LifecycleStage.ACTIVE],
        "carried out": [_read(run) for run in runs if run.info.status != "FINISHED"],
    }
    where = f"{CHAMPION} is version {alias or 'none'}; by the log it is {logged or 'none'}."
    checks = [Check(name, not bad, _told(bad, len(entries))) for name, bad in faults.items()]
    checks.append(Check("alias where the log left it", alias == logged, where))
    return Verdict("promotion log", tuple(checks))


def _forced(version: str, rival: str, champion: str, force: str) -> str:
    """Return how the reason of a forced promotion begins, or refuse one that is not forced."""
    judged = f"against version {rival}" if rival else "while there was no champion"
    now = f"version {champion}" if champion else "none"
    if not force.strip():
        raise Refusal(
            f"Version {version} was not promoted: it was judged {judged}, and champion is {now}.",
            "Evidence speaks for a version against the champion that it was compared with.",
            "Let the gate judge it again; or force it, and say why (--force REASON, force=...).",
        )
    return f"FORCED, judged {judged}, champion was {now}: {force.strip()[:MAX_FORCE_LETTERS]} | "


def _move(store: Store, draft: Entry) -> Entry:
    """Write the entry, move the alias, close the entry; whoever calls this holds the lock."""
    reason = draft.reason.strip()[:MAX_REASON_LETTERS]
    if not reason:
        raise Refusal(
            f"Version {draft.after} was not {draft.action}: no reason was given.",
            "Every entry says why, for whoever reads it later.",
            "Pass the reason, for instance the gate's verdict.",
        )
    checked(sealed(store, get(store, draft.after)))  # no entry may announce what cannot serve
    entries = history(store)
    if draft.before != _after(entries):
        met = Entry("found", _after(entries), draft.before, "Moved by other means.", "unknown")
        entry, run_id = _append(store, entries, met)
        store.client.set_terminated(run_id)
        entries.append(entry)
    who = draft.who.strip()[:MAX_WHO_LETTERS] or _user()
    entry, run_id = _append(store, entries, replace(draft, reason=reason, who=who))
    for tag, text in {"promotion.reason": reason, "promotion.who": who}.items():
        store.client.set_model_version_tag(MODEL_NAME, entry.after, tag, text)
    store.client.set_registered_model_alias(MODEL_NAME, CHAMPION, entry.after)
    store.client.set_terminated(run_id)
    return entry


def _append(store: Store, entries: Sequence[Entry], draft: Entry) -> tuple[Entry, str]:
    """Seal a draft as the next entry; return it and the id of its run, which is still open."""
    number, previous = (entries[-1].number + 1, entries[-1].digest) if entries else (1, GENESIS)
    draft = replace(draft, number=number, at=int(time.time() * 1000), previous=previous)
    entry = replace(draft, digest=_digest(draft))
    experiment = open_experiment(store.client, EXPERIMENT, store.workspace)
    run = store.client.create_run(experiment, entry.at, run_name=f"{number} {entry.action}")
    params = [Param(name, str(value)) for name, value in asdict(entry).items()]
    store.client.log_batch(run.info.run_id, params=params)
    return entry, run.info.run_id


def _digest(entry: Entry) -> str:
    """Return the SHA-256 of an entry's fields, its own digest left out."""
    sealed = {name: value for name, value in asdict(entry).items() if name != "digest"}
    return sha256(json.dumps(sealed, sort_keys=True))


def _runs(store: Store) -> list[Run]:
    """Return the runs that hold entries, in the order of their numbers; deleted ones as well."""
    found = store.client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return []
    runs = store.client.search_runs(
        [found.experiment_id], "params.number != ''", ViewType.ALL, MAX_ENTRIES
    )
    return sorted(runs, key=lambda run: _number(run.data.params["number"]))


def _read(run: Run) -> Entry:
    kept = run.data.params
    numbers = {name: _number(kept.get(name, "")) for name in ("number", "at")}
    texts = {field.name: kept.get(field.name, "") for field in fields(Entry)}
    return Entry(**{**texts, **numbers})  # type: ignore[arg-type]


def _number(text: str) -> int:
    """Return the number that a text holds, 0 where it holds none: the entry's digest tells."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text, re.ASCII) else 0


def _still_there(store: Store, entry: Entry) -> bool:
    text = text_of(store, entry.evidence)
    return text != "" and sha256(text) == entry.evidence_digest


def _standing(entries: Sequence[Entry]) -> list[Entry]:
    """Return the promotions that no rollback has undone, oldest first."""
    standing: list[Entry] = []
    for entry in entries:
        if entry.action == "promoted":
            standing.append(entry)
        elif entry.action == "rolled back":
            if not any(earlier.after == entry.after for earlier in standing):
                standing.append(entry)  # it had been left, and is wanted again
            while standing[-1].after != entry.after:
                standing.pop()
    return standing


def _before(standing: Sequence[Entry], version: str) -> list[Entry]:
    """Return what made the champions before a version, oldest first."""
    places = (place for place, e in reversed(list(enumerate(standing))) if e.after == version)
    return [entry for entry in standing[: next(places, None)] if entry.after != version]


def _promoted(entries: Sequence[Entry], version: str) -> list[Entry]:
    """Return the promotions of a version, oldest first."""
    return [e for e in entries if e.action == "promoted" and e.after == version]


def _after(entries: Sequence[Entry]) -> str:
    return entries[-1].after if entries else ""


def _told(bad: Sequence[Entry], count: int) -> str:
    if bad:
        return f"Not so in entry {', '.join(str(entry.number) for entry in bad)} of {count}."
    return f"So in all {count} entries."


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Hold a lock that other processes wait for, and that a killed one gives back."""
    lock = store.workspace.root / "promotions.lock"
    with ExitStack() as held:
        try:
            held.enter_context(alone(lock, LOCK_SECONDS))
        except TimeoutError as error:
            raise RegistryError(
                f"Nothing was moved: another program holds {lock.name}.",
                "One program moves the champion at a time.",
                "Wait for it to finish, or stop it, and try again.",
            ) from error
        yield
