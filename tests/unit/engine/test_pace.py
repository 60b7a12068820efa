import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch.engine.pace import SAMPLES, Line, Pace

SECONDS = st.floats(0.001, 1000)


def test_a_line_never_falls_nor_starts_below_nothing():
    assert Line.through({}) == Line(0, 0)
    assert Line.through({10: 3.0, 30: 1.0}) == Line(3.0, 0)
    assert Line.through({10: 1.0, 30: 9.0}) == Line(0, 0.4)


def test_a_fast_step_is_worth_what_fast_passes_took_of_exact_ones():
    pace = Pace().timed(10, 20.0)

    assert pace.share("fast") == 1
    pace = pace.timed(10, 5.0, "fast").timed(10, 15.0, "fast")
    assert pace.share("fast") == pytest.approx(0.5)
    assert pace.share("exact") == 1
    assert pace.seconds == 2.0


@given(exact=st.lists(SECONDS), fast=st.lists(SECONDS))
def test_a_share_is_never_more_than_a_whole_step(exact: list[float], fast: list[float]):
    pace = Pace()
    for took_s in exact:
        pace = pace.timed(1, took_s)
    for took_s in fast:
        pace = pace.timed(1, took_s, "fast")

    assert 0 < pace.share("fast") <= 1
    assert len(pace.samples) <= SAMPLES
    assert len(pace.fast) <= SAMPLES
