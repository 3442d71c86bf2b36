# SPDX-License-Identifier: Apache-2.0
"""`ns-jax detect`: whether speech carries the mark of `--mark`."""

import dataclasses

import click

from ns_jax.apps.commands import options, shared
from ns_jax.errors import UserError

_NONE_MARKED = 1  # exit status, as grep's where nothing matches


@shared.verb()
@click.argument(
  "files", nargs=-1, required=True, type=options.PATH, metavar="AUDIO..."
)
def detect(files: tuple[str, ...]) -> shared.Done:
  """Looks for the mark that --mark puts on speech.

  Says for each file how far it is from chance (z) and how far is enough for one
  false alarm in a million. The exit status is 0 where a file is marked, 1 where
  none is, 3 where some could not be read. NS_JAX_MARK_KEY is the key, if
  another one was used.

  Example: ns-jax detect hello.wav
  """
  import tqdm

  from ns_jax.apps import marking

  lines, facts, failures = [], [], []
  key = marking.key()
  for path in tqdm.tqdm(files, "heard", leave=False):
    try:
      found = marking.detect(path, key)
    except UserError as error:
      if len(files) == 1:
        raise
      failures.append(str(error))
      continue
    verdict = "marked" if found.is_marked else "no mark found"
    lines.append(
      f"{path}: {verdict} (z {found.z:.1f}, {found.threshold:.1f} is enough)"
    )
    about = {"path": path, "is_marked": found.is_marked}
    facts.append(about | dataclasses.asdict(found))
  for failure in failures:
    click.echo(f"ns_jax: {failure}", err=True)
  if not facts:
    raise UserError(f"none of the {len(files)} files could be read")
  is_any = any(fact["is_marked"] for fact in facts)
  status = 0 if is_any else _NONE_MARKED
  return shared.Done(
    "\n".join(lines),
    {"files": facts, "failures": failures},
    shared.SOME_REJECTED if failures else status,
  )
