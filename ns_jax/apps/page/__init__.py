# SPDX-License-Identifier: Apache-2.0
"""The web page of `ns-jax demo`. Nothing else imports Gradio."""
