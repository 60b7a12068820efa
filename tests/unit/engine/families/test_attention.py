"""Every form of attention is the same sum, inside each request only."""

import math
from contextlib import nullcontext

import pytest
import torch

from retouch.engine.families import attention
from retouch.engine.families.attention import Spans

LENGTHS = ((5, 300, 17), (40, 300, 29))  # queries and keys of three requests


def packed(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    queries, keys = (Spans.of(lengths, torch.device("cpu")) for lengths in LENGTHS)
    query, key, value = (
        torch.randn(sum(spans.lengths), 2, 16, generator=generator).to(dtype)
        for spans in (queries, keys, keys)
    )
    return query, key, value, queries, keys


def plainly(query, key, value, queries, keys):
    """The definition, in float64, one request after the other."""
    out, q_at, k_at = [], 0, 0
    for q_rows, k_rows in zip(queries.lengths, keys.lengths, strict=True):
        q = query[q_at : q_at + q_rows].double().transpose(0, 1)
        k, v = (x[k_at : k_at + k_rows].double().transpose(0, 1) for x in (key, value))
        out.append(((q @ k.mT / 4).softmax(-1) @ v).transpose(0, 1).flatten(1))
        q_at, k_at = q_at + q_rows, k_at + k_rows
    return torch.cat(out)


@pytest.mark.parametrize("form", [attention.stock, attention.chunked])
def test_each_form_on_the_processor_is_the_definition(form, monkeypatch):
    monkeypatch.setattr(attention, "fastest", lambda dtype: form)
    parts = packed()

    got = attention.attend(*parts)

    torch.testing.assert_close(got.double(), plainly(*parts), rtol=1e-5, atol=1e-6)


def test_the_kernel_for_a_whole_pack_is_given_what_the_definition_needs(monkeypatch):
    given = {}

    def kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, **options):
        """What `varlen_attn` is documented to compute, from its own arguments only."""
        given.update(options, types={cu_seq_q.dtype, cu_seq_k.dtype}, longest=(max_q, max_k))
        queries, keys = (Spans(x.diff().tolist(), x, 0) for x in (cu_seq_q, cu_seq_k))
        return plainly(query, key, value, queries, keys).view(query.shape).to(query.dtype)

    monkeypatch.setattr(attention.torch_varlen, "varlen_attn", kernel)
    parts = packed()

    got = attention.varlen(*parts)

    torch.testing.assert_close(got, attention.attend(*parts), rtol=1e-5, atol=1e-6)
    assert given == {"num_splits": 1, "types": {torch.int32}, "longest": (300, 300)}


def test_a_faster_form_is_taken_only_when_it_is_clearly_faster(monkeypatch):
    monkeypatch.setattr(attention, "best_s", lambda run: (run(), next(times))[1])
    for chunked_s, expected in ((1.0, attention.chunked), (1.9, attention.stock)):
        attention.fastest.cache_clear()
        times = iter((2.0, chunked_s))
        assert attention.fastest(torch.bfloat16) is expected
    attention.fastest.cache_clear()


@pytest.mark.parametrize(
    ("varlen_s", "stock_s", "expected"),
    [(1.0, 1.0, math.inf), (1.0, 0.9, attention.LONG), (1.0, 2.0, math.inf)],
)
def test_long_requests_get_a_call_each_where_that_measures_faster(
    varlen_s, stock_s, expected, monkeypatch
):
    times = iter((varlen_s, stock_s))
    monkeypatch.setattr(attention, "device_s", lambda run: next(times))
    attention.stock_from.cache_clear()

    assert attention.stock_from(torch.bfloat16, torch.device("cpu"), 2, 16) == expected
    attention.stock_from.cache_clear()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RuntimeError("for newer devices only"), None), (torch.OutOfMemoryError("full"), "full")],
)
def test_a_device_that_has_no_kernel_for_packs_does_without(error, raised, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(attention.torch_varlen, "varlen_attn", refuse)
    monkeypatch.setattr(attention, "device_s", lambda run: (run(), 1.0)[1])
    attention.stock_from.cache_clear()

    with pytest.raises(type(error), match=raised) if raised else nullcontext():
        assert attention.stock_from(torch.bfloat16, torch.device("cpu"), 2, 16) == 0
    attention.stock_from.cache_clear()


def test_one_request_by_the_kernel_for_packs_is_the_same_sum(monkeypatch):
    def kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, **_):
        queries, keys = (Spans(x.tolist()[1:], x, x[-1]) for x in (cu_seq_q, cu_seq_k))
        assert (max_q, max_k) == (queries.lengths[0], keys.lengths[0])
        return plainly(query, key, value, queries, keys).view(query.shape).to(query.dtype)

    monkeypatch.setattr(attention.torch_varlen, "varlen_attn", kernel)
    query, key, value = (torch.randn(1, 2, rows, 16) for rows in (5, 7, 7))

    got = attention.lone_varlen(query, key, value)

    torch.testing.assert_close(got, attention.stock(query, key, value), rtol=1e-5, atol=1e-6)


def test_float32_is_never_left_to_a_measurement():
    assert attention.fastest(torch.float32) is attention.stock
