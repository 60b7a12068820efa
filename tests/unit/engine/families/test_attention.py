"""Every form of attention is the same sum, inside each request only."""

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


def test_float32_is_never_left_to_a_measurement():
    assert attention.fastest(torch.float32) is attention.stock
