"""uvicorn on our own socket: it says when it answers, and leaves signals to us."""

import gc
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import uvicorn
from starlette.types import ASGIApp

from retouch.domain.errors import Busy
from retouch.web.corking import CorkedHttp

BACKLOG = 2048
GRACE_S = 5  # for answers under way when the server stops
YOUNG_OBJECTS = 20_000
"""How many objects more than at the last look make Python look for cycles. A request's own are
gone with it, so this is more than those of all requests under way at once."""


class WebServer(uvicorn.Server):
    """Serves an app on a listening socket until `should_exit` is set."""

    def __init__(
        self, app: ASGIApp, listening: socket.socket, *, on_ready: Callable[[str], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=CorkedHttp,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=75,
                backlog=BACKLOG,
            )
        )
        self._listening, self._on_ready = listening, on_ready

    async def run_until_exit(self) -> None:
        """Serve; calls `on_ready` with the address once requests are answered."""
        await self.serve(sockets=[self._listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _spare_collections()
        self._on_ready(address_of(self._listening))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them: uvicorn would end the process by its signal before the worker drained."""
        yield


def _spare_collections() -> None:
    """Look for cycles seldom, and never among what stays until the process ends.

    As Python comes, a busy server spends every twelfth moment on looking, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


@contextmanager
def listen(host: str, port: int, *, processes: int = 1) -> Iterator[Sequence[socket.socket]]:
    """A socket for each process, all of one address; port 0 takes a free one.

    The first one listens; each other takes its share of the connections from when its process
    does, and keeps it while it is held here. Raises Busy when the address cannot be had.
    """
    with ExitStack() as stack:
        # What others may share would not tell that the address is somebody else's.
        found = [stack.enter_context(_bound(host, port, is_shared=False))]
        if processes > 1:
            port = found.pop().getsockname()[1]
            stack.close()
            bound = (_bound(host, port, is_shared=True) for _ in range(processes))
            found = [stack.enter_context(it) for it in bound]
        found[0].listen(BACKLOG)
        yield found


def _bound(host: str, port: int, *, is_shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Busy(
            f"cannot listen on {host} port {port}: {error.strerror}; choose --port"
        ) from None
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """Where to point a client on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  shown, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104  compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
