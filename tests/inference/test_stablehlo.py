# SPDX-License-Identifier: Apache-2.0
"""Exported programs are the model, for any sizes, and need nothing of ours."""

import ast
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.inference import stablehlo
from ns_jax.inference.codec import SpeechCodec
from ns_jax.models.prompt import Prompt
from ns_jax.stages import ns2 as ns2_stage
from tests import codecs, narrators, speakers

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "load_stablehlo.py"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def example():
  spec = importlib.util.spec_from_file_location("load_stablehlo", EXAMPLE)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stablehlo") / "hlo"
  names = stablehlo.export(speakers.weights(), folder)
  assert names == ["encode", "look_up", "decode", "denoise"]
  return folder


@pytest.fixture(scope="module")
def programs(folder, example):
  return example.load(str(folder))


@pytest.mark.parametrize(("batch", "frames"), [(1, 13), (3, 7)])
def test_the_codec(programs, batch, frames):
  codec = SpeechCodec.of(speakers.weights())
  rng = np.random.default_rng(frames)
  wav = rng.normal(scale=0.1, size=(batch, 200 * frames)).astype(np.float32)
  codes, latents = programs["encode"](wav)
  own_codes, own_latents = codec.encode(wav)
  np.testing.assert_array_equal(codes, own_codes)
  np.testing.assert_allclose(latents, own_latents, atol=TOLERANCE)
  few = np.full(batch, 2, np.int32)
  (looked_up,) = programs["look_up"](codes, few)
  np.testing.assert_allclose(
    looked_up, codec.latents(own_codes[..., :2]), atol=TOLERANCE
  )
  (again,) = programs["decode"](latents)
  np.testing.assert_allclose(again, codec.decode(own_latents), atol=TOLERANCE)


@pytest.mark.parametrize(("batch", "frames", "heard"), [(1, 9, 5), (2, 12, 3)])
def test_the_denoiser(programs, batch, frames, heard):
  weights = speakers.weights()
  model = ns2_stage.make_model(weights.config)
  rng = np.random.default_rng(heard)
  width, dim = model.denoiser.latent_dim, weights.config.model.dim

  def normal(*shape):
    return rng.normal(size=(batch, *shape)).astype(np.float32)

  x_t, cond, prompt = (
    normal(frames, width),
    normal(frames, dim),
    normal(heard, dim),
  )
  time = np.linspace(0.2, 0.9, batch, dtype=np.float32)
  prompt_mask = np.arange(heard)[None] < heard - np.arange(batch)[:, None]
  mask = np.arange(frames)[None] < frames - 2 * np.arange(batch)[:, None]
  (found,) = programs["denoise"](x_t, time, cond, prompt, prompt_mask, mask)
  wanted = model.apply(
    {"params": weights.params["gen"]},
    *(x_t, time, cond, Prompt(prompt, prompt_mask, np.zeros(batch)), mask),
    train=False,
    method="denoise",
  )
  assert np.std(wanted) > 0.1
  np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_the_manifest_is_true(folder):
  manifest = json.loads((folder / "manifest.json").read_text())
  for facts in manifest["programs"].values():
    exported = jax.export.deserialize(
      bytearray((folder / facts["file"]).read_bytes())
    )
    assert exported.platforms == ("cpu", "cuda", "tpu")
    (weights, *inputs), _ = jax.tree.unflatten(
      exported.in_tree, exported.in_avals
    )
    assert list(weights) == facts["weights"]
    for avals, values in (
      (inputs, facts["inputs"]),
      (exported.out_avals, facts["outputs"]),
    ):
      assert [str(a.dtype) for a in avals] == [v["dtype"] for v in values]
      assert [", ".join(map(str, a.shape)) for a in avals] == [
        value["shape"] for value in values
      ]
  subprocess.run(
    ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"],
    cwd=folder,
    check=True,
  )


def test_the_example_needs_jax_and_numpy_alone(folder):
  nodes = ast.walk(ast.parse(EXAMPLE.read_text()))
  imported = {
    name.name.split(".")[0]
    for node in nodes
    if isinstance(node, ast.Import)
    for name in node.names
  }
  assert imported - sys.stdlib_module_names == {"jax", "numpy"}
  result = subprocess.run(
    [sys.executable, "-P", EXAMPLE, folder],
    cwd=folder,
    env={**os.environ, "PYTHONPATH": ""},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith("codes (1, 80, 4), wave (1, 16000), level")


def test_a_changed_file_is_noticed(folder, example, tmp_path):
  manifest = json.loads((folder / "manifest.json").read_text())
  (tmp_path / "manifest.json").write_text(json.dumps(manifest))
  (tmp_path / "weights.safetensors").write_bytes(b"other")
  with pytest.raises(SystemExit, match="is not what the manifest says"):
    example.load(str(tmp_path))


def test_what_cannot_be_exported(folder, tmp_path):
  with pytest.raises(UserError, match="cannot be exported as StableHLO"):
    stablehlo.export(narrators.weights(), tmp_path / "out")
  (tmp_path / "mine").write_text("mine")
  with pytest.raises(UserError, match="not empty"):
    stablehlo.export(codecs.weights(), tmp_path)
  stablehlo.export(codecs.weights(), folder)  # an older one is replaced
  assert not (folder / "denoise.jax").exists()


def test_an_export_that_was_killed_is_made_again(tmp_path):
  for name in ("weights.safetensors", "manifest.json.00c0ffee.part"):
    (tmp_path / name).write_bytes(b"half")
  stablehlo.export(codecs.weights(), tmp_path)
  assert not list(tmp_path.glob("*.part"))
