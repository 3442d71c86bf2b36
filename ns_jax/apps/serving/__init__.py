# SPDX-License-Identifier: Apache-2.0
"""`ns-jax serve`: speech over HTTP, as OpenAI's clients ask for it."""
