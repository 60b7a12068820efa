"""The real server for the official clients: plain, and behind a TLS proxy."""

import asyncio
import contextlib
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_bytes
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from retouch.domain.prediction import Cancel
from retouch.running import RunningServer, running_server
from retouch.service.identity import draw_id
from retouch.store import SqlStore

MODEL = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"
SLOW_S = 2.0
ANY_TOKEN = "r8_any_token_will_do"  # noqa: S105  while no key exists


@dataclass(frozen=True)
class Entrance:
    """Where clients reach the server, with which token, and what makes them trust it."""

    url: str
    token: str
    environ: dict[str, str]


@pytest.fixture(scope="session", params=["http", "https"])
def entrance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Entrance]:
    """`retouch serve`, plain and open, or behind a TLS proxy and closed by a key.

    Either has more predictions behind it than fit on a page.
    """
    data = tmp_path_factory.mktemp("clients") / "data"
    # The slow picture is served by this very process, and drivers listen for webhooks.
    here = ("--allow-fetch", "127.0.0.0/8", "--allow-webhook", "127.0.0.0/8")
    flags = ("--weights", request.config.getoption("--weights"), *here)
    if request.param == "http":
        with running_server(data, *flags) as server:
            fill_a_page(server, ANY_TOKEN)
            yield Entrance(server.url, ANY_TOKEN, {})
        return
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    token = created_key(data)
    certificate = self_signed(tmp_path_factory.mktemp("certificate"))
    with (
        tls_proxy(certificate) as proxy,
        running_server(data, *flags, "--public-url", proxy.url) as server,
    ):
        proxy.backend = urlsplit(server.url).netloc
        fill_a_page(server, token)
        trusted = {"SSL_CERT_FILE": str(certificate), "NODE_EXTRA_CA_CERTS": str(certificate)}
        yield Entrance(proxy.url, token, trusted)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph's stand-in."""
    path = tmp_path_factory.mktemp("picture") / "cat.png"
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(path)
    return path


@pytest.fixture(scope="session")
def slow(picture: Path) -> Iterator[str]:
    """The URL of the same picture, from a host that takes its time: so an edit can be slow."""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(SLOW_S)
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # cancelled meanwhile
                self.wfile.write(picture.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as host:
        serving = threading.Thread(target=host.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{host.server_port}/cat.png"
        host.shutdown()
        serving.join()


def created_key(data: Path) -> str:
    """A key's secret; the server is closed to everybody without it."""
    command = [sys.executable, "-m", "retouch.cli", "keys", "create", "clients", "--json"]
    made = subprocess.run(  # noqa: S603  our own command
        [*command, "--data", str(data)], capture_output=True, check=True, timeout=120
    )
    secret: str = json.loads(made.stdout)["key"]
    return secret


def fill_a_page(server: RunningServer, token: str) -> None:
    """Leave 101 cancelled predictions behind: one made by a request, and its like in the table."""
    body = json.dumps({"input": {"prompt": "filler"}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    with urlopen(Request(server.url + MODEL, body, headers), timeout=60) as answer:  # noqa: S310  ours
        id = json.load(answer)["id"]
    asyncio.run(cancel_with_copies(server.data, id, copies=100))


async def cancel_with_copies(data: Path, id: str, copies: int) -> None:
    """Cancel it, and so many others that differ in nothing but their ids."""
    store = SqlStore(f"sqlite:///{data}/retouch.db")
    await store.start()
    try:
        made = await store.get(id)
        assert made is not None
        cancel = Cancel(made.owner)
        await store.advance(id, cancel)
        like = [replace(made, id=draw_id(token_bytes)) for _ in range(copies)]
        await asyncio.gather(*map(store.add, like))
        await asyncio.gather(*(store.advance(it.id, cancel) for it in like))
    finally:
        await store.stop()


# -- a TLS proxy, as an operator would put one in front -----------------------------------------


class TlsProxy(socketserver.ThreadingTCPServer):
    """Ends TLS and passes the bytes on to `backend`."""

    daemon_threads = True
    backend = ""

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Passage)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.url = f"https://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        with self._context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


class Passage(socketserver.BaseRequestHandler):
    """One connection, both ways, until either side closes."""

    def handle(self) -> None:
        host, _, port = self.server.backend.partition(":")
        with socket.create_connection((host, int(port))) as behind:
            back = threading.Thread(target=pump, args=(behind, self.request), daemon=True)
            back.start()
            pump(self.request, behind)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tls_proxy(certificate: Path) -> Iterator[TlsProxy]:
    with TlsProxy(certificate) as proxy:
        serving = threading.Thread(target=proxy.serve_forever)
        serving.start()
        yield proxy
        proxy.shutdown()
        serving.join()


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    made = folder / "certificate.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(folder / "key.pem"), "-out", str(made),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  a fixed command
    made.write_text(made.read_text() + (folder / "key.pem").read_text())
    return made
