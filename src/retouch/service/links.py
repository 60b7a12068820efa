"""Signed links to blobs, and predictions dressed with them for rendering."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from retouch.domain.prediction import Prediction
from retouch.net.signing import LinkSigner
from retouch.ports import Clock
from retouch.protocols.base import View
from retouch.service.identity import Tickets

PREFIX = "/files/"
BARE = "signed/"
ROUND_S = 3600


class Links:
    """Makes links that carry their own permission, and reads them back."""

    def __init__(self, signer: LinkSigner, clock: Clock, *, ttl_s: float = 86_400.0) -> None:
        self._signer, self._clock, self._ttl_s = signer, clock, ttl_s

    def to(self, origin: str, key: str) -> str:
        """A link to a blob, good for at least the configured time.

        Its end is rounded up to the hour, so that polling shows one link and not many.
        """
        return f"{origin}{PREFIX}{quote(key)}?{urlencode(self._proof(key))}"

    def bare(self, origin: str, key: str) -> str:
        """The same without a query, for callers who append to a link's path."""
        proof = "-".join(self._proof(key).values())
        return f"{origin}{PREFIX}{BARE}{proof}/{quote(key)}"

    @staticmethod
    def read(path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        """Read a link's path (after the prefix) and query: key, expiry and signature."""
        if not path.startswith(BARE):
            return path, query.get("expires", ""), query.get("signature", "")
        proof, _, key = path.removeprefix(BARE).partition("/")
        expires, _, signature = proof.partition("-")
        return key, expires, signature

    def allows(self, key: str, expires: str, signature: str) -> bool:
        """Whether the signature is ours, for this key and this end; expired or not."""
        return self._signer.verify(PREFIX + key, expires, signature, now=0.0)

    def has_expired(self, expires: str) -> bool:
        """Whether a link's end has passed."""
        return int(expires) <= self._clock.now()

    def key_of(self, url: str) -> str | None:
        """The blob behind a link of ours that still works, whatever host it names."""
        parts = urlsplit(url)
        _, found, quoted = parts.path.partition(PREFIX)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        key, expires, signature = self.read(unquote(quoted), query)
        if not (found and signature and self.allows(key, expires, signature)):
            return None
        return None if self.has_expired(expires) else key

    def _proof(self, key: str) -> Mapping[str, str]:
        expires = int(-(-(self._clock.now() + self._ttl_s) // ROUND_S) * ROUND_S)
        return self._signer.sign(PREFIX + key, expires)


class Views:
    """Turns predictions into what a protocol can render."""

    def __init__(self, links: Links, tickets: Tickets) -> None:
        self._links, self._tickets = links, tickets

    def of(self, prediction: Prediction, origin: str, *, position: int | None = None) -> View:
        """The prediction with links under the origin its caller used."""
        return View(
            prediction=prediction,
            input=self._input(prediction, origin),
            outputs=tuple(self._links.to(origin, it.key) for it in prediction.outputs),
            ticket=self._tickets.issue(prediction.id),
            position=position,
        )

    def _input(self, prediction: Prediction, origin: str) -> Mapping[str, Any]:
        own = f"inputs/{prediction.id}/"

        def swap(value: Any) -> Any:
            if isinstance(value, list):
                return [swap(item) for item in value]
            # Only this prediction's own blobs: a caller may have sent such a dict himself.
            if isinstance(value, dict) and str(value.get("blob", "")).startswith(own):
                return self._links.to(origin, value["blob"])
            return value

        return {name: swap(value) for name, value in prediction.input.items()}
