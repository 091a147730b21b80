"""The language of the command line, which is that of LC_ALL, LC_MESSAGES or LANG, and help in it."""

from __future__ import annotations

import gettext as standard
import inspect
import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy

import click

from ballast.texts import ENGLISH, gettext, negotiated, speaking, spoken
from ballast.texts.speech import template

_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set says it."""

_NOT_WRAPPED = "\b\n"
"""What click wants before a paragraph whose lines stay as they are."""


def of_environment(environment: Mapping[str, str] = os.environ) -> str:
    """The nearest that there is: English for `C`, `POSIX`, nothing, and a language that nobody translated."""
    named = next(filter(None, (environment.get(name) for name in _VARIABLES)), "")
    return negotiated(named.partition(".")[0].partition("@")[0])


@contextmanager
def spoken_here() -> Iterator[None]:
    """What is said inside, also by click, is in the language of the environment."""
    _let_each_letter_be_written()
    _let_click_ask_the_catalogues()
    with speaking(of_environment()):
        yield


def paragraphs(help_text: str) -> list[str]:
    """The texts in the catalogue that the help of a command or an option is made of."""
    return [text for _, text in _paragraphs(help_text)]


def said_help(help_text: str) -> str:
    """Help in the language that is spoken."""
    if spoken() == ENGLISH:
        return help_text
    return "\n\n".join(f"{mark}{gettext(text)}" for mark, text in _paragraphs(help_text))


def _paragraphs(help_text: str) -> Iterator[tuple[str, str]]:
    """Each behind the mark of one whose lines stay as they are, or nothing. The lines of others are wrapped anew."""
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        if paragraph.startswith(_NOT_WRAPPED):
            yield _NOT_WRAPPED, paragraph.removeprefix(_NOT_WRAPPED)
        else:
            yield "", " ".join(paragraph.split())


def said_parameter(parameter: click.Parameter) -> click.Parameter:
    """One whose help is in the language that is spoken."""
    if not isinstance(parameter, click.Option) or not parameter.help:
        return parameter
    said = copy(parameter)
    said.help = said_help(parameter.help)
    return said


def _let_each_letter_be_written() -> None:
    """Letters that the terminal's encoding lacks are written as escapes, as Python does on stderr: an error that says
    so would hide what a command has done by then.
    """
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper) and stdout.errors == "strict":
        stdout.reconfigure(errors="backslashreplace")


def _let_click_ask_the_catalogues() -> None:
    """click says everything by the standard library's gettext, which reads compiled files alone. Where its modules
    have that, they get ours.
    """
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "click":
            for bound, value in [*vars(module).items()]:
                if value is standard.gettext:
                    setattr(module, bound, template)
                elif value is standard.ngettext:
                    setattr(module, bound, _template_for)


def _template_for(one: str, many: str, count: int) -> str:
    return template(one, many, count)
