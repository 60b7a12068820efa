"""Sockets of one address: one for each process, and none of another server's."""

import pytest

from retouch.domain.errors import Busy
from retouch.web.server import listen


def test_every_process_has_a_socket_of_one_address() -> None:
    with listen("127.0.0.1", 0, processes=3) as sockets:
        assert len({it.fileno() for it in sockets}) == 3
        assert len({it.getsockname() for it in sockets}) == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_an_address_that_another_server_shares_out_is_busy(processes: int) -> None:
    with listen("127.0.0.1", 0, processes=2) as (first, _):
        port = first.getsockname()[1]

        with pytest.raises(Busy, match=str(port)), listen("127.0.0.1", port, processes=processes):
            pass
