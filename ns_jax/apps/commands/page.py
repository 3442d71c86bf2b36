# SPDX-License-Identifier: Apache-2.0
"""`ns-jax demo`."""

import logging

import click

from ns_jax.apps.commands import shared
from ns_jax.errors import UserError

_LOGGER = logging.getLogger(__name__)


@shared.verb()
@click.option(
  "--model",
  "models",
  multiple=True,
  default=("shipped",),
  show_default=True,
  metavar="FOLDER",
  help="Bundle or workdir of ns2 or ns1; repeatable, to choose from.",
)
@click.option(
  "--host",
  default="127.0.0.1",
  show_default=True,
  help="Who may come: 0.0.0.0 is everybody in your network.",
)
@click.option(
  "--port",
  type=click.IntRange(0, 65535),
  default=7860,
  show_default=True,
  help="0: any that is free.",
)
@click.option(
  "--root-path", default="", help="Where a proxy shows the page, as /speech."
)
@click.option(
  "--max-characters",
  type=click.IntRange(min=1),
  default=2000,  # page.house.Limits
  show_default=True,
  help="Of a text.",
)
@click.option(
  "--max-upload-mb",
  type=click.IntRange(min=1),
  default=20,
  show_default=True,
  help="Megabytes of a file.",
)
@click.option(
  "--max-seconds",
  type=click.FloatRange(min=1),
  default=60.0,
  show_default=True,
  help="Of a recording.",
)
def demo(
  models: tuple[str, ...],
  host: str,
  port: int,
  root_path: str,
  max_characters: int,
  max_upload_mb: int,
  max_seconds: float,
) -> shared.Done:
  """Opens a web page to speak, convert, enhance, sing and code.

  Example: ns-jax demo
  """
  from ns_jax.apps.page import keeping

  with keeping.private():
    try:
      from ns_jax.apps.page import serving
    except ModuleNotFoundError as error:
      if error.name not in ("fastapi", "gradio", "uvicorn"):
        raise
      raise UserError(
        f"the page needs {error.name}; pip install 'ns_jax[demo]'"
      ) from error
    from ns_jax import api
    from ns_jax.apps import addresses
    from ns_jax.apps.page.house import House, Limits
    from ns_jax.inference.codec import SpeechCodec

    with serving.listen(host, port) as bound:
      house = House(
        {model: api.load(model) for model in models},
        SpeechCodec.load(),
        Limits(max_characters, max_upload_mb, max_seconds),
      )
      address = addresses.url(bound)
      app = serving.application(house, root_path)
      _LOGGER.info("%s (Ctrl-C ends it)", address)
      serving.run(app, bound)
  return shared.Done("", {"address": address})
