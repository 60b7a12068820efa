"""The block in which text and image are two streams; FLUX.1 and FLUX.2 have it alike.

Shapes: d the model's width, h heads of D.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from retouch.engine.families.aside import Look, Pair, seen
from retouch.engine.families.attention import attend
from retouch.engine.families.rows import Rope, Rows, bounded, heads, modulate, per_row, rotate

Norm = Callable[[Tensor], Tensor]


def two_streams(
    block: Any,
    norms: tuple[Norm, Norm],
    text: Tensor,
    image: Tensor,
    image_table: Tensor,
    text_table: Tensor,
    rows: Rows,
    rope: Rope,
    look: Look | None = None,
) -> tuple[Tensor, Tensor, Pair]:
    """Text and image rows, (., d) each, after a block, and the keys and values it had of its own:
    two streams with weights of their own that attend to each other.

    `norms` are those before attention, of the image's rows and of the text's; the tables (B, 6 * d)
    have what modulates each.
    """
    norm, t_norm = norms
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = image_table.chunk(6, dim=1)
    t_shift, t_scale, t_gate, t_mlp_shift, t_mlp_scale, t_mlp_gate = text_table.chunk(6, dim=1)
    normed = modulate(norm(image), shift, scale, rows.image_of)
    t_normed = modulate(t_norm(text), t_shift, t_scale, rows.text_of)

    attn = block.attn
    query = heads(attn, attn.to_q(normed), attn.norm_q)
    key = heads(attn, attn.to_k(normed), attn.norm_k)
    value = heads(attn, attn.to_v(normed))
    t_query = heads(attn, attn.add_q_proj(t_normed), attn.norm_added_q)
    t_key = heads(attn, attn.add_k_proj(t_normed), attn.norm_added_k)
    t_value = heads(attn, attn.add_v_proj(t_normed))
    query, key, value = (
        rows.woven(*pair) for pair in ((t_query, query), (t_key, key), (t_value, value))
    )
    own = rotate(key, rope), value
    key, value, within = seen(look, rows, own)
    attended = attend(rotate(query, rope), key, value, rows.joint_spans, within)
    t_attended, attended = rows.unwoven(attended)
    attended = attn.to_out[1](attn.to_out[0](attended))
    t_attended = attn.to_add_out(t_attended)

    image = image + per_row(gate, rows.image_of) * attended
    normed = modulate(block.norm2(image), mlp_shift, mlp_scale, rows.image_of)
    image = image + per_row(mlp_gate, rows.image_of) * block.ff(normed)

    text = text + per_row(t_gate, rows.text_of) * t_attended
    t_normed = modulate(block.norm2_context(text), t_mlp_shift, t_mlp_scale, rows.text_of)
    text = text + per_row(t_mlp_gate, rows.text_of) * block.ff_context(t_normed)
    return bounded(text), image, own
