"""Which built-in commands there are, and what they are called, as apps rename them and switch them off."""

from __future__ import annotations

from dataclasses import replace

from ballast.app import App
from ballast.apps.registered import Command, Renamed
from ballast.builtin import BUILT_IN
from dbcore.settings import SettingsError


def built_in_commands(apps: tuple[App, ...]) -> dict[str, Command]:
    """By their own names, under those that apps give them. Raises SettingsError if what apps say cannot be."""
    declared = {_word(command): command for app in BUILT_IN for command in app.commands}
    renamed: dict[str, tuple[Renamed, App]] = {}
    switched_off: dict[str, App] = {}
    for app in apps:
        for word, to in app.renamed.items():
            _require_changeable(word, declared, app, "renamed")
            if word in renamed:
                raise SettingsError(
                    f"BALLAST_APPS: /{word} is renamed twice, by {renamed[word][1].name} and {app.name}"
                )
            renamed[word] = (to, app)
        for word in sorted(app.switched_off.commands):
            _require_changeable(word, declared, app, "switched off")
            switched_off[word] = app
    if both := sorted(renamed.keys() & switched_off.keys()):
        word = both[0]
        raise SettingsError(
            f"BALLAST_APPS: /{word} is renamed by {renamed[word][1].name} and switched off by {switched_off[word].name}"
        )
    found: dict[str, Command] = {}
    for word, command in declared.items():
        if word not in switched_off:
            found[word] = _named(command, renamed[word][0] if word in renamed else Renamed(word, None))
    _require_one_each(found, renamed)
    return found


def _word(command: Command) -> str:
    return command.name if command.declared is None else command.declared.word


def _named(command: Command, to: Renamed) -> Command:
    line = to.help if to.help is not None else command.help.replace("{name}", to.name)
    return replace(command, name=to.name, help=line)


def _require_changeable(word: str, declared: dict[str, Command], app: App, how: str) -> None:
    command = declared.get(word)
    if command is None:
        known = ", ".join(f"/{each}" for each, other in declared.items() if not _is_telegrams(other))
        raise SettingsError(
            f"BALLAST_APPS: {app.name}: /{word} cannot be {how} because it is not one of the built-in commands, which "
            f"are: {known}"
        )
    if _is_telegrams(command):
        raise SettingsError(
            f"BALLAST_APPS: {app.name}: /{word} cannot be {how} because Telegram's apps send it. Say replace=True to "
            "put a command of yours in its place"
        )


def _is_telegrams(command: Command) -> bool:
    return command.declared is not None and command.declared.is_telegrams


def _require_one_each(found: dict[str, Command], renamed: dict[str, tuple[Renamed, App]]) -> None:
    words: dict[str, str] = {}
    for word, command in found.items():
        other = words.setdefault(command.name, word)
        if other != word:
            of_whom = renamed[word if word in renamed else other][1].name
            raise SettingsError(
                f"BALLAST_APPS: {of_whom}: /{other} and /{word} would both be called /{command.name}"
            )
