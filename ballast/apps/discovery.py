"""The apps of this installation: those that BALLAST_APPS names, and those of installed packages with an entry point in
the group `ballast.apps`. Every process of Ballast has the same ones.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import BaseModel

from ballast.app import App
from ballast.apps.registered import Command, HandledCommand, Handler, Periodic, UpdateHandler
from ballast.apps.settings import load_app_settings
from ballast.builtin import BUILT_IN, replacing
from ballast.builtin.declared import BuiltInButton, Scheduled
from ballast.builtin.renaming import built_in_commands
from ballast.jobs import Job, JobInvalid
from ballast.texts.catalogues import use_apps
from ballast.texts.folder import use_texts_folder
from dbcore.settings import AppOptions, SettingsError, load_options

ENTRY_POINTS = "ballast.apps"

RESERVED = frozenset(
    {
        "workers",
        "ballast",
        *(handler.kind.partition(".")[0] for app in BUILT_IN for handler in app.handlers),
    }
)
"""What no app may be called: Ballast's own kinds begin so."""


@dataclass(frozen=True)
class Registry:
    """All that Ballast and the apps register, by the names that it is looked for.

    apps -- the authors'.
    commands -- all that there are: the built-in ones, under the names that apps give them, but those that an app's
        command replaces; then apps'.
    own_commands -- the built-in commands that no app switched off, by their own names, also those that are replaced.
    handlers -- of all jobs, by their kinds.
    jobs -- those that a function does, apps' and Ballast's own, by their kinds and their aliases: what stands behind
        buttons, is asked for, and comes by webhooks.
    periodic -- by their kinds. settings -- by the apps' names.
    updates -- the functions that take updates, by their kinds and their aliases.
    left_to_handlers -- commands of handlers of python-telegram-bot that are no app's own, among them built-in ones.
    taken_away -- kinds of Ballast's own jobs that apps replace or switch off: no task of its does them.
    buttons, scheduled -- Ballast's own buttons and periodic jobs, but those that apps replace or switch off.
    labels -- what buttons say, by their names and what they say otherwise.
    translations -- the folders of apps' catalogues, by the apps' names.
    """

    apps: tuple[App, ...]
    commands: dict[str, Command]
    own_commands: dict[str, Command]
    handlers: dict[str, Handler]
    jobs: dict[str, type[Job]]
    periodic: dict[str, Periodic]
    updates: dict[str, UpdateHandler]
    handled_commands: dict[str, HandledCommand]
    left_to_handlers: frozenset[str]
    settings: dict[str, BaseModel]
    taken_away: frozenset[str]
    buttons: tuple[BuiltInButton, ...]
    scheduled: tuple[Scheduled, ...]
    labels: dict[tuple[str, str], str]
    translations: dict[str, Path]

    @cached_property
    def commands_of(self) -> dict[str, Command]:
        """Those that a handler does, by the kinds of their jobs."""
        return {
            command.handler.kind: command for command in self.commands.values() if command.declared is None
        }

    @property
    def segments(self) -> dict[str, Callable[[], str]]:
        """Of broadcasts, by `<app>.<name>`."""
        return {f"{app.name}.{name}": query for app in self.apps for name, query in app.segments.items()}

    @property
    def everybody(self) -> tuple[App, ...]:
        """Ballast's own apps and the authors'."""
        return (*BUILT_IN, *self.apps)

    def require_job(self, kind: str) -> None:
        """Raises JobInvalid if it is no job of an app."""
        if kind not in self.jobs:
            raise JobInvalid(f"{kind}: no app of BALLAST_APPS has a handler for it")

    def has_button(self, name: str) -> bool:
        """Whether messages may have it below them."""
        return any(button.name == name for button in self.buttons)

    def label(self, button: str, label: str) -> str:
        """What a built-in button says instead of `label`, if an app renames it."""
        return self.labels.get((button, label), label)

    def name_of(self, word: str) -> str | None:
        """What a built-in command is called; None if it is switched off."""
        return self.own_commands[word].name if word in self.own_commands else None


@cache
def installed() -> Registry:
    """Imports them. Raises SettingsError, in one line, if one cannot be imported or two contradict each other."""
    options = load_options(AppOptions)
    use_texts_folder(options)
    names = options.ballast_apps
    found: dict[str, App] = {}
    if names or entry_points(group=ENTRY_POINTS):
        _share_options()
    if names and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` and Celery do
    for name in names:
        _add(found, _imported(name, "BALLAST_APPS"), f"BALLAST_APPS: {name}")
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        where = f"the entry point {entry.name} of {ENTRY_POINTS}"
        _add(found, _imported(entry.value, where), where)
    apps = registry(tuple(found.values()))
    use_apps(apps.translations.values())
    return apps


def registry(apps: tuple[App, ...]) -> Registry:
    """Raises SettingsError if two of them want the same name, or an option of theirs is bad."""
    everybody: tuple[App, ...] = (*BUILT_IN, *apps)
    own_commands = built_in_commands(apps)
    commands = {command.name: command for command in own_commands.values()}
    own = {
        command.name: "a command of Ballast's own"
        if command.name == word
        else f"Ballast's own /{word}, renamed"
        for word, command in own_commands.items()
    }
    handlers: dict[str, Handler] = {}
    whose: dict[str, str] = {}
    handled_commands: dict[str, HandledCommand] = {}
    for app in apps:
        for command in app.commands:
            if command.name in whose:
                raise SettingsError(
                    f"BALLAST_APPS: /{command.name} is registered twice, by {whose[command.name]} and {app.name}"
                )
            if command.name in commands and not command.replaces:
                raise SettingsError(
                    f"BALLAST_APPS: {app.name}: /{command.name} is {own[command.name]}. Choose another name, or say "
                    "replace=True to put yours in its place"
                )
            commands.pop(command.name, None)  # an app's commands stand behind the built-in ones
            commands[command.name], whose[command.name] = command, app.name
        for name, handled in app.handled_commands.items():
            if name in own and not handled.replaces:
                raise SettingsError(
                    f"BALLAST_APPS: {app.name}: /{name} is {own[name]}. Say "
                    "add_handler(…, replace=True) to put your handler in its place"
                )
            handled_commands[name] = handled
    left_to_handlers = frozenset(handled_commands.keys() - whose.keys())
    ours = replacing.resolve(apps, [each for name, each in commands.items() if name not in left_to_handlers])
    for app in everybody:
        for registered in app.handlers:
            handler = ours.replaced.get(registered.kind, registered)
            if handler.kind in ours.switched_off:
                continue
            if handler.kind in handlers:
                raise SettingsError(
                    f"BALLAST_APPS: {app.name}: two handlers have the name {handler.kind}: give one another name"
                )
            handlers[handler.kind] = handler
    return Registry(
        apps=apps,
        commands=commands,
        own_commands=own_commands,
        handlers=handlers,
        jobs={
            kind: job_type
            for app in everybody
            for job_type, handler in app.jobs.items()
            for kind in (handler.kind, *handler.aliases)
            if handler.declared is None
        },
        periodic={periodic.handler.kind: periodic for app in everybody for periodic in app.periodic},
        updates={
            kind: taker
            for app in apps
            for taker in app.updates
            for kind in (taker.handler.kind, *taker.handler.aliases)
        },
        handled_commands=handled_commands,
        left_to_handlers=left_to_handlers,
        settings=load_app_settings(apps),
        taken_away=ours.switched_off | ours.replaced.keys(),
        buttons=ours.buttons,
        scheduled=ours.scheduled,
        labels=ours.labels,
        translations={app.name: app.translations for app in apps if app.translations is not None},
    )


class _Shared(AppOptions):
    """What bots read from the environment themselves, many of them when they are imported."""

    database_url: str | None = None
    redis_url: str | None = None
    telegram_bot_token: str | None = None


def _share_options() -> None:
    """Put into the environment what Ballast reads from files."""
    shared = load_options(_Shared).model_dump(include=set(_Shared.__annotations__), exclude_none=True)
    for name, value in shared.items():
        if not os.environ.get(name.upper(), "").strip():
            os.environ[name.upper()] = value


def _add(found: dict[str, App], app: App, where: str) -> None:
    if app.name in RESERVED:
        raise SettingsError(f"{where}: an app cannot be called {app.name!r}, as Ballast's own jobs are")
    if found.setdefault(app.name, app) is not app:
        raise SettingsError(f"{where}: two apps are called {app.name!r}")


def _imported(name: str, where: str) -> App:
    """where -- it is named."""
    module_name, _, attribute = name.partition(":")
    attribute = attribute or "app"
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever an author's module does, the program ends in one line
        raise SettingsError(f"{where}: {module_name} cannot be imported: {_told(error)}") from error
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        came = "is not there" if app is None else f"is of the type {type(app).__name__}"
        raise SettingsError(
            f"{where}: expected module:name of a ballast.App, such as shop.bot:app; {name}: "
            f"`{attribute}` in {module_name} {came}"
        )
    return app


def _told(error: Exception) -> str:
    """In one line, with the place in the author's code."""
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {said}"
    here = Path(__file__).parents[1]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and "importlib" not in frame.filename
        and here not in Path(frame.filename).parents
    ]
    theirs = [frame for frame in frames if not _is_librarys(Path(frame.filename))] or frames
    where = f" ({_shown(Path(theirs[-1].filename))}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {said}{where}{_hint(error)}"


def _is_librarys(file: Path) -> bool:
    """Whether it belongs to Python, or to an installed package."""
    folders = (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(folder in file.parents for folder in folders)


def _shown(file: Path) -> Path:
    return file.relative_to(Path.cwd()) if Path.cwd() in file.parents else Path(file.name)


def _hint(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return ". SQLAlchemy 2.1 takes postgresql:// for psycopg 3: say postgresql+psycopg2://"
    return ""
