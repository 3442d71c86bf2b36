# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech and NaturalSpeech 2 in JAX/Flax."""

__version__ = "0.1.0"
