# SPDX-License-Identifier: Apache-2.0
"""Colours, fonts and spaces of the page; nothing is fetched from elsewhere."""

from typing import Any

import gradio as gr

HEADER = """
<header id="heading">
  <h1>ns_jax</h1>
  <p>Give a text and a few seconds of a voice, and hear that voice say it.</p>
</header>
"""
FOOTER = """
<footer id="closing">Everything is computed on the machine that serves this page
and deleted after an hour. Use a voice only if its owner agrees, and do not
pass what is made here off as a recording.</footer>
"""
# Gradio's own elements are named by what it keeps stable: roles and test ids.
STYLE = """
.gradio-container { max-width: 72rem !important; margin: 0 auto !important }
.gradio-container, .gradio-container .contain { width: 100% }
.gradio-container .html-container { padding: 0 }
#heading { padding-top: .5rem }
#heading h1 { font-size: 1.6rem; font-weight: 650; letter-spacing: -.02em;
  margin: 0 }
#heading p { margin: .1rem 0 0; font-size: 1.05rem }
#heading p, .what, #closing { color: var(--body-text-color-subdued) }
.what { margin: .2rem 0 0 }
#closing { font-size: .85rem; padding: .5rem 0 1rem; max-width: 44rem }
.player .play-pause-button { color: var(--primary-700) !important }
.player :is(.rewind, .skip) { display: none }
.facts { font-variant-numeric: tabular-nums }
.picture .image-container { overflow-x: auto; contain: inline-size }
.picture .image-container > button { justify-content: safe center }
.picture img { height: 21rem; width: auto; max-width: none }
label[data-testid="block-label"] > span { display: none }
.upload [data-testid="upload-text"] { min-height: 8.5rem;
  padding-top: 1.5rem }
.upload [data-testid="upload-icon"] { display: none }
.picture .icon-button-wrapper { display: none }
.picture:has(> .empty) { display: none }
@media (max-width: 640px) {
  .gradio-container > .main > .wrap { padding: .6rem .9rem }
  .gradio-container .contain, .gradio-container .tabs { min-width: 0 }
  .tab-wrapper button { padding-inline: .5rem }
}
"""


def theme() -> Any:
  """Calm, in the fonts of the reader's own system."""
  plain = {"background_fill": "transparent", "text_color": "*neutral_600"}
  dark = {"background_fill": "transparent", "text_color": "*neutral_300"}
  return gr.themes.Soft(
    primary_hue="teal",
    secondary_hue="teal",
    neutral_hue="stone",
    font=("system-ui", "sans-serif"),
    font_mono=("ui-monospace", "monospace"),
  ).set(
    **{f"block_{part}_{name}": value
       for part in ("label", "title") for name, value in plain.items()},
    **{f"block_{part}_{name}_dark": value
       for part in ("label", "title") for name, value in dark.items()},
    block_label_border_width="0px",
    block_label_shadow="none",
    block_title_padding="0px",
    block_border_width="1px",
    body_background_fill="*neutral_50",
    block_shadow="none",
    body_text_color_subdued="*neutral_500",
    body_text_color_subdued_dark="*neutral_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    layout_gap="0.9rem",
  )  # fmt: skip
