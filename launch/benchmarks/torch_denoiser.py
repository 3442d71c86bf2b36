# SPDX-License-Identifier: Apache-2.0
"""A PyTorch twin of our denoiser, to be timed beside it; it trains nobody.

The same layers and sizes, written as a PyTorch user would, with channels before
time; for `ns2.py` in this folder. Needs `pip install torch`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ns_jax.nn import embeddings, wavenet


class Attention(nn.Module):
  """ns_jax.nn.attention.MultiHeadAttention."""

  def __init__(self, dim: int, context_dim: int, num_heads: int):
    super().__init__()
    self.num_heads = num_heads
    self.query = nn.Linear(dim, dim)
    self.key = nn.Linear(context_dim, dim)
    self.value = nn.Linear(context_dim, dim)
    self.out = nn.Linear(dim, dim)

  def forward(
    self, queries: torch.Tensor, context: torch.Tensor, mask: torch.Tensor
  ) -> torch.Tensor:
    query, key, value = (
      projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
      for projection, x in (
        (self.query, queries),
        (self.key, context),
        (self.value, context),
      )
    )
    heard = F.scaled_dot_product_attention(
      query, key, value, attn_mask=mask[:, None, None]
    )
    return self.out(heard.transpose(1, 2).flatten(2))


class Layer(nn.Module):
  """ns_jax.nn.wavenet.ResidualLayer, over [B, C, T]."""

  def __init__(self, options: Any, cond_dim: int, attends: bool):
    super().__init__()
    dim = options.dim
    self.time = nn.Linear(dim, dim)
    self.conv = nn.Conv1d(
      dim,
      2 * dim,
      options.kernel_size,
      dilation=options.dilation,
      padding="same",
    )
    self.cond = nn.Conv1d(
      cond_dim, 2 * dim, options.cond_kernel_size, padding="same"
    )
    self.out = nn.Conv1d(dim, 2 * dim, 1)
    self.dropout = nn.Dropout(options.dropout_rate)
    self.attends = attends
    if attends:
      self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
      self.attention = Attention(dim, dim, options.num_heads)
      self.gain = nn.Linear(dim, 2 * dim)
      self.shift = nn.Linear(dim, 2 * dim)

  def forward(
    self,
    x: torch.Tensor,
    cond: torch.Tensor,
    time: torch.Tensor,
    prompt: torch.Tensor,
    prompt_mask: torch.Tensor,
    mask: torch.Tensor,
  ) -> tuple[torch.Tensor, torch.Tensor]:
    y = (x + self.time(time)[..., None]) * mask
    h = self.conv(y) + self.cond(cond)
    if self.attends:
      queries = self.attention_norm(y.transpose(1, 2))
      heard = self.attention(queries, prompt, prompt_mask)
      gain, shift = self.gain(heard), self.shift(heard)
      h = gain.transpose(1, 2) * h + shift.transpose(1, 2)
    gate, value = h.chunk(2, 1)
    h = self.out(self.dropout(torch.sigmoid(gate) * torch.tanh(value)))
    residual, skip = h.chunk(2, 1)
    return (x + residual) / math.sqrt(2.0), skip * mask


class Denoiser(nn.Module):
  """ns_jax.models.denoiser.Denoiser that hears by queries."""

  def __init__(self, options: Any, latent_dim: int, cond_dim: int):
    super().__init__()
    dim = options.dim
    self.dim = dim
    self.queries = nn.Parameter(torch.randn(options.num_queries, dim))
    self.prompt_attention = Attention(dim, cond_dim, options.num_heads)
    self.time_hidden = nn.Linear(dim, 4 * dim)
    self.time_out = nn.Linear(4 * dim, dim)
    self.in_proj = nn.Linear(latent_dim, dim)
    self.cond_norm = nn.LayerNorm(cond_dim, eps=1e-6)
    every = wavenet.BLOCK_LAYERS
    self.layers = nn.ModuleList(
      Layer(options, cond_dim, i % every == every - 1)
      for i in range(options.num_layers)
    )
    self.skip_proj = nn.Linear(dim, dim)
    self.out_proj = nn.Linear(dim, latent_dim)

  def forward(
    self,
    x_t: torch.Tensor,
    t: torch.Tensor,
    cond: torch.Tensor,
    prompt: torch.Tensor,
    prompt_mask: torch.Tensor,
    mask: torch.Tensor,
  ) -> torch.Tensor:
    """x_t [B, T, D], t [B], cond [B, T, E] to [B, T, D]; see ours."""
    queries = self.queries.expand(len(x_t), -1, -1)
    heard = self.prompt_attention(queries, prompt, prompt_mask)
    everywhere = torch.ones(heard.shape[:2], dtype=torch.bool)
    time = self.time_out(F.silu(self.time_hidden(self._sinusoids(t))))
    x = F.relu(self.in_proj(x_t)).transpose(1, 2)
    mask = mask[:, None]
    cond = self.cond_norm(cond).transpose(1, 2) * mask
    skips = torch.zeros_like(x)
    for layer in self.layers:
      x, skip = layer(x, cond, time, heard, everywhere, mask)
      skips = skips + skip
    x = skips.transpose(1, 2) / math.sqrt(len(self.layers))
    return self.out_proj(F.relu(self.skip_proj(x)))

  def _sinusoids(self, t: torch.Tensor) -> torch.Tensor:
    half = self.dim // 2
    exponents = torch.arange(half) / max(half - 1, 1)
    frequencies = torch.exp(-math.log(embeddings.MAX_PERIOD) * exponents)
    angles = embeddings.TIME_SCALE * t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1)

  @torch.no_grad()
  def copy(self, params: Mapping[str, Any]) -> None:
    """Takes over the weights of ours."""
    self.queries.copy_(torch.tensor(np.asarray(params["queries"])))
    _copy_attention(self.prompt_attention, params["prompt_attention"])
    _copy(self.time_hidden, params["time"]["hidden"])
    _copy(self.time_out, params["time"]["out"])
    for name in ("in_proj", "skip_proj", "out_proj"):
      _copy(getattr(self, name), params[name])
    stack = params["wavenet"]
    _copy(self.cond_norm, stack["cond_norm"])
    for i, layer in enumerate(self.layers):
      _copy_layer(layer, _layer(stack, i))


def _layer(stack: Mapping[str, Any], i: int) -> Any:
  """Weights of a layer of ours, of which every third are stacked."""
  block, place = divmod(i, wavenet.BLOCK_LAYERS)
  name = f"layer_{place}"
  if "blocks" not in stack or block >= len(
    stack["blocks"][name]["out"]["bias"]
  ):
    return stack["rest"][name]
  take = lambda tree: {
    key: take(leaf) if isinstance(leaf, Mapping) else leaf[block]
    for key, leaf in tree.items()
  }
  return take(stack["blocks"][name])


def _copy_layer(layer: Layer, params: Mapping[str, Any]) -> None:
  for name in ("time", "conv", "cond", "out"):
    _copy(getattr(layer, name), params[name])
  if layer.attends:
    _copy(layer.attention_norm, params["attention_norm"])
    _copy_attention(layer.attention, params["attention"])
    _copy(layer.gain, params["film"]["gain"])
    _copy(layer.shift, params["film"]["shift"])


def _copy_attention(module: Attention, params: Mapping[str, Any]) -> None:
  for name in ("query", "key", "value", "out"):
    _copy(getattr(module, name), params[name])


def _copy(module: Any, params: Mapping[str, Any]) -> None:
  """Weight and bias of one layer: Flax's output axes are last."""
  weight = np.asarray(params.get("kernel", params.get("scale")))
  if isinstance(module, nn.Conv1d):
    weight = np.atleast_3d(weight.T) if weight.ndim == 2 else weight.T
  elif isinstance(module, nn.Linear):
    weight = weight.reshape(module.in_features, module.out_features).T
  module.weight.copy_(torch.tensor(weight))
  module.bias.copy_(torch.tensor(np.asarray(params["bias"]).reshape(-1)))
