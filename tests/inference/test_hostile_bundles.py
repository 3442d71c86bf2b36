# SPDX-License-Identifier: Apache-2.0
"""Bundles made to do harm: one line that names the file, and little memory."""

import json
import os
import pathlib
import re
import resource
import shutil
import struct

import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from configs import ns1 as ns1_config
from ns_jax.errors import UserError
from ns_jax.inference import bundle, export, fitting, restore, sums
from tests import codecs, speakers

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KERNEL = "params/gen/encoder/trunk/stem/kernel"
_MOST_BYTES = 256 << 20  # more than before
_BOMB = 100 << 30


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  return codecs.bundle(tmp_path_factory.mktemp("hostile") / "codec")


@pytest.fixture
def folder(whole, tmp_path):
  """A copy without sums, which whoever means harm would make anew."""
  copy = tmp_path / "copy"
  shutil.copytree(whole, copy)
  (copy / sums.SUMS_FILE).unlink()
  return copy


def peak_bytes():
  """The most memory this process has had."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def refused(folder, file, message=""):
  """Checks that reading ends with one line about `file`."""
  before = peak_bytes()
  with pytest.raises(UserError) as caught:
    restore.restore(folder)
  assert peak_bytes() - before < _MOST_BYTES
  line = str(caught.value)
  assert str(folder / file) in line and "\n" not in line
  assert len(line) < 600
  assert re.search(message, line), line


def changed(folder, name, value):
  """Sets a field of the config, "a.b.c"; a new one where it is not there."""
  config = json.loads((folder / CONFIG).read_text())
  section = config
  *sections, last = name.split("/")
  for key in sections:
    section = section.setdefault(key, {})
  section[last] = value
  (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize("value", [10**9, -(10**9), 1e300, 10**30])
@pytest.mark.parametrize(
  "name",
  [
    "audio/hop_samples",
    "audio/sample_rate_hz",
    "audio/num_mels",
    "model/codec/dim",
    "model/codec/latent_dim",
    "model/codec/encoder_layers",
    "model/codec/kernel_size",
    "model/codec/expansion",
    "model/quantizer/num_stages",
    "model/quantizer/codebook_size",
    "model/quantizer/code_dim",
  ],
)
def test_sizes_that_no_machine_holds(folder, name, value):
  changed(folder, name, value)
  refused(folder, CONFIG, name.replace("/", ".") + " is not within")


@pytest.mark.parametrize("dim", [0, -1, 2.5, 9, "8", None, [8], {}, 60_000])
def test_sizes_that_are_not_those_of_the_weights(folder, dim):
  """The largest would want 1.2 TB, were it built."""
  changed(folder, "model/codec/dim", dim)
  refused(folder, "" if dim in (9, 60_000) else CONFIG)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("frozen/codec", "../../etc"),
    ("frozen/codec", "/etc/passwd"),
    ("frozen/codec", "gs://bucket/run"),
    ("frozen/codec", "~root"),
    ("frozen/codec", "codec"),
    ("frozen/codec", ["shipped"]),
    ("preset", "C:\\windows"),
    ("preset", "a\nb"),
    ("preset", "x" * 10_000),
    ("phoneme_lm", "/root/.ssh"),
    ("stage", "os.path"),
    ("stage", "phoneme_lm"),
    ("stage", None),
    ("stage", {"a": 1}),
    ("dtype", "object"),
    ("dtype", "O"),
    ("dtype", "int8"),
    ("model", "codec"),
    ("audio", []),
    ("__class__", "int"),
    ("a.b", 1),
    ("\u202e", 1),
    ("x" * 1_000_000, 1),
    ("list", [0] * 100_000),
    ("model/codec/architecture", "waveform"),
    ("model/codec/architecture", "__init__"),
    ("model/codec/hop_samples", 3),
  ],
)
def test_configs_with_more_than_names_and_numbers(folder, name, value):
  changed(folder, name, value)
  refused(folder, CONFIG)


@pytest.mark.parametrize(
  "text",
  [
    "",
    "[]",
    '"codec"',
    "null",
    '{"stage": NaN}',
    '{"stage": Infinity}',
    '{"stage": 1e999}',
    '{"stage": ' + "9" * 5_000 + "}",
    '{"a":' * 200 + "1" + "}" * 200,
    '{"a":' * 900 + "1" + "}" * 900,
    '{"a":' * 100_000 + "1" + "}" * 100_000,
    "[" * 500_000,
    " " * (2 << 20) + "{}",
    b"\xff\xfe",
  ],
)
def test_json_that_is_no_config(folder, text):
  content = text if isinstance(text, bytes) else text.encode()
  (folder / CONFIG).write_bytes(content)
  refused(folder, CONFIG)


def weights_file(header, data=b"", size=None):
  """A safetensors file with any header."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack("<Q", len(text) if size is None else size) + text + data


def claimed(folder, shape, dtype="F16", offsets=None):
  """The bundle's header, one tensor of which claims something else."""
  content = (folder / WEIGHTS).read_bytes()
  (size,) = struct.unpack("<Q", content[:8])
  header = json.loads(content[8 : 8 + size])
  header[KERNEL].update(shape=shape, dtype=dtype)
  if offsets:
    header[KERNEL]["data_offsets"] = offsets
  return weights_file(header, content[8 + size :])


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"\x01",
    weights_file({}, size=2**63),
    weights_file({}, size=2**64 - 1),
    weights_file({}, size=50_000_000),
    weights_file(b" " * (9 << 20)),  # a header of nine megabytes, all there
    weights_file(b'{"a":' * 50_000),
    weights_file(b"\x80\x04K\x01."),  # a pickle
    b"PK\x03\x04" + bytes(100),  # a zip of pickles, as torch writes them
    weights_file({}),
    weights_file([]),
    weights_file({"__metadata__": {"step": "1e400"}}),
  ],
)
def test_weights_that_are_no_weights(folder, content):
  (folder / WEIGHTS).write_bytes(content)
  refused(folder, WEIGHTS)


@pytest.mark.parametrize(
  ("shape", "dtype", "offsets"),
  [
    ([10**12, 10**12], "F16", None),
    ([2**32, 2**32, 2**32], "F16", None),
    ([2**63], "F16", None),
    ([-1, -1], "F16", None),
    ([0, 10**15], "F16", [0, 0]),
    ([_BOMB], "I8", [0, _BOMB]),
    ([7, 5, 8], "F64", None),
    ([7, 5, 8], "F8_E4M3", None),
    ([7, 5, 8], "OBJECT", None),
    ([7, 5, 8], "F16", [560, 0]),
    ([7, 5, 8], "F16", [10**18, 10**18 + 560]),
  ],
)
def test_tensors_that_claim_what_is_not_there(folder, shape, dtype, offsets):
  (folder / WEIGHTS).write_bytes(claimed(folder, shape, dtype, offsets))
  refused(folder, WEIGHTS)


def _with(tensors, name, value):
  return {**tensors, name: value}


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda t: _with(t, KERNEL, t[KERNEL] * np.float16(np.nan)), "not finite"),
    (lambda t: _with(t, KERNEL, t[KERNEL] * np.float16(np.inf)), "not finite"),
    (lambda t: _with(t, KERNEL, t[KERNEL].astype(np.int16)), "of type I16"),
    (lambda t: _with(t, KERNEL, t[KERNEL].astype(np.float64)), "of type F64"),
    (lambda t: _with(t, KERNEL, t[KERNEL].astype(bool)), "of type BOOL"),
    (lambda t: _with(t, KERNEL, t[KERNEL][:-1]), "do not fit"),
    (lambda t: _with(t, KERNEL, t[KERNEL].T.copy()), "do not fit"),
    (lambda t: _with(t, f"{KERNEL}/more", t[KERNEL]), "do not fit"),
    (lambda t: _with(t, "../../etc/passwd", t[KERNEL]), "do not fit"),
    (lambda t: _with(t, "\n" * 100_000, t[KERNEL]), "do not fit"),
    (lambda t: {n: v for n, v in t.items() if n != KERNEL}, "do not fit"),
  ],
)
def test_weights_of_another_model(folder, change, message):
  tensors = change(safetensors.numpy.load_file(folder / WEIGHTS))
  safetensors.numpy.save_file(tensors, folder / WEIGHTS)
  refused(folder, WEIGHTS, message)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.1, 0.5, 0.9999])
def test_weights_cut_short(folder, keep):
  content = (folder / WEIGHTS).read_bytes()
  (folder / WEIGHTS).write_bytes(content[: int(keep * len(content))])
  refused(folder, WEIGHTS)


def test_files_larger_than_any_bundle(folder):
  """They are sparse: nothing of them may be read."""
  with (folder / WEIGHTS).open("r+b") as file:
    file.truncate(5 << 30)
  refused(folder, WEIGHTS, "larger than any")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, bundle.CARD_FILE])
@pytest.mark.parametrize("target", ["/etc/hostname", "../aside", "aside"])
def test_links(folder, name, target):
  (folder.parent / "aside").write_bytes((folder / name).read_bytes())
  (folder / "aside").write_bytes((folder / name).read_bytes())
  (folder / name).unlink()
  (folder / name).symlink_to(target)
  refused(folder, name, "is a link")


def test_pipes(folder):
  """Whoever opened it would wait for ever."""
  os.mkfifo(folder / sums.SUMS_FILE)
  refused(folder, sums.SUMS_FILE, "no plain file")


def test_the_cache_of_a_hub_is_read_through_its_links(whole, tmp_path):
  snapshot, blobs = tmp_path / "m/snapshots/0a", tmp_path / "m/blobs"
  snapshot.mkdir(parents=True)
  blobs.mkdir()
  for file in whole.iterdir():
    blob = sums.digest(file)
    shutil.copy(file, blobs / blob)
    (snapshot / file.name).symlink_to(f"../../blobs/{blob}")
  assert restore.restore(snapshot).step == 7
  blob = blobs / sums.digest(whole / CONFIG)
  blob.unlink()
  blob.symlink_to("/etc/hostname")
  refused(snapshot, CONFIG, "is a link")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_sums_tell_of_a_changed_byte(whole, tmp_path, name):
  copy = tmp_path / "copy"
  shutil.copytree(whole, copy)
  content = bytearray((copy / name).read_bytes())
  content[-3] ^= 1
  (copy / name).write_bytes(bytes(content))
  refused(copy, name, "is not the file that SHA256SUMS")


@pytest.mark.parametrize(
  "text",
  [
    "",
    "0" * 64 + "  config.json\n",
    "0" * 64 + "  ../../etc/passwd\n",
    "x" * (2 << 20),
    b"\xff\xfe\xfd",
  ],
)
def test_sums_that_are_none(folder, text):
  content = text if isinstance(text, bytes) else text.encode()
  (folder / sums.SUMS_FILE).write_bytes(content)
  refused(folder, "", "SHA256SUMS")


def _untrained(config):
  """Weights of nothing but zeros: no model is compiled."""
  config.frozen = dict(codec="shipped")
  flat = fitting.shapes(config, pathlib.Path())
  zeros = {name: np.zeros(shape) for name, shape in flat.items()}
  return traverse_util.unflatten_dict(zeros, sep="/")


def _reads(folder):
  """A bundle of ns1."""
  config = ns1_config.get_config("tiny")
  weights = restore.Weights(config=config, step=1, **_untrained(config))
  export.export(weights, folder)


def _listens(folder):
  """A bundle of ns2, the codec inside."""
  config = speakers.small_config(codecs.small_config())
  params = _untrained(config)["params"]
  codec = codecs.codec().frozen(np.zeros(6), np.ones(6))
  weights = restore.Weights(
    config=config, step=1, params=params, frozen={"codec": codec}
  )
  export.export(weights, folder)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
  """Bundles of models that speak."""
  folder = tmp_path_factory.mktemp("speaking")
  for make in (_reads, _listens):
    make(folder / make.__name__)
    restore.restore(folder / make.__name__)
  return folder


@pytest.mark.parametrize(
  ("make", "name", "value"),
  [
    (_listens, "data/max_frames", 10**9),
    (_listens, "data/max_phonemes", 10**9),
    (_listens, "sample/steps", 10**9),
    (_listens, "frozen/codec", "../codec"),
    (_listens, "frozen/num_codebooks", 10**9),
    (_listens, "model/denoiser/num_layers", 10**9),
    (_listens, "model/denoiser/num_queries", 10**9),
    (_listens, "codec/model/codec/dim", 10**9),
    (_listens, "prompt/max_sec", 1e12),
    (_reads, "sample/max_phonemes", 10**9),
    (_reads, "model/memory/size", 10**9),
    (_reads, "model/decoder/architecture", "../x"),
  ],
)
def test_models_that_speak(speaking, tmp_path, make, name, value):
  copy = tmp_path / "copy"
  shutil.copytree(speaking / make.__name__, copy)
  (copy / sums.SUMS_FILE).unlink()
  changed(copy, name, value)
  refused(copy, CONFIG)
