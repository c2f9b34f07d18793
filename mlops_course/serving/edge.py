"""The service's edge: what is let in, how much at once, and what is written down of it.

Two layers around the app: `Observed` sees every request and every answer, `Guarded` turns away
what comes under a foreign name or is too much. Below them `Connection` ends connections on which
nobody asks.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from typing import Any, TextIO
from uuid import uuid4

import orjson
from uvicorn.protocols.http.h11_impl import H11Protocol

from mlops_course.core.texts import host_in, one_line
from mlops_course.serving.app import refusal
from mlops_course.serving.contract import Refused, known_hosts
from mlops_course.serving.metrics import INVOCATIONS, Metrics

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_ID_LETTERS = 64
MAX_NOTED = 200
MAX_AT_ONCE = 64
MAX_CONNECTIONS = 128
IDLE_SECONDS = 10
_PAGE = re.compile(r"https?://", re.I)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Observed:
    """An ASGI layer: gives each request an id, times it, counts it, and writes it down.

    The app has answered a crash by the time it arrives here; its cause goes to the log.
    """

    def __init__(self, app: App, metrics: Metrics, access: TextIO | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._access = access
        metrics.most_in_progress.set(MAX_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 500
        request_id = scope["request_id"] = _request_id(scope)
        self._metrics.begun(scope["path"])

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            self._note({"request_id": request_id, "crashed": f"{type(error).__name__}: {error}"})
        finally:
            self._account(scope, status, time.perf_counter() - begun)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        self._metrics.answered(scope["path"], status, seconds, scope.get("reason", ""))
        about = {"request_id": scope["request_id"], "method": scope["method"]}
        about |= {"path": scope["path"], "status": status, "ms": round(1000 * seconds, 3)}
        self._note({"at": time.time(), **about, **scope.get("told", {})})

    def _note(self, line: dict[str, Any]) -> None:
        if self._access is not None:
            short = {name: _short(value) for name, value in line.items()}
            print(orjson.dumps(short).decode(), file=self._access, flush=True)


class Guarded:
    """An ASGI layer that turns away foreign names, and requests beyond so many at once.

    A browser sends the name it believes to speak to, and the page that asks. Only the names of
    this machine are known, so no page from elsewhere can ask, whatever its name resolves to.

    Parameters
    ----------
    hosts
        Names besides those of this machine under which the service may be asked.

    Raises
    ------
    ParameterError
        If one of them is no host's name.
    """

    def __init__(self, app: App, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {*LOOPBACK, *known_hosts(hosts)}
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the app do so."""
        if foreign := self._foreign(scope["headers"]):
            names = ", ".join(sorted(self._hosts))
            sentence = f"The {foreign} is foreign; ask under {names}."
            await refusal(scope, Refused(sentence, 403))(scope, receive, send)
        elif scope["path"] != INVOCATIONS:
            await self._app(scope, receive, send)
        elif self._busy >= MAX_AT_ONCE:
            sentence = f"{MAX_AT_ONCE} requests are being answered; ask again."
            await refusal(scope, Refused(sentence, 503))(scope, receive, send)
        else:
            self._busy += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._busy -= 1

    def _foreign(self, headers: Collection[tuple[bytes, bytes]]) -> str:
        """Return which header names a foreign host; empty for none."""
        hosts, origins = (
            [value.decode("latin-1") for key, value in headers if key == name]
            for name in (b"host", b"origin")
        )
        if len(hosts) != 1 or host_in(hosts[0]) not in self._hosts:
            return "Host"
        pages = [_PAGE.sub("", origin) for origin in origins if _PAGE.match(origin)]
        if len(pages) != len(origins) or any(host_in(page) not in self._hosts for page in pages):
            return "Origin"
        return ""


class Connection(H11Protocol):
    """A connection that must ask: one on which no whole request comes in time is closed.

    So is one whose client hardly takes its answers: once more of them waits here than the system's
    buffers hold, almost all of it must be taken in that time, else the client would keep its place
    among those being answered. Where there are too many connections, those that have kept the
    service waiting for longest make place.
    """

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        if len(self.connections) >= MAX_CONNECTIONS:
            waiting = {one._patience.when(): one for one in self._peers() if one._patience}
            if waiting:
                waiting[min(waiting)]._make_place()
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what came; a request that is whole up to its body ends the waiting."""
        super().handle_events()
        if self._works() and not self.flow.write_paused:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a client that takes nothing."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on with the answer, or wait for the next request."""
        super().resume_writing()
        if self._works():
            self._stop_waiting()
        else:
            self._wait()

    def _works(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _peers(self) -> "Iterator[Connection]":
        return (one for one in self.connections if isinstance(one, Connection))

    def _make_place(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(IDLE_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _short(value: Any) -> Any:
    return one_line(value)[:MAX_NOTED] if isinstance(value, str) else value


def _request_id(scope: Scope) -> str:
    """Return the caller's own id if it is a plain word, or else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if re.fullmatch(rf"[\w.-]{{1,{MAX_ID_LETTERS}}}", given, re.ASCII) else uuid4().hex
