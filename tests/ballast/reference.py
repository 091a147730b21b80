"""docs/reference/cli.md, made of the commands themselves: `python -m tests.ballast.reference` writes it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ballast.cli.main import cli
from devstack.stack import ROOT

PAGE = ROOT / "docs/reference/cli.md"
ABOUT = """\
# The command `ballast`

`pip install` brings it; in a checkout, `python -m ballast` is the same. Options are read from environment variables and
from `.env` in the current folder: [settings](../settings.md).

**Exit status.** 0 done; 1 refused, or the audit found something wrong; 2 wrong usage, a bad setting, or a server that
does not answer. Then one line on stderr says why.

**Language.** What a command says, its help too, is in the language of `LC_ALL`, `LC_MESSAGES` or `LANG`, whichever is
set first, if it is one of [those that Ballast speaks](../translating.md#the-command-line). JSON, CSV, states and exit
statuses are the same in each.

**JSON.** Commands with `--json` print one document to stdout; times are ISO 8601 in UTC. Logs and complaints go to
stderr.

**Completion.** Commands and options are completed by the shell with this line in its start-up file:

    eval "$(ballast completion bash)"           # ~/.bashrc
    eval "$(ballast completion zsh)"            # ~/.zshrc
    ballast completion fish | source            # ~/.config/fish/config.fish

**Older names** go on working: `ballast worker`, `beat` and `flower` run Celery's commands, the others are one code with
those below.

| older | now |
|---|---|
| `python -m dbcore migrate`, `audit`, `status`, `breaker` | `ballast migrate`, `audit`, `status`, `breaker` |
| `python -m workers job REFERENCE` | `ballast jobs show REFERENCE` |
| `python -m workers dead-letters list`, `show` | `ballast jobs list`, `show` |
| `ballast jobs failed`, `failure`, for one release more | `ballast jobs list`, `show` |
| `python -m workers dead-letters retry`, `discard` | `ballast jobs retry`, `discard` |
| `python -m workers broadcast …` | `ballast broadcast …` |
| `python -m devstack run` | `ballast run` |
| `python -m devstack freeze`, `kill-workers`, `programs`, `repair-redis` | `ballast local …` |
| `python -m devstack.telegram` | `ballast telegram` |
| `python -m bot_frontend` | `ballast frontend` |
| `celery -A workers worker`, `beat`, `flower` | `ballast worker`, `beat`, `flower` |
| `celery -A workers …` | `ballast celery …` |
"""
WIDTH = 100


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Each command with its whole name, groups before what is in them."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, (*path, name))


def rendered() -> str:
    parts = [ABOUT]
    for name, command in commands(cli, ("ballast",)):
        context = click.Context(command, info_name=name, terminal_width=WIDTH)
        shown = command.get_help(context).splitlines()
        block = "\n".join(f"    {line}".rstrip() for line in shown)
        parts.append(f"## {name}\n\n{block}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(rendered())
