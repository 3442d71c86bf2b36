# SPDX-License-Identifier: Apache-2.0
"""Texts of a corpus to phonemes; whatever stands there, one line is said."""

from data_pipelines.corpora import listing
from ns_jax.errors import UserError
from ns_jax.text.frontend import Frontend, Reading


def read(text: str, what: str = "text") -> Reading:
  """How a text of a corpus is read.

  Args:
    text: as it is written.
    what: to call it where it cannot be read.

  Raises:
    UserError: why it cannot be.
  """
  check_text(text, what)
  if not text.strip():
    raise UserError(f"has no {what}")
  if text.isupper():  # capitals all over are no acronyms
    text = text.lower()
  return Frontend().read(text)


def check_text(text: str, what: str) -> None:
  """Refuses what nobody would have typed.

  Raises:
    UserError: naming it as `what`.
  """
  if listing.has_control_characters(text):
    raise UserError(f"has control characters in its {what}")
  if any(0xD800 <= ord(char) <= 0xDFFF for char in text):  # not decoded
    raise UserError(f"its {what} is not UTF-8")
