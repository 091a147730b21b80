"""What the command line says and no code says by `gettext`: the help of commands and options, the names of the audit's
checks, and click's own words.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import click
from babel.messages.extract import extract_from_dir

import dbcore.__main__
import devstack.__main__
import workers.__main__
from ballast.cli.language import paragraphs
from ballast.cli.main import cli
from dbcore.ledger.audit import CHECK_NAMES

ROOTS = (cli, dbcore.__main__.commands, workers.__main__.commands, devstack.__main__.commands)
"""`ballast`, and the older names of its commands."""

NOT_FOR_READERS = frozenset(
    {
        "%(prog)s, version %(version)s",
        "(dynamic)",
        "Arguments take exactly one parameter declaration, got {length}: {decls}.",
        "Boolean option {decl!r} cannot use the same flag for true/false.",
        "Choice({choices})",
        "Confirm the action without prompting.",
        "Could not determine name for option with declarations {decls!r}",
        "Couldn't detect Bash version, shell completion is not supported.",
        "DeprecationWarning: The {param_type} {name!r} is deprecated.{extra_message}",
        "Do you want to continue?",
        "Error: The two entered values do not match.",
        "Invalid start character for option ({option})",
        "Name '{name}' defined twice",
        "No options defined but a name was passed ({name}). Did you mean to declare an argument instead? Did you "
        "mean to pass '--{name}'?",
        "Press any key to continue...",
        "Repeat for confirmation",
        "Shell completion is not supported for Bash versions older than 4.4.",
        "Unknown color {colour!r}",
        "Unknown standard stream '{name}'",
        "Value must be an iterable.",
        "Windows error: {error}",
        "env var: {var}",
        "d",
        "{editor}: Editing failed",
        "{editor}: Editing failed: {e}",
        "{len_type} values are required, but {len_value} was given.",
        "{value!r} is not a valid UUID.",
    }
)
"""What click says of mistakes in a command's declaration, and of what no command of Ballast has. And `d`, the days of a
progress bar, which it says in a module that it imports late.
"""


def command_texts() -> Iterator[str | tuple[str, ...]]:
    """Each a text, or its two forms."""
    for root in ROOTS:
        yield from _help_of(root)
    yield from CHECK_NAMES
    yield "required"  # an option, as click says it of a variable
    for text in clicks_own():
        if (text if isinstance(text, str) else text[0]) not in NOT_FOR_READERS:
            yield text


def clicks_own() -> Iterator[str | tuple[str, ...]]:
    """All that click says by gettext, in the order of its code."""
    with redirect_stderr(io.StringIO()):  # it warns of what is no text
        folder = Path(click.__file__).parent
        for _, _, text, _, _ in extract_from_dir(folder, keywords={"_": None, "ngettext": (1, 2)}):
            yield text


def _help_of(command: click.Command) -> Iterator[str]:
    yield from paragraphs(command.help or "")
    if isinstance(command.deprecated, str):
        yield command.deprecated
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            yield from paragraphs(parameter.help)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _help_of(each)
