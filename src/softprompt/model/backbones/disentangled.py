"""Attention by distance, for encoders whose own cannot see states that were read before.

MPNet adds a bias a head and bucket of distances to its scores (as T5). DeBERTa-v2 and v3 disentangle what stands there
from how far away it is (He et al. 2021, equation 4): with d = bucket(i - j)

    score(i, j) = (q_i . k_j  +  q_i . K_d  +  k_j . Q_d) / sqrt(head width * number of the terms)

K_d and Q_d are projections of one vector a bucket. The cached keys are those of the content alone, so what was read
once serves at every distance.

Each function stands in for the ``forward`` of an attention module; ``body`` is the encoder that it belongs to.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

__all__ = ["ATTENTIONS", "Seen"]


class Seen(Protocol):
    """What the tokens of a layer see."""

    @property
    def shared(self) -> dict[str, Tensor]:
        """What the first layer makes for all."""

    @property
    def mask(self) -> Bool[Tensor, "S 1 1 W"] | None: ...
    @property
    def distances(self) -> Int[Tensor, "1 L W"]: ...
    def extend(self, keys: Tensor, values: Tensor, /) -> tuple[Tensor, Tensor]:
        """Keys and values of the live tokens -> those of everything they see."""


def mpnet(
    module: Any,
    body: Any,
    view: Seen,
    hidden: Float[Tensor, "S L E"],
    *_: Any,
    **__: Any,
) -> tuple[Float[Tensor, "S L E"]]:
    """``MPNetSelfAttention``; its ``position_bias`` is that of the live tokens alone, and another is made."""
    query, key, value = (_heads(part(hidden), module.num_attention_heads) for part in (module.q, module.k, module.v))
    key, value = view.extend(key, value)
    if "bias" not in view.shared:
        bucket = MPNetEncoder.relative_position_bucket(-view.distances)
        view.shared["bias"] = body.encoder.relative_attention_bias(bucket).permute(0, 3, 1, 2)
    made = _attend(query, key, value, view.shared["bias"], 1 / math.sqrt(query.shape[-1]), view.mask)
    return (module.o(made),)


def disentangled(
    module: Any,
    _body: Any,
    view: Seen,
    hidden: Float[Tensor, "S L E"],
    *_: Any,
    rel_embeddings: Tensor | None = None,
    **__: Any,
) -> tuple[Float[Tensor, "S L E"], None]:
    """``DisentangledSelfAttention`` of DeBERTa-v2."""
    parts = (module.query_proj, module.key_proj, module.value_proj)
    query, key, value = (_heads(part(hidden), module.num_attention_heads) for part in parts)
    key, value = view.extend(key, value)
    kinds = set(module.pos_att_type) & {"c2p", "p2c"}
    scale = 1 / math.sqrt(query.shape[-1] * (1 + len(kinds)))
    bias = query.new_zeros(())
    if module.relative_attention:
        assert rel_embeddings is not None
        vectors = rel_embeddings[None, : 2 * module.pos_ebd_size]
        bias = scale * _by_distance(module, query, key, _buckets(module, view), vectors, kinds)
    return _attend(query, key, value, bias, scale, view.mask), None


def _buckets(module: Any, view: Seen) -> Int[Tensor, "1 1 L W"]:
    """Number of the vector of each distance."""
    if "buckets" not in view.shared:
        span, distance = module.pos_ebd_size, view.distances
        if module.position_buckets > 0:
            distance = make_log_bucket_position(distance, module.position_buckets, module.max_relative_positions)
        view.shared["buckets"] = (distance.long() + span).clamp(0, 2 * span - 1)[:, None]
    return view.shared["buckets"]


def _by_distance(
    module: Any,
    query: Float[Tensor, "S H L D"],
    key: Float[Tensor, "S H W D"],
    bucket: Int[Tensor, "1 1 L W"],
    vectors: Float[Tensor, "1 N E"],
    kinds: set[str],
) -> Tensor:
    """q_i . K_d + k_j . Q_d, as far as the model has the terms."""
    shared, heads, lines = module.share_att_key, module.num_attention_heads, len(query)
    found = query.new_zeros(())
    if "c2p" in kinds:
        of_keys = _heads((module.key_proj if shared else module.pos_key_proj)(vectors), heads)
        scores = query @ of_keys.transpose(-1, -2)  # [S, H, L, N]
        found = found + scores.gather(-1, bucket.expand(lines, heads, -1, -1))
    if "p2c" in kinds:
        of_queries = _heads((module.query_proj if shared else module.pos_query_proj)(vectors), heads)
        scores = key @ of_queries.transpose(-1, -2)  # [S, H, W, N]
        found = found + scores.gather(-1, bucket.transpose(-1, -2).expand(lines, heads, -1, -1)).transpose(-1, -2)
    return found


def _heads(states: Float[Tensor, "S L _"], number: int) -> Float[Tensor, "S H L D"]:
    return states.view(*states.shape[:-1], number, -1).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """softmax(scale * q k' + bias) v, heads side by side."""
    scores = scale * (query @ key.transpose(-1, -2)) + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    made: Tensor = scores.softmax(-1) @ value
    return made.transpose(1, 2).flatten(2)


#: Name of the class of an attention module -> what stands in for its forward.
ATTENTIONS: Mapping[str, Callable[..., Any]] = {"MPNetSelfAttention": mpnet, "DisentangledSelfAttention": disentangled}
