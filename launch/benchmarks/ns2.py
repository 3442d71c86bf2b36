# SPDX-License-Identifier: Apache-2.0
"""The speed of NaturalSpeech 2's denoiser: a call and a step; beside PyTorch's.

A call is 1 x 500 frames, a step 2 x 500 forwards, backwards and AdamW, both in
float32 with random weights, nothing computed twice. Where torch is installed, a
literal twin does the same work in turn in the same process, after the outputs
of both were found equal; where naturalspeech2-pytorch is, too, its diffusion
model (`pip install torch einops beartype inflect num2words indic-num2words;
pip install --no-deps naturalspeech2-pytorch`).
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from configs import ns2 as ns2_config
from ns_jax.errors import UserError
from ns_jax.models import denoiser
from ns_jax.models.prompt import Prompt

PARTS = {"call": 1, "step": 2}  # and how many utterances it is of
_FRAMES, _PROMPT_FRAMES = 500, 400
_TOLERANCE = 1e-4
_TWIN = "PyTorch twin"


class Inputs(NamedTuple):
  """Of a denoiser; arrays of one length."""

  x_t: np.ndarray  # [B, T, D] float32
  t: np.ndarray  # [B] float32
  cond: np.ndarray  # [B, T, E] float32
  prompt: np.ndarray  # [B, P, E] float32
  prompt_mask: np.ndarray  # [B, P] bool
  mask: np.ndarray  # [B, T] bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("--preset", default="paper", help="of configs/ns2.py")
  parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument(
    "--no-peers", action="store_true", help="ours alone, torch or not"
  )


def run(args: argparse.Namespace) -> None:
  """Prints the times."""
  config = ns2_config.get_config(args.preset)
  config.model.denoiser.remat = "none"
  latent_dim = config.codec.model.codec.latent_dim
  make = lambda size: _inputs(size, latent_dim, config.model.dim)
  ours = _Ours(config.model.denoiser, make(1))
  print(f"ns_jax: {ours.size / 1e6:.1f} M parameters\n")
  for peer in _peers(config, ours, make(1), args.no_peers):
    if peer and peer.name == _TWIN:
      _compare(ours, peer, make(1))
    for part in args.parts:
      _time(part, ours, peer, make(PARTS[part]), args.rounds)


def _peers(
  config: Any, ours: "_Ours", inputs: Inputs, without: bool
) -> Iterable[Any]:
  """What is installed to compare with, in turn; [None]: nobody."""
  if without:
    return [None]
  if importlib.util.find_spec("torch") is None:
    print("torch is not installed: no peers\n")
    return [None]
  from benchmarks import torch_ns2

  return torch_ns2.all_of(config.model.denoiser, ours.params, inputs)


def _time(
  part: str, ours: "_Ours", peer: Any, inputs: Inputs, rounds: int
) -> None:
  works = {
    n.name: n.calling(inputs) if part == "call" else n.training(inputs)
    for n in (ours, peer)
    if n
  }
  times = timing.in_turn(works, rounds=rounds)
  rows = [(f"{PARTS[part]} x {_FRAMES} frames", 1.0, times)]
  timing.print_table(f"{part}, s", rows, lambda _, time: time)
  if peer:
    ratio = times[peer.name] / times[ours.name]
    size = f"{peer.size / 1e6:.1f} M parameters"
    print(f"{peer.name}, {size}: {ratio:.2f} times as long\n", flush=True)


def _inputs(size: int, latent_dim: int, cond_dim: int) -> Inputs:
  rng = np.random.default_rng(0)
  draw = lambda *shape: rng.normal(size=(size, *shape)).astype(np.float32)
  return Inputs(
    x_t=draw(_FRAMES, latent_dim),
    t=rng.uniform(size=size).astype(np.float32),
    cond=draw(_FRAMES, cond_dim),
    prompt=draw(_PROMPT_FRAMES, cond_dim),
    prompt_mask=np.ones((size, _PROMPT_FRAMES), bool),
    mask=np.ones((size, _FRAMES), bool),
  )


def _compare(ours: "_Ours", twin: Any, inputs: Inputs) -> None:
  """Both of the same weights must say the same."""
  error = np.abs(ours.calling(inputs)() - twin.output(inputs)).max()
  if not error < _TOLERANCE:
    raise UserError(f"the twin's output differs by {error:.1e}")
  print(f"the twin's output differs by {error:.1e} at most")


class _Ours:
  """The denoiser of a preset, in float32."""

  name = "ns_jax"

  def __init__(self, options: Any, inputs: Inputs):
    latent_dim = inputs.x_t.shape[-1]
    self._module = denoiser.Denoiser(latent_dim=latent_dim, **options)
    params = jax.jit(lambda key: self._init(key, inputs))(jax.random.key(0))
    # Where outputs begin at zero, all networks would agree.
    out = params["out_proj"]["kernel"]
    noise = jax.random.normal(jax.random.key(1), out.shape)
    params["out_proj"]["kernel"] = noise / len(out) ** 0.5
    self.params = params
    self.size = sum(leaf.size for leaf in jax.tree.leaves(params))

  def calling(self, inputs: Inputs) -> Callable[[], jax.Array]:
    arguments = _arguments(inputs)
    call = jax.jit(lambda params, *args: self._apply(params, args, train=False))
    return lambda: jax.block_until_ready(call(self.params, *arguments))

  def training(self, inputs: Inputs) -> Callable[[], Any]:
    """One step towards clean latents."""
    tx = optax.adamw(1e-4)
    target = jax.random.normal(jax.random.key(2), inputs.x_t.shape)
    arguments = _arguments(inputs)

    def loss(params: Any, key: jax.Array, *args: Any) -> jax.Array:
      output = self._apply(params, args, train=True, rngs={"dropout": key})
      return jnp.mean((output - target) ** 2)

    def update(params: Any, moments: Any, *args: Any) -> tuple[Any, Any]:
      gradient = jax.grad(loss)(params, *args)
      updates, moments = tx.update(gradient, moments, params)
      return optax.apply_updates(params, updates), moments

    compiled = jax.jit(update, donate_argnums=(0, 1))
    state = jax.tree.map(jnp.array, self.params), jax.jit(tx.init)(self.params)
    key = jax.random.key(3)

    def step() -> None:
      nonlocal state
      state = jax.block_until_ready(compiled(*state, key, *arguments))

    return step

  def _init(self, key: jax.Array, inputs: Inputs) -> Any:
    return self._module.init(key, *_arguments(inputs), train=False)["params"]

  def _apply(self, params: Any, arguments: Any, **options: Any) -> Any:
    return self._module.apply({"params": params}, *arguments, **options)


def _arguments(inputs: Inputs) -> tuple[Any, ...]:
  prompt = Prompt(
    jnp.asarray(inputs.prompt), inputs.prompt_mask, jnp.zeros(len(inputs.t))
  )
  x_t, t, cond, *_, mask = (jnp.asarray(x) for x in inputs)
  return x_t, t, cond, prompt, mask
