# SPDX-License-Identifier: Apache-2.0
"""Models as StableHLO: programs that run without this package.

manifest.json        programs, their inputs and outputs, units, versions, sums
weights.safetensors  single precision; arguments of the programs, not inside
<program>.jax        serialised by jax.export, for CPU, CUDA and TPU at once
SHA256SUMS           of all of these

Numbers of waves, frames and prompt frames are symbols: one program serves all.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

from ns_jax import __version__, files, paths
from ns_jax.array_types import Array
from ns_jax.errors import UserError
from ns_jax.inference import codec as codec_lib
from ns_jax.inference import sums
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.restore import Weights
from ns_jax.models import quantizer
from ns_jax.models.prompt import Prompt
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.training import workdir

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
PLATFORMS = ("cpu", "cuda", "tpu")
STAGES = ("codec", "ns2", "ns2_distilled")
_PROGRAMS = ("encode", "look_up", "decode", "denoise")
_OWN = (MANIFEST_FILE, WEIGHTS_FILE, *(f"{name}.jax" for name in _PROGRAMS))
_FORMAT = "ns_jax stablehlo 1"


@dataclasses.dataclass(frozen=True)
class _Value:
  """An input or output of a program."""

  name: str
  shape: str  # sizes and symbols, "b, 200*t"
  dtype: str
  unit: str


@dataclasses.dataclass(frozen=True)
class _Program:
  """A function of weights by their names and of inputs, in their order."""

  name: str
  call: Callable[..., tuple[Array, ...]]
  weights: Mapping[str, Any]  # path -> array
  inputs: Sequence[_Value]
  outputs: Sequence[_Value]


def export(weights: Weights, folder: paths.Path) -> list[str]:
  """Writes the programs of a model.

  Args:
    weights: of a codec: `encode`, `look_up` and `decode`. Of ns2: those of its
      codec, and `denoise`.
    folder: made if missing; an older export in it is replaced.

  Returns:
    Names of the programs.

  Raises:
    UserError: the model is another one, or the folder cannot be used.
  """
  stage = weights.config.get("stage")
  if stage not in STAGES:
    raise UserError(
      f"a model of the stage {stage} cannot be exported as StableHLO; "
      f"give one of {', '.join(STAGES)}"
    )
  # An export may have been killed before its manifest, which comes last.
  is_export = (folder / MANIFEST_FILE).is_file()
  if not is_export and files.foreign(folder, _OWN):
    raise UserError(
      f"{folder}: is not empty and holds no such export; give another folder"
    )
  codec = SpeechCodec.of(weights)
  programs = _codec_programs(codec)
  tensors = {name: array for p in programs for name, array in p.weights.items()}
  if stage != "codec":
    programs.append(_denoise(weights))
    tensors |= programs[-1].weights
    for name in codec_lib.LATENT_STATISTICS:
      tensors[name] = weights.frozen["codec"][name]
  about = {
    "stage": stage,
    "step": weights.step,
    "sample_rate_hz": codec.spec.sample_rate_hz,
    "hop_samples": codec.spec.hop_samples,
    "codebooks": codec.num_codebooks,
    "codec_id": codec.codec_id,
  }
  try:
    _write(folder, programs, tensors, about)
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror or error})"
    ) from error
  return [program.name for program in programs]


def _write(
  folder: paths.Path,
  programs: Sequence[_Program],
  tensors: Mapping[str, Any],
  about: Mapping[str, Any],
) -> None:
  """Writes all files; the manifest and the sums come last."""
  folder.mkdir(parents=True, exist_ok=True)
  files.tidy(folder)
  for name in set(_PROGRAMS) - {program.name for program in programs}:
    (folder / f"{name}.jax").unlink(missing_ok=True)  # of an older export
  single = {
    name: np.asarray(array, np.float32, order="C")
    for name, array in tensors.items()
  }
  files.write(folder / WEIGHTS_FILE, safetensors.numpy.save(single))
  described = {}
  for program in programs:
    file = f"{program.name}.jax"
    files.write(folder / file, bytes(_traced(program).serialize()))
    described[program.name] = {
      "file": file,
      "sha256": sums.digest(folder / file),
      "inputs": [dataclasses.asdict(value) for value in program.inputs],
      "outputs": [dataclasses.asdict(value) for value in program.outputs],
      "weights": sorted(program.weights),  # as the program's arguments go
    }
  manifest = {
    "format": _FORMAT,
    "model": about,
    "versions": {"ns_jax": __version__, "jax": jax.__version__},
    "platforms": PLATFORMS,
    "weights": {
      "file": WEIGHTS_FILE,
      "sha256": sums.digest(folder / WEIGHTS_FILE),
    },
    "programs": described,
  }
  workdir.write_json(folder / MANIFEST_FILE, manifest)
  names = [WEIGHTS_FILE, MANIFEST_FILE]
  sums.write(folder, names + [p["file"] for p in described.values()])


def _traced(program: _Program) -> jax.export.Exported:
  """The program with its symbols, lowered for all platforms."""
  scope = jax.export.SymbolicScope()
  inputs = [
    jax.ShapeDtypeStruct(
      jax.export.symbolic_shape(value.shape, scope=scope), value.dtype
    )
    for value in program.inputs
  ]
  weights = {
    name: jax.ShapeDtypeStruct(np.shape(array), np.float32)
    for name, array in program.weights.items()
  }
  make = jax.export.export(jax.jit(program.call), platforms=PLATFORMS)
  return make(weights, *inputs)


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
  return traverse_util.flatten_dict(dict(tree), sep="/")


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  return traverse_util.unflatten_dict(dict(flat), sep="/")


def _codec_programs(codec: SpeechCodec) -> list[_Program]:
  """Waves to codes and latents, codes to latents, latents to waves."""
  rate, hop = codec.spec.sample_rate_hz, codec.spec.hop_samples
  books, size, width = codec.vectors.shape
  wav = _Value("wav", f"b, {hop}*t", "float32", f"samples at {rate} Hz, -1..1")
  codes = _Value("codes", f"b, t, {books}", "int32", f"0..{size - 1}")
  latents = _Value("latents", f"b, t, {width}", "float32", "of the codec")
  count = _Value("num_codebooks", "b", "int32", f"first ones used, 1..{books}")

  def encode(flat: Any, wav: Array) -> tuple[Array, ...]:
    tree = _nested(flat)
    found, _ = codec_lib.encode(
      codec.module, tree["codec"], tree["codebooks"], wav
    )
    return found

  def look_up(flat: Any, codes: Array, count: Array) -> tuple[Array, ...]:
    return (quantizer.decode_codes(flat["code_vectors"], codes, count),)

  def decode(flat: Any, latents: Array) -> tuple[Array, ...]:
    params = _nested(flat)["codec"]
    return (codec_lib.decode(codec.module, params, latents)[0],)

  params = {f"codec/{name}": x for name, x in _flat(codec.params).items()}
  vectors = {"code_vectors": codec.vectors}
  hearing = {
    name: array
    for name, array in params.items()
    if not name.startswith("codec/decoder/")
  } | {"codebooks": codec.embeddings}
  speaking = {
    name: array
    for name, array in params.items()
    if name.startswith("codec/decoder/")
  }
  return [
    _Program("encode", encode, hearing, (wav,), (codes, latents)),
    _Program("look_up", look_up, vectors, (codes, count), (latents,)),
    _Program("decode", decode, speaking, (latents,), (wav,)),
  ]


def _denoise(weights: Weights) -> _Program:
  """One evaluation of the diffusion network, as solvers call it."""
  model = ns2_stage.make_model(weights.config)
  width, dim = model.denoiser.latent_dim, weights.config.model.dim
  unit = "(latents - latent_mean) / latent_std"

  def denoise(
    flat: Any,
    x_t: Array,
    t: Array,
    cond: Array,
    hidden: Array,
    hidden_mask: Array,
    mask: Array,
  ) -> tuple[Array, ...]:
    prompt = Prompt(hidden, hidden_mask, jnp.zeros_like(t))
    x0_hat: Any = model.apply(
      {"params": _nested(flat)},
      *(x_t, t, cond, prompt, mask),
      train=False,
      method="denoise",
    )
    return (x0_hat,)

  flat = _flat({"denoiser": weights.params["gen"]["denoiser"]})
  return _Program(
    name="denoise",
    call=denoise,
    weights=flat,
    inputs=(
      _Value("x_t", f"b, t, {width}", "float32", f"noisy {unit}"),
      _Value("time", "b", "float32", "of the diffusion, 0 (data) to 1"),
      _Value("cond", f"b, t, {dim}", "float32", "phonemes and pitch"),
      _Value("prompt", f"b, p, {dim}", "float32", "encoded prompt"),
      _Value("prompt_mask", "b, p", "bool", "true: a frame of the prompt"),
      _Value("mask", "b, t", "bool", "true: a frame of the speech"),
    ),
    outputs=(_Value("x0_hat", f"b, t, {width}", "float32", unit),),
  )
