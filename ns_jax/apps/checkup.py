# SPDX-License-Identifier: Apache-2.0
"""`ns-jax doctor`: what is installed, whether it works, how to mend it.

Whatever a check needs is imported in it, so that what is broken is found by the
check that is about it, and the others go on.
"""

import dataclasses
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata

from ns_jax import __version__, compiled
from ns_jax.apps import requirements
from ns_jax.errors import UserError

OK, ABSENT, NOTE, BROKEN = "ok", "absent", "note", "broken"
_PACKAGE = "ns_jax"
_REINSTALL = "install ns_jax again, with --force-reinstall --no-deps"
_MIN_GB = 2.0  # of memory and of disk, to speak and to compile
_WORD = "kettle"
_TONE_HZ = 200.0
_QUIETEST_DBFS = -45.0  # that speech may be
# Of Google's devices on the PCI bus, those that are TPUs: v3 to 7x.
_GOOGLE = "0x1ae0"
_TPUS = ("0x0027", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that was looked at."""

  grade: str
  subject: str
  what: str
  remedy: str = ""  # a command, or what to do


@dataclasses.dataclass(frozen=True)
class Check:
  """One thing to look at."""

  subject: str
  look: Callable[[], Iterator[Finding]]
  remedy: str = ""  # where it cannot even be looked at


def findings(checks: "Sequence[Check] | None" = None) -> Iterator[Finding]:
  """Looks at one thing after the other; none stops the next.

  Args:
    checks: what to look at; None: everything.
  """
  for check in CHECKS if checks is None else checks:
    try:
      yield from check.look()
    except Exception as error:  # whatever it is, is what was looked for
      reason = str(error) if isinstance(error, UserError) else repr(error)
      reason = " ".join(reason.split())[:300]
      yield Finding(BROKEN, check.subject, reason, check.remedy)


def _python() -> Iterator[Finding]:
  system = f"{platform.system()} {platform.machine()}"
  what = f"{platform.python_version()} on {system}, {sys.prefix}"
  yield Finding(OK, "Python", what)


def _packages() -> Iterator[Finding]:
  needed = requirements.required(_PACKAGE)
  missing = 0
  for requirement in needed:
    for line in requirements.unmet(requirement):
      missing += 1
      name = str(requirement).partition(";")[0]
      yield Finding(BROKEN, "packages", line, f"pip install '{name}'")
  if not missing:
    what = f"ns_jax {__version__} and the {len(needed)} that it needs"
    yield Finding(OK, "packages", what)
  installed = metadata.version(_PACKAGE)
  if installed != __version__:
    what = f"ns_jax {installed} is installed, {__version__} is running"
    yield Finding(NOTE, "packages", what, "install it again, or cd elsewhere")


def _extras() -> Iterator[Finding]:
  for extra in requirements.extras(_PACKAGE):
    lacking = list(_unmet_of(extra))
    command = f"pip install 'ns_jax[{extra}]'"
    if lacking:
      others = f", and {len(lacking) - 1} more" if lacking[1:] else ""
      yield Finding(ABSENT, f"extra {extra}", f"{lacking[0]}{others}", command)
    else:
      yield Finding(OK, f"extra {extra}", "installed")


def _devices() -> Iterator[Finding]:
  import jax

  devices = jax.devices()
  kinds = Counter(device.device_kind for device in devices)
  seen = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
  what = f"JAX {jax.__version__} computes on {seen}"
  idle = []
  if devices[0].platform == "cpu":
    idle = [("cuda", gpu) for gpu in _nvidia_gpus()]
    idle += [("tpu", "a TPU")] * _has_tpu()
  if not idle:
    yield Finding(OK, "device", what)
    return
  extra, name = idle[0]
  forced = os.environ.get("JAX_PLATFORMS")
  if forced:
    remedy = f"unset JAX_PLATFORMS, which is {forced}"
  elif any(_unmet_of(extra)):
    remedy = f"pip install 'ns_jax[{extra}]'"
  else:
    remedy = f"python -c 'import jax; jax.devices(\"{extra}\")' says why"
  yield Finding(NOTE, "device", f"{what}, and leaves {name} idle", remedy)


def _unmet_of(extra: str) -> Iterator[str]:
  for needed in requirements.required(_PACKAGE, extra):
    yield from requirements.unmet(needed)


def _nvidia_gpus() -> list[str]:
  """Names of the GPUs that the driver knows."""
  if not shutil.which("nvidia-smi"):
    return []
  listed = subprocess.run(
    ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  lines = listed.stdout.splitlines() if listed.returncode == 0 else []
  return [line.strip() for line in lines if line.strip()]


def _has_tpu() -> bool:
  for vendor in pathlib.Path("/sys/bus/pci/devices").glob("*/vendor"):
    if vendor.read_text().strip() == _GOOGLE:
      if vendor.with_name("device").read_text().strip() in _TPUS:
        return True
  return False


def _pronunciation() -> Iterator[Finding]:
  from ns_jax.text.frontend import Frontend

  phonemes = " ".join(Frontend().phonemes(_WORD))
  yield Finding(OK, "espeak-ng", f"pronounces {_WORD}: {phonemes}")


def _pitch() -> Iterator[Finding]:
  import numpy as np

  from ns_jax.audio import AudioSpec
  from ns_jax.dsp import pitch

  spec = AudioSpec()
  turns = _TONE_HZ * np.arange(spec.sample_rate_hz) / spec.sample_rate_hz
  tone = sum(np.sin(2.0 * np.pi * k * turns) / k for k in range(1, 9))
  f0_hz = pitch.f0(0.1 * np.asarray(tone, np.float32), spec, "harvest")
  heard_hz = float(np.median(f0_hz))
  what = f"hears {heard_hz:.1f} Hz in a tone of {_TONE_HZ:.0f} Hz"
  is_near = abs(heard_hz - _TONE_HZ) < 0.02 * _TONE_HZ
  remedy = "" if is_near else "pip install --force-reinstall pyworld"
  yield Finding(OK if is_near else BROKEN, "PyWorld", what, remedy)


def _sound_files() -> Iterator[Finding]:
  import soundfile

  known = soundfile.available_formats()
  lacks = {"WAV", "FLAC", "OGG", "MP3"} - set(known)
  what = f"{soundfile.__libsndfile_version__}"
  if lacks:
    what = f"{what} cannot read {', '.join(sorted(lacks))}"
    yield Finding(BROKEN, "libsndfile", what, "pip install -U soundfile")
  else:
    yield Finding(OK, "libsndfile", what)


def _sound_formats() -> Iterator[Finding]:
  import av
  import numpy as np

  from ns_jax import audio_formats

  for name in audio_formats.FORMATS:
    audio_formats.encode(np.zeros(16_000, np.float32), 16_000, name)
  what = f"writes {', '.join(audio_formats.FORMATS)} (PyAV {av.__version__})"
  yield Finding(OK, "FFmpeg", what)


def _bundles() -> Iterator[Finding]:
  import jax
  import numpy as np

  from ns_jax.inference import restore

  for folder in sorted(restore.BUNDLES.iterdir()):
    weights = restore.restore(folder)
    leaves = jax.tree.leaves((weights.params, weights.model_state))
    size = sum(np.size(leaf) for leaf in leaves)
    if all(np.isfinite(leaf).all() for leaf in leaves):
      what = f"{folder.name} is whole, {size / 1e6:.1f} M numbers"
      yield Finding(OK, "bundle", what)
    else:
      what = f"{folder.name} holds what are no numbers"
      yield Finding(BROKEN, "bundle", what, _REINSTALL)


def _room() -> Iterator[Finding]:
  free = {"disk, in this folder": shutil.disk_usage(".").free}
  meminfo = pathlib.Path("/proc/meminfo")
  if meminfo.exists():
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free["memory"] = 1024 * int(fields["MemAvailable"].split()[0])
  for name, size in free.items():
    what = f"{size / 1e9:.1f} GB free of {name}"
    if size < 1e9 * _MIN_GB:
      yield Finding(NOTE, "room", what, f"make {_MIN_GB:.0f} GB free")
    else:
      yield Finding(OK, "room", what)


def _cache() -> Iterator[Finding]:
  folder = compiled.folder()
  remedy = "set JAX_COMPILATION_CACHE_DIR to a folder you can write to"
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    what = f"{folder}: cannot be written ({error.strerror})"
    yield Finding(NOTE, "compiled", f"{what}; all is compiled anew", remedy)
    return
  size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
  yield Finding(OK, "compiled", f"{folder}, {size / 1e6:.0f} MB of programs")


def _speech() -> Iterator[Finding]:
  import numpy as np

  from ns_jax.apps import measuring

  start = time.perf_counter()
  said = measuring.speaker()("Here I am.")
  seconds = time.perf_counter() - start
  level_dbfs = 10.0 * np.log10(np.mean(np.square(said.wav)) + 1e-12)
  what = (
    f"{said.seconds:.2f} s of speech at {level_dbfs:.0f} dBFS took "
    f"{seconds:.1f} s, with loading and compiling"
  )
  if level_dbfs > _QUIETEST_DBFS:
    yield Finding(OK, "synthesis", what)
  else:
    yield Finding(BROKEN, "synthesis", f"silence: {what}", _REINSTALL)


CHECKS = (
  Check("Python", _python),
  Check("packages", _packages, "install ns_jax with pip"),
  Check("extras", _extras),
  Check("device", _devices, "unset JAX_PLATFORMS; else install ns_jax again"),
  Check("espeak-ng", _pronunciation, "pip install espeakng-loader"),
  Check(
    "PyWorld", _pitch, "pip install 'setuptools<81' --force-reinstall pyworld"
  ),
  Check("libsndfile", _sound_files, "pip install -U soundfile"),
  Check("FFmpeg", _sound_formats, "pip install -U av"),
  Check("bundle", _bundles, f"mend what is above; else {_REINSTALL}"),
  Check("room", _room),
  Check("compiled", _cache),
  Check("synthesis", _speech, "mend what is above"),
)
