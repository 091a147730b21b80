"""Which of Ballast's own jobs, buttons and periodic jobs there are, and what does the jobs, as apps replace them and
switch them off. renaming.py does the same for commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ballast.app import App
from ballast.apps.registered import Command, Handler
from ballast.builtin import BUILT_IN
from ballast.builtin.declared import BuiltInButton, Scheduled
from ballast.jobs import Job
from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.settings import SettingsError

JOBS: dict[type[Job], Handler] = {
    job_type: handler
    for app in BUILT_IN
    for job_type, handler in app.jobs.items()
    if handler.declared is not None
}
BUTTONS: dict[str, BuiltInButton] = {button.name: button for app in BUILT_IN for button in app.buttons}
SCHEDULED: dict[str, Scheduled] = {each.name: each for app in BUILT_IN for each in app.scheduled}


@dataclass(frozen=True, slots=True)
class Replacements:
    """
    replaced -- what does a job, by its kind, if an app's function does. switched_off -- kinds of jobs.
    buttons, scheduled -- those that there are.
    labels -- what buttons say, by their names and what they say otherwise.
    """

    replaced: dict[str, Handler]
    switched_off: frozenset[str]
    buttons: tuple[BuiltInButton, ...]
    scheduled: tuple[Scheduled, ...]
    labels: dict[tuple[str, str], str]


def resolve(apps: tuple[App, ...], commands: Iterable[Command]) -> Replacements:
    """commands -- that there are. Raises SettingsError if what apps say cannot be."""
    replaced, periods_replaced = _replaced(apps), _periods_replaced(apps)
    jobs_off = {job_type: app for app in apps for job_type in app.switched_off.jobs}
    buttons_off = {name: app for app in apps for name in app.switched_off.buttons}
    periodic_off = {name: app for app in apps for name in app.switched_off.periodic}
    for job_type, app in jobs_off.items():
        _require_job(job_type, app, "switched off")
        if job_type in replaced:
            other = replaced[job_type].app
            raise _cannot(app, job_type.__name__, "switched off", f"{other} replaces it")
    for name, app in buttons_off.items():
        _require_known(name, BUTTONS, app, "the button", "switched off")
    for name, app in periods_replaced.items():
        _require_known(name, SCHEDULED, app, "the periodic job", "replaced")
    for name, app in periodic_off.items():
        _require_known(name, SCHEDULED, app, "the periodic job", "switched off")
        if name in periods_replaced:
            other = periods_replaced[name].name
            raise _cannot(app, f"the periodic job {name}", "switched off", f"{other} replaces it")
    gone = replaced.keys() | jobs_off.keys()
    buttons = tuple(button for name, button in BUTTONS.items() if name not in buttons_off)
    for job_type, app in jobs_off.items():
        _require_unneeded(job_type, app, commands, buttons)
    for name, app in buttons_off.items():
        _require_gone(BUTTONS[name].below, gone, app, f"the button {name}")
    for name, app in periodic_off.items():
        _require_gone(SCHEDULED[name].needed_by, gone, app, f"the periodic job {name}")
    periods_off = periodic_off.keys() | periods_replaced.keys()
    return Replacements(
        {job_type.kind: handler for job_type, handler in replaced.items()},
        frozenset(job_type.kind for job_type in jobs_off),
        buttons,
        tuple(each for name, each in SCHEDULED.items() if name not in periods_off),
        _labels(apps),
    )


def _replaced(apps: tuple[App, ...]) -> dict[type[Job], Handler]:
    found: dict[type[Job], Handler] = {}
    for app in apps:
        for job_type, handler in app.replacements.items():
            _require_job(job_type, app, "replaced")
            if job_type in found:
                raise SettingsError(
                    f"BALLAST_APPS: {job_type.__name__} is replaced twice, by {found[job_type].app} and {app.name}"
                )
            own = JOBS[job_type].declared
            if own is not None and own.queue in DATABASE_QUEUES and handler.database == "none":
                raise SettingsError(
                    f'BALLAST_APPS: {app.name}: {job_type.__name__}: database="none" is not possible because it is in '
                    f"the queue {own.queue}, which stops while the database is unavailable. Say "
                    'database="read" or "write"'
                )
            found[job_type] = replace(handler, declared=own)
    return found


def _periods_replaced(apps: tuple[App, ...]) -> dict[str, App]:
    """By the names of those that they replace."""
    found: dict[str, App] = {}
    for app in apps:
        for periodic in app.periodic:
            if periodic.replaces is None:
                continue
            if periodic.replaces in found:
                raise SettingsError(
                    f"BALLAST_APPS: the periodic job {periodic.replaces} is replaced twice, by "
                    f"{found[periodic.replaces].name} and {app.name}"
                )
            found[periodic.replaces] = app
    return found


def _labels(apps: tuple[App, ...]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    whose: dict[tuple[str, str], App] = {}
    for app in apps:
        for (name, label), to in app.renamed_buttons.items():
            _require_known(name, BUTTONS, app, "the button", "renamed")
            if label not in BUTTONS[name].labels:
                known = ", ".join(BUTTONS[name].labels)
                why = f"the button says: {known}" if known else "nothing that the button says can be renamed"
                raise _cannot(app, f"{label!r} of the button {name}", "renamed", why)
            if (name, label) in found:
                raise SettingsError(
                    f"BALLAST_APPS: {label!r} of the button {name} is renamed twice, by {whose[name, label].name} and "
                    f"{app.name}"
                )
            found[name, label], whose[name, label] = to, app
    return found


def _require_job(job_type: type[Job], app: App, how: str) -> None:
    name = getattr(job_type, "__name__", repr(job_type))
    handler = JOBS.get(job_type)
    if handler is None or handler.declared is None:
        known = ", ".join(sorted(each.__name__ for each in JOBS))
        raise _cannot(app, name, how, f"it is not one of Ballast's own jobs, which are: {known}")
    why = handler.declared.internal or (handler.declared.needed if how == "switched off" else None)
    if why is not None:
        raise _cannot(app, name, how, why)


def _require_known(
    name: str, declared: Mapping[str, BuiltInButton | Scheduled], app: App, what: str, how: str
) -> None:
    known = declared.get(name)
    if known is None:
        raise _cannot(
            app, f"{what} {name}", how, f"Ballast has none of that name. It has: {', '.join(declared)}"
        )
    if known.internal is not None:
        raise _cannot(app, f"{what} {name}", how, known.internal)


def _require_unneeded(
    job_type: type[Job], app: App, commands: Iterable[Command], buttons: Iterable[BuiltInButton]
) -> None:
    needing = [
        *(f"/{each.name}" for each in commands if each.declared and each.handler.kind == job_type.kind),
        *(f"the button {each.name}" for each in buttons if job_type in each.leads_to),
    ]
    if needing:
        raise _cannot(
            app, job_type.__name__, "switched off", f"{needing[0]} asks for it. Switch that off as well"
        )


def _require_gone(needing: Iterable[type[Job]], gone: set[type[Job]], app: App, what: str) -> None:
    for job_type in needing:
        if job_type not in gone:
            why = f"{job_type.__name__} needs it. Replace that job or switch it off as well"
            raise _cannot(app, what, "switched off", why)


def _cannot(app: App, what: str, how: str, why: str) -> SettingsError:
    return SettingsError(f"BALLAST_APPS: {app.name}: {what} cannot be {how} because {why}")
