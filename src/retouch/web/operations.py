"""The addresses that operators and their machines read: health and figures."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope as HttpScope

from retouch.domain.errors import Busy, Forbidden, Throttled, Unauthenticated
from retouch.domain.grant import Scope
from retouch.protocols.base import retry_after
from retouch.service import meters
from retouch.service.readiness import HEARD_S, Startup
from retouch.web.auth import Gate
from retouch.web.forwarding import is_from_here
from retouch.web.names import host_name, is_loopback
from retouch.web.reading import headers_of
from retouch.web.services import Services


@dataclass(frozen=True, slots=True)
class Operations:
    """`/livez`, `/startupz`, `/readyz` and `/metrics`."""

    services: Services
    gate: Gate
    startup: Startup

    async def livez(self, _request: Request) -> Response:
        """This process answers."""
        return JSONResponse({"status": "ok"})

    async def startupz(self, request: Request) -> Response:
        """Whether this server was ever ready, so that from now on `livez` alone judges it."""
        return await self._health(request, "started", await self.startup.missing())

    async def readyz(self, request: Request) -> Response:
        """Whether what is sent here would be taken and done; why not is for operators only."""
        closed = self.services.doors.is_closed
        missing = "the server is stopping" if closed else await self.services.ready()
        return await self._health(request, "ready", missing)

    async def _health(self, request: Request, word: str, missing: str | None) -> Response:
        if missing is None:
            return JSONResponse({"status": word})
        body = {"status": f"not {word}"}
        try:
            await self._admit(request)
        except (Unauthenticated, Throttled, Forbidden, Busy):  # no database recognises nobody
            return JSONResponse(body, status_code=503)
        return JSONResponse({**body, "detail": missing}, status_code=503)

    async def metrics(self, request: Request) -> Response:
        """Everybody's figures in Prometheus' text format."""
        try:
            await self._admit(request)
        except Unauthenticated:
            headers = {"www-authenticate": "Bearer"}
            return JSONResponse(_KEY_WANTED, status_code=401, headers=headers)
        except Throttled as error:
            wait = {"retry-after": str(retry_after(error))}
            body = {"detail": str(error), "status": 429}
            return JSONResponse(body, status_code=429, headers=wait)
        except Forbidden as error:
            return JSONResponse({"detail": str(error), "status": 403}, status_code=403)
        shown = await self._figures()
        return Response(shown, media_type=meters.CONTENT_TYPE)

    async def _figures(self) -> bytes:
        own, store = self.services.meters, self.services.roster
        try:
            depth = await self.services.predictions.depth()
            oldest_wait_s = await self.services.predictions.oldest_wait_s()
            enlisted = await store.enlisted(within_s=HEARD_S)
        except Busy:
            return meters.exposition(own, (), None, None, self.services.name)
        return meters.exposition(own, enlisted, depth, oldest_wait_s, self.services.name)

    async def _admit(self, request: Request) -> None:
        """Let in this machine itself, and keys with the scope `operate`."""
        if _is_this_machine(request.scope):
            return
        caller = await self.gate.caller(request.scope)
        caller.require(Scope.OPERATE)


_KEY_WANTED = {"detail": "From elsewhere this takes a key with the scope operate.", "status": 401}


def _is_this_machine(scope: HttpScope) -> bool:
    """Only under a loopback name: a proxy on this machine that keeps the Host is not it."""
    return is_from_here(scope) and is_loopback(host_name(headers_of(scope).get("host", "")))
