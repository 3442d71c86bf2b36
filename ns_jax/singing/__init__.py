# SPDX-License-Identifier: Apache-2.0
"""Scores with lyrics, and what a model is told to sing them."""
