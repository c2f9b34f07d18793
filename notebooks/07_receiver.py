"""A webhook to try things on: `python 07_receiver.py 8099` listens on this machine alone.

It keeps each message once, by its key: a sender that got no answer sends the same one again.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Takes messages, or refuses them while its server is to refuse."""

    def do_POST(self):
        """Answer 200 for a message that is kept or known already, else 500."""
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = self.server.refusals > 0
        if refused:
            self.server.refusals -= 1
        else:
            self.server.taken.setdefault(self.headers["Idempotency-Key"], json.loads(body))
        self.send_response(500 if refused else 200)
        self.end_headers()

    def log_message(self, *words):
        """Keep quiet."""


class Receiver(ThreadingHTTPServer):
    """A webhook; ``refusals`` says how many messages it refuses first."""

    def __init__(self, port=0, refusals=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.refusals = refusals
        self.taken = {}

    @property
    def url(self):
        """Where to post to."""
        return f"http://127.0.0.1:{self.server_port}/hook"

    def start(self):
        """Listen in a thread of its own."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


if __name__ == "__main__":
    receiver = Receiver(int(sys.argv[1]))
    print(receiver.url, flush=True)
    receiver.serve_forever()
