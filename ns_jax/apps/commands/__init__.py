# SPDX-License-Identifier: Apache-2.0
"""The verbs of `ns-jax`; what is heavy is imported when one is used."""
