# SPDX-License-Identifier: Apache-2.0
"""The page: a heading, a tab for each use, and a word about voices."""

import gradio as gr

from ns_jax import paths
from ns_jax.apps.page import coding, looks, retelling, singing, speaking
from ns_jax.apps.page.house import House

_SWEEP_SEC, _KEPT_SEC = 600, 3600  # of uploads and results

_TABS = {
  "Speak": speaking.place,
  "Convert": retelling.place_conversion,
  "Enhance": retelling.place_enhancement,
  "Sing": singing.place,
  "Codec": coding.place,
}


def build(house: House) -> gr.Blocks:
  """Makes the page; `serving.application` serves it."""
  # Else examples were copied to where all is deleted in time.
  gr.set_static_paths([paths.EXAMPLES])
  with gr.Blocks(
    title="ns_jax",
    analytics_enabled=False,
    delete_cache=(_SWEEP_SEC, _KEPT_SEC),
  ) as page:
    gr.HTML(looks.HEADER)
    with gr.Tabs():
      for name, place in _TABS.items():
        with gr.Tab(name):
          place(house)
    gr.HTML(looks.FOOTER)
  return page.queue(default_concurrency_limit=1, max_size=house.limits.waiting)
