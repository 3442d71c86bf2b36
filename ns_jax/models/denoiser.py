# SPDX-License-Identifier: Apache-2.0
"""The diffusion network (NaturalSpeech 2, Sec. 3.2 and Fig. 4)."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.models.prompt import Prompt
from ns_jax.nn import attention, embeddings, wavenet

HEARS = ("queries", "frames", "nothing")


class Denoiser(nn.Module):
  """WaveNet that hears the prompt, as `hears` says.

  "queries", as in the paper: a few learned queries first gather a summary of
  fixed size, which hides the prompt's frame-level detail, and the layers attend
  to the summary alone. "frames": they attend to the prompt itself. "nothing":
  they hear no prompt. The last two are there to be compared with.
  """

  latent_dim: int
  dim: int
  num_layers: int
  kernel_size: int
  dilation: int
  cond_kernel_size: int
  num_heads: int
  num_queries: int
  dropout_rate: float
  hears: str
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x_t: Array,
    t: Array,
    cond: Array,
    prompt: Prompt,
    mask: Array,
    *,
    train: bool,
  ) -> Array:
    """Evaluates the network; what its output means is the caller's choice.

    Args:
      x_t: [B, T, latent_dim] float32, noisy latents.
      t: [B] float32, time in [0, 1].
      cond: [B, T, E], frame-level condition.
      prompt: the voice.
      mask: [B, T] bool.
      train: whether to drop out.

    Returns:
      [B, T, latent_dim] float32.
    """
    dtype = self.dtype
    if self.hears == "queries":
      prompt = self._summary(prompt)
    time = embeddings.TimeEmbedding(self.dim, dtype=dtype, name="time")(t)
    x = nn.relu(nn.Dense(self.dim, dtype=dtype, name="in_proj")(x_t))
    x = wavenet.WaveNet(
      self.num_layers,
      self.kernel_size,
      self.dilation,
      self.cond_kernel_size,
      self.num_heads,
      self.dropout_rate,
      self.hears != "nothing",
      self.remat,
      dtype,
      name="wavenet",
    )(x, cond, time, prompt.hidden, prompt.mask, mask, train=train)
    x = nn.relu(nn.Dense(self.dim, dtype=dtype, name="skip_proj")(x))
    return nn.Dense(
      self.latent_dim,
      kernel_init=nn.initializers.zeros,
      dtype=jnp.float32,
      name="out_proj",
    )(x.astype(jnp.float32))

  def _summary(self, prompt: Prompt) -> Prompt:
    """What the queries gather, [B, num_queries, dim]."""
    queries = self.param(
      "queries", nn.initializers.normal(1.0), (self.num_queries, self.dim)
    ).astype(self.dtype)
    batch = prompt.hidden.shape[0]
    queries = jnp.broadcast_to(queries[None], (batch, *queries.shape))
    heard = attention.MultiHeadAttention(
      self.num_heads, dtype=self.dtype, name="prompt_attention"
    )(queries, prompt.hidden, prompt.mask)
    return prompt._replace(hidden=heard, mask=jnp.ones(heard.shape[:2], bool))
