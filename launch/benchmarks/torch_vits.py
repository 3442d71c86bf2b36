# SPDX-License-Identifier: Apache-2.0
"""What others would run instead of NaturalSpeech: VITS, as it is in PyTorch.

Of its own size and hop, 256 samples, and once more at our hop: its first
transposed convolutions stretch more than ours, so that its own decoder computes
a third more for as long a wave.
"""

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from configs import ns1 as ns1_config

_FRAMES_PER_PHONEME = 4
_MAX_NORM = 1000.0  # coqui's grad_clip


def speakers(config: Any) -> list[Any]:
  """The peers that speak."""
  _prepare()
  if not importlib.util.find_spec("transformers"):
    print("transformers is not installed\n")
    return []
  return [_Speaker(config, at_our_hop) for at_our_hop in (False, True)]


def trainers(config: Any) -> list[Any]:
  """The peers that train."""
  _prepare()
  if not importlib.util.find_spec("TTS"):
    print("coqui-tts is not installed\n")
    return []
  return [_Trainer(config, at_our_hop) for at_our_hop in (False, True)]


def _prepare() -> None:
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.set_flush_denormal(True)  # as XLA does
  torch.manual_seed(0)


def _our_hop() -> tuple[list[int], list[int]]:
  """Strides and kernels of our HiFi-GAN; kernels that keep VITS's padding.

  It drops half of what a kernel is longer than a stride on each side.
  """
  decoder = ns1_config.get_config("paper").model.decoder
  strides, wanted = decoder.strides, decoder.upsample_kernels
  kernels = [
    kernel - (kernel - stride) % 2
    for stride, kernel in zip(strides, wanted, strict=True)
  ]
  return list(strides), kernels


class _Speaker:
  """transformers' VitsModel."""

  def __init__(self, config: Any, at_our_hop: bool):
    import transformers

    options = {}
    if at_our_hop:
      strides, kernels = _our_hop()
      options = dict(upsample_rates=strides, upsample_kernel_sizes=kernels)
    vits = transformers.VitsConfig(**options)
    self.name = f"VITS, hop {np.prod(vits.upsample_rates)}"
    self._rate_hz = config.audio.sample_rate_hz
    self._hop_samples = int(np.prod(vits.upsample_rates))
    self._model = transformers.VitsModel(vits).eval()
    for module in list(self._model.modules()):
      if parametrize.is_parametrized(module):
        parametrize.remove_parametrizations(module, "weight")
    self.size = sum(
      p.numel()
      for name, p in self._model.named_parameters()
      if not name.startswith("posterior_encoder")
    )
    self._log_durations = torch.zeros(())
    self._model.duration_predictor.register_forward_hook(
      lambda *_: self._log_durations
    )

  def speaking(self, seconds: int) -> Callable[[], np.ndarray]:
    """Says something that long.

    Its duration predictor is asked, but not heeded: frames are the same every
    time.
    """
    frames = round(seconds * self._rate_hz / self._hop_samples)
    phonemes = frames // _FRAMES_PER_PHONEME
    edges = torch.linspace(0, frames, phonemes + 1).round()
    # They are rounded up.
    log_durations = torch.log(edges.diff() - 0.5)[None, None]
    ids = torch.randint(1, self._model.config.vocab_size, (1, phonemes))

    @torch.inference_mode()
    def speak() -> np.ndarray:
      self._log_durations = log_durations
      return self._model(ids).waveform[0].numpy()

    return speak


class _Trainer:
  """coqui-tts's Vits."""

  def __init__(self, config: Any, at_our_hop: bool):
    # It imports them to read files, which is not done here.
    for name in ("torchaudio", "torchcodec"):
      module = types.ModuleType(name)
      module.__spec__ = importlib.machinery.ModuleSpec(name, None)
      sys.modules.setdefault(name, module)
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits

    vits = VitsConfig()
    vits.audio.sample_rate = config.audio.sample_rate_hz
    if at_our_hop:
      args = vits.model_args
      strides, kernels = _our_hop()
      args.upsample_rates_decoder = strides
      args.upsample_kernel_sizes_decoder = kernels
      args.spec_segment_size = config.slice_frames
      vits.audio.hop_length = config.audio.hop_samples
    self.name = f"VITS, hop {vits.audio.hop_length}"
    self._model = Vits(vits).train()
    self._players = list(
      zip(self._model.get_criterion(), self._model.get_optimizer(), strict=True)
    )

  def training(self, clips: Any) -> Callable[[], Any]:
    """One step of both players, as its trainer takes it."""
    size, phonemes = clips.phonemes.shape
    known = self._model.text_encoder.emb.num_embeddings  # by its own tokenizer
    clips = dict(
      waveform=torch.from_numpy(clips.wav)[:, None],
      waveform_rel_lens=torch.ones(size),
      tokens=torch.from_numpy(clips.phonemes % known).long(),
      token_lens=torch.full((size,), phonemes),
      d_vectors=None,
      speaker_ids=None,
      language_ids=None,
    )

    def step() -> None:
      batch = self._model.format_batch_on_device(dict(clips))
      for i, (criterion, optimiser) in enumerate(self._players):
        optimiser.zero_grad(set_to_none=True)
        _, losses = self._model.train_step(batch, criterion, i)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(
          [p for group in optimiser.param_groups for p in group["params"]],
          _MAX_NORM,
        )
        optimiser.step()

    return step
