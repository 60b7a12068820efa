"""Attention inside each request of a pack, in the form that is fastest where it runs.

Three forms of the same sum. `stock` is PyTorch's own, one call a request: the reference, and what
float32 always gets. `chunked` is two matrix products and a softmax on a few rows at a time, ahead
of `stock` on processors that multiply bfloat16 and far behind it on those that emulate it, so one
measurement a process decides. `varlen` is one kernel for the whole pack, on CUDA; devices for which
`stock` has a better one, and those that `varlen` does not know, are told by a measurement too.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import structlog
import torch
from torch import Tensor, library
from torch.nn import functional
from torch.nn.attention import varlen as torch_varlen

log = structlog.get_logger(__name__)

CHUNK = 256
"""Query rows whose scores are held at once: what fits a core's cache beside keys and values."""

MARGIN = 1.3
"""How much faster a form must measure to replace `stock`, so that noise does not choose."""

LONG = 2048
"""Rows a request must have to be worth a call of its own on CUDA. `stock` may first have to build a
plan for a length that is new, which takes tens of milliseconds."""

CUDA_MARGIN = 1.05
"""`MARGIN` there: the device's own clock is steadier than that of a process."""

Dense = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of one request: (1, h, queries, D) against (1, h, keys, D)."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Consecutive runs of rows, one a request."""

    lengths: list[int]
    offsets: Tensor  # (B + 1,) int32: where each begins, and the end
    longest: int
    known: Tensor | None = None  # the offsets in main memory; a single run needs none

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Spans":
        """The runs of these lengths in this order."""
        known = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        is_single = len(lengths) == 1
        return cls(list(lengths), known.to(device), max(lengths), None if is_single else known)

    @classmethod
    def of_tensors(cls, offsets: Tensor, longest: int, known: Tensor | None) -> "Spans":
        """From tensors, without waiting for the device to tell its numbers."""
        lengths = [longest] if known is None else known.diff().tolist()
        return cls(lengths, offsets, longest, known)


def attend(query: Tensor, key: Tensor, value: Tensor, queries: Spans, keys: Spans) -> Tensor:
    """Attention inside each request: (query rows, h, D) against (key rows, h, D), to (., h * D)."""
    if torch.compiler.is_compiling():
        offsets, longest = (queries.offsets, keys.offsets), (queries.longest, keys.longest)
        known = queries.known, keys.known
        return cast("Tensor", untraced(query, key, value, *offsets, *longest, *known))
    if not query.is_cuda or query.dtype == torch.float32:
        dense = fastest(query.dtype) if query.device.type == "cpu" else stock
        return _apart([dense] * len(keys.lengths), query, key, value, queries, keys)
    least = stock_from(query.dtype, query.device, *query.shape[1:])
    if keys.longest < least:
        return varlen(query, key, value, queries, keys)
    forms = [stock if length >= least else lone_varlen for length in keys.lengths]
    return _apart(forms, query, key, value, queries, keys)


def _apart(
    forms: Sequence[Dense], query: Tensor, key: Tensor, value: Tensor, queries: Spans, keys: Spans
) -> Tensor:
    """A call for each request, by a form of its own."""
    queried, keyed, valued = (x.transpose(0, 1)[None] for x in (query, key, value))
    attended = [
        dense(*parts)[0].transpose(0, 1).flatten(1)
        for dense, *parts in zip(
            forms,
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
    known_queries: Tensor | None,
    known_keys: Tensor | None,
) -> Tensor:
    """`attend` as one opaque operation, so that what a compiler traced serves any pack.

    Traced through, the loop over requests would be unrolled for one number of them, and the
    measurement of the forms be part of the program.
    """
    queries = Spans.of_tensors(query_offsets, longest_query, known_queries)
    keys = Spans.of_tensors(key_offsets, longest_key, known_keys)
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


def lone_varlen(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`varlen` of one request."""
    queries, keys = (_single(x.shape[2], x.device) for x in (query, key))
    rows, key_rows, value_rows = (x[0].transpose(0, 1) for x in (query, key, value))
    attended = varlen(rows, key_rows, value_rows, queries, keys)
    return attended.view(rows.shape).transpose(0, 1)[None]


def _single(length: int, device: torch.device) -> Spans:
    """One run, counted on the device: a copy to it would be waited for."""
    offsets = torch.arange(2, dtype=torch.int32, device=device) * length
    return Spans([length], offsets, length)


@cache
def stock_from(dtype: torch.dtype, device: torch.device, heads: int, width: int) -> float:
    """How many rows a request on a CUDA device must have to be given to `stock`: 0 where `varlen`
    does not run, infinitely many where it is as fast. Measured once for a model's shape."""
    rows = torch.zeros(2 * LONG, heads, width, dtype=dtype, device=device)
    spans = Spans.of([len(rows)], device)
    dense = rows.transpose(0, 1)[None]
    try:
        varlen_s = device_s(lambda: varlen(rows, rows, rows, spans, spans))
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except RuntimeError as error:
        log.warning("engine.no_varlen_attention", reason=str(error))
        return 0
    stock_s = device_s(lambda: stock(dense, dense, dense))
    log.info("engine.attention_measured", varlen_s=varlen_s, stock_s=stock_s)
    return LONG if stock_s * CUDA_MARGIN < varlen_s else math.inf


def device_s(run: Callable[[], object], times: int = 5) -> float:
    """The shortest of a few runs after two more, in seconds of the CUDA device."""
    event: Any = torch.cuda.Event  # torch has no types for it
    taken: list[float] = []
    for _ in range(times + 2):
        began, ended = (event(enable_timing=True) for _ in range(2))
        began.record()
        run()
        ended.record()
        ended.synchronize()
        taken.append(began.elapsed_time(ended) / 1000)
    return min(taken[2:])


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
