"""What the team is told when an alert rule fires, and how it gets there: once, and surely.

Messages wait in an outbox, a SQLite file, until the receiver has taken them. An episode makes one
message, however many windows it lasts. Its price: a second fault within an episode of the same rule
is not told. Whoever monitors puts messages in and goes on; a receiver that is down, slow or failing
is asked again after growing waits, and costs nobody a message. Where it took one and its answer was
lost it is sent that one again, with the same key, by which a receiver knows it.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from mlops_course.alerting.alerts import Alert
from mlops_course.core.errors import ParameterError, WorkspaceError

CHANNEL = "#push-back-oncall"
MAX_NAMED = 3
KEY_HEADER = "Idempotency-Key"
FIRST_WAIT = 1.0
LONGEST_WAIT = 3_600.0
PATIENCE_SECONDS = 2.0  # for one answer of the receiver
_MESSAGES = """
CREATE TABLE IF NOT EXISTS messages (
    key TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    delivered_at REAL,
    state TEXT NOT NULL
)
"""
_ACKNOWLEDGED = """
CREATE TABLE IF NOT EXISTS acknowledged (rule TEXT PRIMARY KEY, until REAL NOT NULL)
"""
WAITING = "waiting"
DELIVERED = "delivered"
SILENCED = "silenced"


@dataclass(frozen=True)
class Message:
    """A message in the outbox.

    Attributes
    ----------
    key
        Its episode: the rule, and the window with which it began.
    state
        ``waiting``, ``delivered``, or ``silenced`` since somebody has acknowledged the rule.
    tries
        How often it was sent.
    body
        What is sent, as JSON.
    """

    key: str
    state: str
    tries: int
    body: str


def payload(
    alert: Alert, version: str, drifted: Sequence[str], findings: Sequence[str]
) -> dict[str, object]:
    """Return the message for the team: the alert, and where to look first.

    Parameters
    ----------
    version
        The model version that serves.
    drifted, findings
        The inputs that moved, most moved first, and the sentences of the data checks that failed.
    """
    return {
        "channel": CHANNEL,
        "severity": alert.severity,
        "owner": alert.owner,
        "rule": alert.rule,
        "text": alert.message,
        "model_version": version,
        "inputs_moved": list(drifted[:MAX_NAMED]),
        "data_checks_failed": list(findings[:MAX_NAMED]),
        "next": alert.runbook,
    }


def key_of(alert: Alert) -> str:
    """Return the key of the alert's episode, the same at each of its windows."""
    return f"{alert.rule}, since {alert.since}"


class Outbox:
    """Messages on their way to a webhook.

    Parameters
    ----------
    path
        Its SQLite file; several programs may share it.
    url
        Where messages are posted, as JSON.
    clock
        Seconds since 1970; a test's own.

    Raises
    ------
    ParameterError
        If the address is none.
    WorkspaceError
        If the file cannot be used.
    """

    def __init__(self, path: Path, url: str, clock: Callable[[], float] = time.time) -> None:
        if not url.startswith(("http://", "https://")):
            raise ParameterError(
                f"The webhook {url!r} has no address.",
                "Messages are posted over HTTP.",
                "Write for instance http://127.0.0.1:8099/hook.",
            )
        self.path = path
        self.url = url
        self._clock = clock
        with self._database() as database:
            database.execute(_MESSAGES)
            database.execute(_ACKNOWLEDGED)

    def put(self, alert: Alert, body: Mapping[str, object]) -> bool:
        """Keep a message to be sent; return whether it is new: an episode has one.

        One for a rule that is acknowledged is kept, silenced, and not sent.
        """
        now = self._clock()
        entry = (key_of(alert), alert.rule, json.dumps(body), now)
        with self._database() as database:
            silent = database.execute(
                "SELECT 1 FROM acknowledged WHERE rule = ? AND until > ?", (alert.rule, now)
            ).fetchone()
            state = SILENCED if silent else WAITING
            put = database.execute(
                "INSERT OR IGNORE INTO messages (key, rule, body, next_at, state)"
                " VALUES (?, ?, ?, ?, ?)",
                (*entry, state),
            )
            return put.rowcount == 1

    def acknowledge(self, rule: str, hours: float) -> None:
        """Send nothing new about a rule for so long: somebody is at it."""
        until = self._clock() + 3_600 * hours
        with self._database() as database:
            database.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?)", (rule, until))

    def deliver(self) -> int:
        """Send what waits and is due, each once; return how many the receiver has taken."""
        taken = 0
        with httpx.Client(timeout=PATIENCE_SECONDS) as client:
            while claimed := self._claim():
                key, body = claimed
                headers = {"content-type": "application/json", KEY_HEADER: key}
                try:
                    answer = client.post(self.url, content=body, headers=headers)
                except httpx.HTTPError:
                    continue
                if answer.is_success:
                    taken += 1
                    self._done(key)
        return taken

    def messages(self) -> list[Message]:
        """Return all messages, oldest first."""
        with self._database() as database:
            found = database.execute(
                "SELECT key, state, tries, body FROM messages ORDER BY rowid"
            ).fetchall()
        return [Message(*one) for one in found]

    def _claim(self) -> tuple[str, str] | None:
        """Take the next message that is due, and put its next try off: nobody else takes it."""
        now = self._clock()
        with self._database() as database:
            found = database.execute(
                "SELECT key, body, tries FROM messages WHERE state = ? AND next_at <= ?"
                " ORDER BY rowid LIMIT 1",
                (WAITING, now),
            ).fetchone()
            if found is None:
                return None
            key, body, tries = found
            wait = PATIENCE_SECONDS + min(FIRST_WAIT * 2**tries, LONGEST_WAIT)
            database.execute(
                "UPDATE messages SET tries = tries + 1, next_at = ? WHERE key = ?",
                (now + wait, key),
            )
            return key, body

    def _done(self, key: str) -> None:
        with self._database() as database:
            database.execute(
                "UPDATE messages SET state = ?, delivered_at = ? WHERE key = ?",
                (DELIVERED, self._clock(), key),
            )

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; no other program reads or writes in between."""
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise WorkspaceError(
                f"The outbox {self.path} cannot be used ({error}).",
                "It is a SQLite file in a folder that can be written.",
                "Name another file, or stop the program that holds it.",
            ) from error
