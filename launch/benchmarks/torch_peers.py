# SPDX-License-Identifier: Apache-2.0
"""What others would run: our codec in PyTorch, and EnCodec's."""

import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import torch_twin


def all_of(config: Any) -> list[Any]:
  """The peers that are installed and can do this config."""
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  peers: list[Any] = []
  if config.model.codec.architecture == "spectral":
    peers.append(_Twin(config))
  if importlib.util.find_spec("encodec"):
    peers.append(_Encodec(config))
  else:
    print("encodec is not installed\n")
  return peers


class _Twin:
  """Our layers, losses and optimiser."""

  name = "PyTorch twin"

  def __init__(self, config: Any):
    self._training = torch_twin.Training(config)

  def coding(self, verb: str, wav: np.ndarray) -> Callable[[], Any]:
    codec, x = self._training.codec, torch.from_numpy(wav)

    @torch.inference_mode()
    def encode() -> torch.Tensor:
      return codec.quantize(codec.encode(x))[0]

    z = encode()
    return encode if verb == "encode" else lambda: _decode(codec.decode, z)

  def training(self, wav: np.ndarray, adversarial: bool) -> Callable[[], Any]:
    x = torch.from_numpy(wav)
    return lambda: self._training.step(x, adversarial=adversarial)


class _Encodec:
  """SEANet of the size nearest to ours, with as many codebooks, at our rate."""

  name = "EnCodec"

  def __init__(self, config: Any):
    # It imports torchaudio to read files, which is not done here.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from encodec import modules, quantization

    codec, quantizer = config.model.codec, config.model.quantizer
    options = dict(
      dimension=codec.latent_dim,
      n_filters=24,
      ratios=[5, 5, 4, 2],
      causal=True,
      norm="weight_norm",
    )
    self._codec = torch.nn.ModuleDict(
      dict(
        encoder=modules.SEANetEncoder(**options),
        decoder=modules.SEANetDecoder(**options),
        quantizer=quantization.ResidualVectorQuantizer(
          dimension=codec.latent_dim,
          n_q=quantizer.num_stages,
          bins=quantizer.codebook_size,
          kmeans_init=False,
        ),
      )
    )
    size = sum(p.numel() for p in self._codec.parameters())
    print(f"EnCodec: {size / 1e6:.1f} M parameters without codebooks\n")
    self._judges = torch_twin.Judges(config.model.discriminators)
    self._losses = torch_twin.Losses(config)
    self._trainer = torch_twin.Descent(
      config, self._codec, self._judges, self._losses
    )
    self._config = config

  def coding(self, verb: str, wav: np.ndarray) -> Callable[[], Any]:
    x = torch.from_numpy(wav)[:, None]
    rate = self._config.audio.sample_rate_hz / self._config.audio.hop_samples

    @torch.inference_mode()
    def encode() -> torch.Tensor:
      self._codec.eval()
      h = self._codec["encoder"](x)
      return self._codec["quantizer"](h, rate).quantized

    z = encode()
    decoder = self._codec["decoder"]
    return encode if verb == "encode" else lambda: _decode(decoder, z)

  def training(self, wav: np.ndarray, adversarial: bool) -> Callable[[], Any]:
    x = torch.from_numpy(wav)
    rate = self._config.audio.sample_rate_hz / self._config.audio.hop_samples

    def step() -> None:
      self._codec.train()
      h = self._codec["encoder"](x[:, None])
      found = self._codec["quantizer"](h, rate)
      fake = self._codec["decoder"](found.quantized)[:, 0, : x.shape[1]]
      self._trainer.step(x, fake, found.penalty, adversarial=adversarial)

    return step


@torch.inference_mode()
def _decode(decoder: Callable[[torch.Tensor], Any], z: torch.Tensor) -> Any:
  return decoder(z)
