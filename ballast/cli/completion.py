"""`ballast completion`: the script that makes a shell complete ballast's commands and options."""

from __future__ import annotations

import click

from ballast.cli.commands import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print the script that completes ballast's commands and options in a shell.

    \b
    bash  eval "$(ballast completion bash)"       in ~/.bashrc
    zsh   eval "$(ballast completion zsh)"        in ~/.zshrc
    fish  ballast completion fish | source        in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if completer is None:
        raise LookupError(f"click completes no {shell}")
    click.echo(completer(ctx.find_root().command, {}, "ballast", "_BALLAST_COMPLETE").source())
