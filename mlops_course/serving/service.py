"""The scoring service as its owner sees it: start, load a version, score, stop.

`Service` owns one child process that runs `worker`. The child listens on a loopback port
that the system chooses, and ends when its owner closes it or dies, whatever the manner.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pandas as pd

from mlops_course.core.errors import ServiceError
from mlops_course.serving import client
from mlops_course.serving.contract import known_hosts, request_body
from mlops_course.serving.routing import CHAMPION, Split

WORKER = "mlops_course.serving.worker"
START_SECONDS = 60.0
STOP_SECONDS = 8.0
ROWS_PER_REQUEST = 1_000


class Service:
    """A scoring service in a process of its own.

    Use it as a context manager, or call `start` and `close`. A service that died is started
    anew by the next `start`, on the same port.

    Parameters
    ----------
    port
        Where to listen; 0 lets the system choose.
    predictions
        The file of the prediction log; without one, nothing is kept.
    access_log
        The file of the access log, one JSON object a line; ``-`` for standard error.
    hosts
        Names besides those of this machine under which clients may ask, for instance a proxy's.

    Raises
    ------
    ParameterError
        If one of ``hosts`` is no host's name.
    """

    def __init__(
        self,
        port: int = 0,
        predictions: Path | None = None,
        access_log: Path | str | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        self._port = port
        self._predictions = predictions
        self._access_log = access_log
        known_hosts(hosts)
        self._hosts = hosts
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._client: httpx.Client | None = None
        self._orders = 0
        self.url = ""
        self.versions: dict[str, str] = {}
        self.paths: dict[str, Path] = {}
        self.split = Split()

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def version(self) -> str:
        """The champion's version; empty before one is loaded."""
        return self.versions.get(CHAMPION, "")

    @property
    def pid(self) -> int | None:
        """The process id while the process runs."""
        return self._process.pid if self._process is not None and self.alive else None

    def start(self) -> None:
        """Start the process if it does not run, and wait until it listens.

        Raises
        ------
        ServiceError
            If its port is taken, or it ends or says nothing within a minute.
        """
        with self._lock:
            if self.alive:
                return
            self.close()
            self._spawn()
            try:
                answer = self._answer(START_SECONDS)
                if "url" not in answer:
                    raise _not_started(answer["failed"])
            except BaseException:
                self.close()
                raise
            self.url = answer["url"]
            self._port = int(self.url.rpartition(":")[2])
            self._client = client.connect(self.url)

    def load(self, path: Path, version: str, role: str = CHAMPION, files: str = "") -> None:
        """Serve the MLflow model in the folder ``path`` from the next request on.

        Parameters
        ----------
        role
            ``champion``, or ``challenger`` for the one that `share` lets in.
        files
            The digest that its files must have (`training.model.files_digest`); empty for any.

        Raises
        ------
        ServiceError
            If the model cannot be read, or its files are others; the version served before stays.
        """
        with self._lock:
            self.start()
            order = {"load": str(path), "version": version, "role": role, "files": files}
            failed = self._order(order)
            if failed:
                raise ServiceError(
                    f"The service could not load version {version}: {failed}.",
                    f"It needs an MLflow model with a skops file in {path}.",
                    "Register the model again; the version served before stays in place.",
                )
            self.versions[role] = version
            self.paths[role] = path
            if CHAMPION in self.versions:
                self._wait_until_ready()

    def share(self, split: Split) -> None:
        """Share requests between champion and challenger from the next one on.

        Raises
        ------
        ServiceError
            If the service does not answer or cannot; the split before stays.
        """
        with self._lock:
            self.start()
            failed = self._order({"split": split.mode, "share": split.share})
            if failed:
                raise ServiceError(
                    f"The service could not split requests by {split}: {failed}.",
                    "It knows the ways that `Split` knows.",
                    "Stop it and start it again; the split before stays in place.",
                )
            self.split = split

    def begin_log(self, path: Path) -> None:
        """Write the prediction log into a new file from the next request on.

        Raises
        ------
        ServiceError
            If the file cannot be written; the log before it goes on.
        """
        with self._lock:
            self.start()
            failed = self._order({"log": str(path)})
            if failed:
                raise ServiceError(
                    f"The service could not begin a log: {failed}.",
                    "Whatever is scored is written down first.",
                    "See that the workspace is there and can be written, then run again.",
                )
            self._predictions = path

    def ping(self) -> bool:
        """Return whether the service answers and has a model."""
        if self._client is None:
            return False
        try:
            return self._client.get("/ping").status_code == 200
        except httpx.HTTPError:
            return False

    def score(self, rows: pd.DataFrame, batch: int = ROWS_PER_REQUEST) -> client.Scores:
        """Send rows as real requests of ``batch`` rows each, and return the answers in order.

        A start or a load that is under way in another thread ends first.

        Raises
        ------
        ServiceError
            If the service does not answer at all. A request it refuses is counted instead.
        """
        with self._lock:
            version = self.version
        if batch < 1 or not version:
            raise ServiceError(
                f"Nothing was scored: the batch has {batch} rows, the version is {version!r}.",
                "A batch has at least one row, and a model must be loaded.",
                "Call load with a registered model's path first.",
            )
        pieces = [rows.iloc[start : start + batch] for start in range(0, len(rows), batch)]
        answers = self.send(map(request_body, pieces))
        return client.read_scores(answers, [len(piece) for piece in pieces], version)

    def send(self, bodies: Iterable[bytes], ids: Iterable[str] = ()) -> list[httpx.Response]:
        """Send bodies one after the other and return the answers, refusals among them.

        Parameters
        ----------
        ids
            The requests' ids, as many as bodies; by default the service gives each one.

        Raises
        ------
        ServiceError
            If the service does not answer at all.
        """
        if self._client is None or not self.alive:
            raise self._died()
        try:
            return client.send_over(self._client, bodies, ids)
        except httpx.HTTPError as error:
            raise self._died() from error

    def kill(self) -> None:
        """Kill the process as a crash would, without a warning that it could react to.

        Raises
        ------
        ServiceError
            If it does not run.
        """
        process = self._process
        if process is None or not self.alive:
            raise self._died()
        process.kill()

    def close(self) -> None:
        """Stop the process; harmless when it does not run."""
        with self._lock:
            process = self._process
            self._process = None
            connection = self._client
            self._client = None
            if connection is not None:
                connection.close()
            if process is None:
                return
            with suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=5)

    def _spawn(self) -> None:
        # A session of its own keeps "Interrupt Kernel" away from the service.
        options: dict[str, Any]
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        else:
            options = {"start_new_session": True}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, *self._options()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if self._access_log == "-" else subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=environment,
                **options,
            )
        except OSError as error:
            raise _not_started(str(error.strerror)) from error
        answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=_listen, args=(process, answers), daemon=True).start()
        self._process = process
        self._answers = answers
        self.versions = {}
        self.paths = {}
        self.split = Split()

    def _options(self) -> list[str]:
        given = {
            "--port": self._port,
            "--predictions": self._predictions,
            "--access-log": self._access_log,
        }
        options: list[str] = []
        for name, value in given.items():
            if value:
                options += [name, str(value)]
        for host in self._hosts:
            options += ["--allow-host", host]
        return options

    def _order(self, order: Mapping[str, object]) -> str:
        """Send a control line and return why it could not be carried out; empty if it was.

        An answer to an earlier order, for which an interrupted caller did not wait, is passed over.
        """
        process = self._process
        assert process is not None and process.stdin is not None
        self._orders += 1
        try:
            process.stdin.write(json.dumps({"order": self._orders, **order}) + "\n")
            process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        while True:
            answer = self._answer(START_SECONDS)
            if answer.get("order") == self._orders:
                return str(answer["failed"])

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            answer = None
        if answer is None:
            raise self._died()
        return answer

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.ping():
            if not self.alive or time.monotonic() > deadline:
                raise self._died()
            time.sleep(0.02)

    def _died(self) -> ServiceError:
        """Return the error to raise; a process that is on its way out has a second to be gone."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        state = "does not answer" if self.alive else "is not running"
        return ServiceError(
            f"The scoring service {state}.",
            "Production traffic goes through it.",
            "Run again: a new one is started by itself.",
        )


def _not_started(why: str) -> ServiceError:
    return ServiceError(
        f"The scoring service could not be started: {why}.",
        "It is a second Python process that listens on a free port of this computer.",
        "Choose another port, or stop what uses it; close other notebooks if memory is short.",
    )


def _listen(
    process: "subprocess.Popen[str]", answers: "queue.Queue[dict[str, Any] | None]"
) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            with suppress(json.JSONDecodeError):
                answers.put(json.loads(line))
    answers.put(None)
