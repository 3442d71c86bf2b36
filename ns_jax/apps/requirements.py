# SPDX-License-Identifier: Apache-2.0
"""What setup.py asks for, and what of it is installed."""

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement


def required(package: str, extra: str = "") -> list[Requirement]:
  """What an installed package, or an extra of it, needs on this machine."""
  found = map(Requirement, metadata.requires(package) or ())
  return [needed for needed in found if _applies(needed, extra)]


def extras(package: str) -> list[str]:
  """Names of the extras of an installed package."""
  return metadata.metadata(package).get_all("Provides-Extra") or []


def unmet(needed: Requirement) -> Iterator[str]:
  """What is missing or too old for a requirement, one line each."""
  try:
    version = metadata.version(needed.name)
  except metadata.PackageNotFoundError:
    yield f"{needed.name} is not installed"
    return
  if not needed.specifier.contains(version, prereleases=True):
    yield f"{needed.name} is {version}, to be {needed.specifier}"
  for extra in needed.extras:
    for further in required(needed.name, extra):
      yield from unmet(further)


def _applies(needed: Requirement, extra: str) -> bool:
  """Whether a requirement is that of an extra; "": of the package itself."""
  if needed.marker is None:
    return not extra
  is_core = needed.marker.evaluate({"extra": ""})
  return needed.marker.evaluate({"extra": extra}) and (not extra or not is_core)
