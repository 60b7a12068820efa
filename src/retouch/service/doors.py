"""Whether the server takes anything new."""

from retouch.domain.errors import Stopping


class Doors:
    """Open until closed, once: what is inside goes on, nothing else comes in."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        """Take nothing new from now on: the server is stopping."""
        self.is_closed = True

    def require_open(self) -> None:
        """Raise Stopping once they are closed."""
        if self.is_closed:
            raise Stopping
