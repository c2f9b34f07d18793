"""A simulator alone in the browser, without Jupyter: one program that runs it and serves its page.

The page is the widget's own, with another channel: what changes is sent as a stream of events, and
what a person asks for comes back as a request. It listens on this machine only, and answers nobody
who does not know the secret in its address.
"""

import asyncio
import json
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from mlops_course.core.errors import CourseError
from mlops_course.drawing.markup import Markup, element, join
from mlops_course.simulator.recording import PAGE_STYLE
from mlops_course.simulator.simulator import PipelineSimulator
from mlops_course.simulator.widget import script, stylesheet_text

HOST = "127.0.0.1"
LOST = "The simulator's program has ended. Start it again: mlops-course simulator."
SILENT = "The simulator has not answered for some seconds. Its program may be busy, or gone."
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; frame-ancestors 'none'"
    ),
}
SECONDS_TO_END = 1
BEAT_SECONDS = 1.0
MAX_MESSAGE_BYTES = 10_000


class Channel:
    """What changes in a simulator's picture, as a stream of events for one page."""

    _changed: dict[str, Any]
    _news: asyncio.Event

    def __init__(self, simulator: PipelineSimulator) -> None:
        self._view = simulator.view
        self._changed = {}
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def stream(self, goes_on: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield the whole picture, then what changes, until the server ends or the page leaves."""
        names = list(self._view.values())
        self._view.observe(self._tell, names)
        try:
            whole = {**self._view.values(), "lost": LOST, "silent": SILENT}
            yield _message(whole)
            while goes_on():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), BEAT_SECONDS)
                self._news.clear()
                changed = self._changed
                self._changed = {}
                yield _message(changed) if changed else ": still here\n\n"
        finally:
            self._view.unobserve(self._tell, names)

    def _tell(self, change: dict[str, Any]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put, change["name"], change["new"])

    def _put(self, name: str, value: object) -> None:
        self._changed[name] = value
        self._news.set()


def _message(values: dict[str, Any]) -> str:
    return f"data: {json.dumps(values)}\n\n"


def page() -> str:
    """Return the page, which fetches all that it shows."""
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "Pipeline simulator"),
        element("style", Markup(f"{stylesheet_text()}\n{PAGE_STYLE}")),
    )
    code = f"{script()}\n{script('model.js', 'live.js')}"
    title = element("h1", "The pipeline simulator")
    heads = join(title, element("h2", "A real model, on a real year of flights"))
    body = join(
        element("main", heads, element("div", id="picture")),
        element("script", Markup(code), type="module"),
    )
    return f'<!doctype html>\n<html lang="en">{head}{element("body", body)}</html>\n'


def application(
    simulator: PipelineSimulator, secret: str, goes_on: Callable[[], bool] = lambda: True
) -> Starlette:
    """Return what serves a simulator's page below ``/SECRET/``, and nothing elsewhere.

    Parameters
    ----------
    goes_on
        Whether the server still runs; the streams end when it does not.
    """

    async def show(request: Request) -> Response:
        return HTMLResponse(page(), headers=HEADERS)

    async def news(request: Request) -> Response:
        stream = Channel(simulator).stream(goes_on)
        return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)

    async def tell(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_MESSAGE_BYTES:
                return Response(status_code=413)
        try:
            message = json.loads(body)
        except ValueError:
            return Response(status_code=400)
        await asyncio.to_thread(simulator.view.hear, message)
        return Response(status_code=204, headers=HEADERS)

    async def recording(request: Request) -> Response:
        try:
            kept = await asyncio.to_thread(_saved, simulator)
        except CourseError as error:
            return Response(str(error), status_code=409, headers=HEADERS)
        name = f"{simulator.config.scenario}.html"
        told = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(kept, media_type="text/html", headers=told)

    routes = [
        Route("/", show),
        Route("/news", news),
        Route("/tell", tell, methods=["POST"]),
        Route("/recording", recording),
    ]
    return Starlette(routes=[Mount(f"/{secret}", routes=routes)])


def _saved(simulator: PipelineSimulator) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mlops-recording-") as folder:
        return simulator.save(Path(folder) / "run.html").read_bytes()


def listen(port: int = 0) -> socket.socket:
    """Return a socket that listens on this machine; 0 takes a free port.

    Raises
    ------
    CourseError
        If another program has the port, or it may not be used.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise CourseError(
            f"Port {port} cannot be used ({getattr(error, 'strerror', None) or error}).",
            "The simulator's page needs a port of this machine that nobody else has.",
            "Leave --port out, and a free one is taken.",
        ) from error
    return listening


def serve(
    simulator: PipelineSimulator, listening: socket.socket, opened: Callable[[str], None]
) -> None:
    """Serve a simulator's page until the program is interrupted.

    Parameters
    ----------
    opened
        Is told the page's address once it can be opened.
    """
    secret = secrets.token_urlsafe(16)
    server: uvicorn.Server
    app = application(simulator, secret, lambda: not server.should_exit)
    config = uvicorn.Config(
        app,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    server = uvicorn.Server(config)
    opened(f"http://{HOST}:{listening.getsockname()[1]}/{secret}/")
    server.run(sockets=[listening])
