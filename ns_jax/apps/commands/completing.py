# SPDX-License-Identifier: Apache-2.0
"""`ns-jax completion`: verbs, options and values at the press of TAB."""

import click
from click import shell_completion

from ns_jax.apps.commands import shared

# bash would complete the "t" of "ns2:t" alone.
_WHOLE_CONFIGS = 'COMP_WORDBREAKS="${COMP_WORDBREAKS//:}"\n'


@shared.verb()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> shared.Done:
  """Prints what makes SHELL complete ns-jax.

  To have it in every new shell, add one line to a file of yours:

  \b
    bash: ~/.bashrc   eval "$(ns-jax completion bash)"
    zsh:  ~/.zshrc    eval "$(ns-jax completion zsh)", after compinit
    fish: ~/.config/fish/config.fish   ns-jax completion fish | source

  Example: ns-jax completion bash >> ~/.bashrc
  """
  made_by = shell_completion.get_completion_class(shell)
  assert made_by is not None  # of a Choice that names click's own
  command = click.get_current_context().find_root().command
  script = made_by(command, {}, "ns-jax", "_NS_JAX_COMPLETE").source()
  if shell == "bash":
    script += _WHOLE_CONFIGS
  return shared.Done(script, {"shell": shell, "script": script})
