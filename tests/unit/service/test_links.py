"""Links that carry their own permission."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from retouch.domain.edit import Edit
from retouch.domain.prediction import Output, Prediction
from retouch.net.signing import LinkSigner
from retouch.service.identity import Tickets
from retouch.service.links import Links, Views
from retouch.testing import FakeClock

PREDICTION = Prediction(
    id="abc", owner="me", protocol="p", model="m", input={}, edit=Edit(prompt="x"), created_at=0.0
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def links(clock: FakeClock) -> Links:
    return Links(LinkSigner(b"0123456789abcdef"), clock, ttl_s=3600)


def test_a_link_opens_its_key_under_any_host(links: Links) -> None:
    link = links.to("http://here", "a/1/0.png")

    assert links.key_of(link) == "a/1/0.png"
    assert links.key_of(link.replace("http://here", "https://there/prefix")) == "a/1/0.png"


def test_a_link_lasts_at_least_as_long_as_told_and_stays_the_same_for_a_while(
    links: Links, clock: FakeClock
) -> None:
    first = links.to("http://here", "a/1/0.png")
    expires = float(parse_qs(urlsplit(first).query)["expires"][0])
    clock.advance(1)

    assert clock.now() + 3600 <= expires <= clock.now() + 7200
    assert links.to("http://here", "a/1/0.png") == first


def test_a_late_or_foreign_link_is_none(links: Links, clock: FakeClock) -> None:
    link = links.to("http://here", "a/1/0.png")
    other = Links(LinkSigner(b"fedcba9876543210"), clock).to("http://here", "a/1/0.png")

    assert links.key_of(other) is None
    assert links.key_of(link.replace("a/1", "b/1")) is None
    assert links.key_of("https://pictures.example/files/cat.png") is None
    clock.advance(7201)
    assert links.key_of(link) is None


def test_only_a_predictions_own_inputs_are_linked(links: Links) -> None:
    views = Views(links, Tickets(b"secret"))
    own, foreign = {"blob": "inputs/abc/0"}, {"blob": "other/1/0.png"}
    prediction = replace(PREDICTION, input={"one": own, "many": [own, foreign], "text": "x"})

    shown = views.of(prediction, "http://here").input

    assert shown["one"].startswith("http://here/files/inputs/abc/0?")
    assert shown["many"] == [shown["one"], foreign]
    assert shown["text"] == "x"


def test_outputs_become_links_in_order(links: Links) -> None:
    outputs = tuple(Output(f"abc/1/{n}.png", "image/png", 8, 8, 9) for n in range(2))

    view = Views(links, Tickets(b"secret")).of(replace(PREDICTION, outputs=outputs), "http://here")

    assert [links.key_of(url) for url in view.outputs] == ["abc/1/0.png", "abc/1/1.png"]
