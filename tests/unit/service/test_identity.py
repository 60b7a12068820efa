"""Ids and tickets."""

import secrets

from retouch.domain.ids import CROCKFORD
from retouch.service.identity import Tickets, draw_id, draw_seed


def test_an_id_is_26_letters_a_clerk_cannot_misread() -> None:
    ids = {draw_id(secrets.token_bytes) for _ in range(100)}

    assert len(ids) == 100
    assert all(len(id) == 26 and set(id) <= set(CROCKFORD) for id in ids)


def test_the_same_bytes_make_the_same_id_and_seed() -> None:
    assert draw_id(bytes) == draw_id(bytes)
    assert draw_seed(lambda size: b"\xff" * size) == 2**31 - 1


def test_a_ticket_names_its_prediction_in_52_letters() -> None:
    tickets, id = Tickets(b"secret"), draw_id(secrets.token_bytes)

    ticket = tickets.issue(id)

    assert len(ticket) == 52
    assert set(ticket) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert tickets.read(ticket) == id


def test_a_ticket_that_was_changed_or_guessed_is_none() -> None:
    tickets, id = Tickets(b"secret"), draw_id(secrets.token_bytes)
    ticket = tickets.issue(id)
    other = tickets.issue(draw_id(secrets.token_bytes))

    forged = (ticket[:26] + other[26:], ticket[:-1], ticket + "a", "", "\u00e9" * 52, "a" * 52)

    assert [tickets.read(it) for it in forged] == [None] * 6
    assert Tickets(b"another").read(ticket) is None


def test_a_ticket_outlives_the_secret_that_made_it_while_that_is_listed() -> None:
    id = draw_id(secrets.token_bytes)
    old, new = Tickets(b"old"), Tickets(b"new", b"old")

    assert new.read(old.issue(id)) == id
    assert new.issue(id) == Tickets(b"new").issue(id) != old.issue(id)
    assert Tickets(b"new").read(old.issue(id)) is None
