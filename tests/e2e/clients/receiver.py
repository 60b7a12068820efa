"""A webhook's receiver for the drivers."""

from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TIMEOUT_S = 30


def received(ask: Callable[[str], Any]) -> tuple[Any, Message, bytes]:
    """Ask for a webhook at an address that listens; what that returned, and the message."""
    arrived: list[tuple[Message, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            arrived.append((self.headers, self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.timeout = TIMEOUT_S
        asked = ask(f"http://127.0.0.1:{server.server_port}/done?a=b&c=d")
        server.handle_request()
    ((headers, body),) = arrived
    return asked, headers, body
