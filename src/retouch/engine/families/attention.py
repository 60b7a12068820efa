"""Attention inside each request of a pack, in the form that is fastest where it runs.

Three forms of the same sum. `stock` is PyTorch's own, one call a request: the reference, and what
float32 always gets. `chunked` is two matrix products and a softmax on a few rows at a time, ahead
of `stock` on processors that multiply bfloat16 and far behind it on those that emulate it, so one
measurement a process decides. `varlen` is one kernel for the whole pack, on CUDA.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, library
from torch.nn import functional
from torch.nn.attention import varlen as torch_varlen

CHUNK = 256
"""Query rows whose scores are held at once: what fits a core's cache beside keys and values."""

MARGIN = 1.3
"""How much faster a form must measure to replace `stock`, so that noise does not choose."""

Dense = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of one request: (1, h, queries, D) against (1, h, keys, D)."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Consecutive runs of rows, one a request."""

    lengths: list[int]
    offsets: Tensor  # (B + 1,) int32: where each begins, and the end
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Spans":
        """The runs of these lengths in this order."""
        ends = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return cls(list(lengths), ends.to(device), max(lengths))


def attend(query: Tensor, key: Tensor, value: Tensor, queries: Spans, keys: Spans) -> Tensor:
    """Attention inside each request: (query rows, h, D) against (key rows, h, D), to (., h * D)."""
    if torch.compiler.is_compiling():
        bounds = queries.offsets, keys.offsets, queries.longest, keys.longest
        return cast("Tensor", untraced(query, key, value, *bounds))
    if query.is_cuda and query.dtype != torch.float32:
        return varlen(query, key, value, queries, keys)
    dense = fastest(query.dtype) if query.device.type == "cpu" else stock
    queried, keyed, valued = (x.transpose(0, 1)[None] for x in (query, key, value))
    attended = [
        dense(*parts)[0].transpose(0, 1).flatten(1)
        for parts in zip(
            torch.split(queried, queries.lengths, dim=2),
            torch.split(keyed, keys.lengths, dim=2),
            torch.split(valued, keys.lengths, dim=2),
            strict=True,
        )
    ]
    return attended[0] if len(attended) == 1 else torch.cat(attended)


@library.custom_op("retouch::attend", mutates_args=())
def untraced(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_offsets: Tensor,
    key_offsets: Tensor,
    longest_query: int,
    longest_key: int,
) -> Tensor:
    """`attend` as one opaque operation, so that what a compiler traced serves any pack.

    Traced through, the loop over requests would be unrolled for one number of them, and the
    measurement of the forms be part of the program.
    """
    queries = Spans(query_offsets.diff().tolist(), query_offsets, longest_query)
    keys = Spans(key_offsets.diff().tolist(), key_offsets, longest_key)
    return attend(query, key, value, queries, keys)


@untraced.register_fake
def _(query: Tensor, *_: object) -> Tensor:
    return query.new_empty(query.shape[0], query.shape[1] * query.shape[2])


def stock(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """PyTorch's own."""
    return functional.scaled_dot_product_attention(query, key, value)


def chunked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Two matrix products and a softmax, `CHUNK` query rows at a time."""
    scaled = query * query.shape[-1] ** -0.5
    keys = key.transpose(-1, -2)
    chunks = [
        torch.matmul(torch.matmul(rows, keys).softmax(-1), value)
        for rows in torch.split(scaled, CHUNK, dim=2)
    ]
    return torch.cat(chunks, dim=2)


def varlen(query: Tensor, key: Tensor, value: Tensor, queries: Spans, keys: Spans) -> Tensor:
    """One kernel for all requests; float16 or bfloat16 on CUDA. Shapes are those of `attend`.

    The kernel may not split keys over blocks: how it splits depends on the longest request, and a
    request would come out differently in other company.
    """
    attended = torch_varlen.varlen_attn(
        query,
        key,
        value,
        queries.offsets,
        keys.offsets,
        queries.longest,
        keys.longest,
        num_splits=1,
    )
    assert isinstance(attended, Tensor)  # the pair comes with `return_aux` only  # noqa: S101
    return attended.flatten(1)


@cache
def fastest(dtype: torch.dtype) -> Dense:
    """`stock` or `chunked` for the processor, measured once; float32 is always `stock`."""
    if dtype == torch.float32:
        return stock
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, 2, CHUNK, 128, generator=generator).to(dtype) for _ in range(3)
    )
    stock_s = best_s(lambda: stock(query, key, value))
    chunked_s = best_s(lambda: chunked(query, key, value))
    return chunked if chunked_s * MARGIN < stock_s else stock


def best_s(run: Callable[[], object], times: int = 3) -> float:
    """The shortest of a few runs after a first, in seconds of this process."""
    run()
    taken = []
    for _ in range(times):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return min(taken)
