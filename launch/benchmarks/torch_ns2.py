# SPDX-License-Identifier: Apache-2.0
"""What others would run instead of NaturalSpeech 2's denoiser, in PyTorch.

A literal twin of ours, and the diffusion model of naturalspeech2-pytorch, which
is another network: 40 causal WaveNet layers of half our width between (products
of one tap beside those of three, no condition in each) and then a Transformer,
here of as many layers as make a call about as much work as one of ours.
"""

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import torch_denoiser

_NAME = "naturalspeech2_pytorch"
# Of its Transformer; its default width of what carries time and prompt, four
# times the model's, would make it 480 M parameters.
_DEPTH, _COND_WIDTHS = 12, 1
# It imports them for audio files, codecs and its trainer.
_UNUSED = (
  "torchaudio",
  "torchaudio.transforms",
  "audiolm_pytorch",
  "audiolm_pytorch.data",
  "accelerate",
  "ema_pytorch",
  "pyworld",
)


def all_of(options: Any, params: Any, inputs: Any) -> Iterator[Any]:
  """The peers that are installed, one after the other: they are large.

  Args:
    options: config section of our denoiser.
    params: its parameters, for the twin.
    inputs: numpy arrays, fields as `ns2.Inputs`.
  """
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.set_flush_denormal(True)  # as XLA does
  torch.manual_seed(0)
  latent_dim, cond_dim = inputs.x_t.shape[-1], inputs.cond.shape[-1]
  twin = torch_denoiser.Denoiser(options, latent_dim, cond_dim)
  twin.copy(params)
  yield _Peer("PyTorch twin", twin, _twin_arguments)
  del twin
  if importlib.util.find_spec(_NAME) is None:
    print("naturalspeech2-pytorch is not installed\n")
    return
  theirs = _model(options, cond_dim)
  yield _Peer("naturalspeech2-pytorch", theirs, _their_arguments)


class _Peer:
  """A network, called and trained."""

  def __init__(self, name: str, network: nn.Module, arguments: Callable):
    self.name = name
    self.size = sum(p.numel() for p in network.parameters())
    self._network, self._arguments = network, arguments

  def output(self, inputs: Any) -> np.ndarray:
    """What it makes of inputs, without dropout."""
    return self.calling(inputs)().numpy()

  def calling(self, inputs: Any) -> Callable[[], torch.Tensor]:
    arguments = self._arguments(inputs)

    @torch.inference_mode()
    def call() -> torch.Tensor:
      return self._network.eval()(**arguments)

    return call

  def training(self, inputs: Any) -> Callable[[], Any]:
    """One step towards clean latents."""
    arguments = self._arguments(inputs)
    optimiser = torch.optim.AdamW(self._network.parameters(), 1e-4)
    with torch.inference_mode():
      shape = self._network(**arguments).shape
    target = torch.randn(shape)

    def step() -> None:
      optimiser.zero_grad(set_to_none=True)
      F.mse_loss(self._network.train()(**arguments), target).backward()
      optimiser.step()

    return step


def _twin_arguments(inputs: Any) -> dict[str, torch.Tensor]:
  return {
    name: torch.from_numpy(np.array(value))
    for name, value in inputs._asdict().items()
  }


def _their_arguments(inputs: Any) -> dict[str, torch.Tensor]:
  """It works on latents as wide as the model, and has channels before time."""
  batch, length, width = inputs.cond.shape
  return dict(
    x=torch.randn(batch, length, width),
    times=torch.from_numpy(np.array(inputs.t)),
    prompt=torch.from_numpy(np.array(inputs.prompt)),
    cond=torch.from_numpy(np.array(inputs.cond)).transpose(1, 2).contiguous(),
  )


def _model(options: Any, cond_dim: int) -> nn.Module:
  for name in _UNUSED:
    module = _Anything(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    sys.modules.setdefault(name, module)
  module = importlib.import_module(f"{_NAME}.{_NAME}")
  return module.Model(
    dim=options.dim,
    depth=_DEPTH,
    heads=options.num_heads,
    wavenet_layers=8,
    wavenet_stacks=options.num_layers // 8,
    dim_cond_mult=_COND_WIDTHS,
    dim_prompt=cond_dim,
    num_latents_m=options.num_queries,
    resampler_depth=1,
    condition_on_prompt=True,
    use_flash_attn=False,
  )


class _Anything(types.ModuleType):
  """Has a class of any name."""

  def __getattr__(self, name: str) -> type:
    if name.startswith("__"):
      raise AttributeError(name)
    return type(name, (), {})
