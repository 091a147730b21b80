"""The audit as commands run it: Ballast's own checks and those of the installed apps."""

from __future__ import annotations

from collections.abc import Iterable

from ballast.app import App
from dbcore.ledger.audit import Check, Finding, audit
from dbcore.settings import Settings


def own_checks(apps: Iterable[App]) -> list[Check]:
    """Those of the apps, as dbcore's audit runs them."""
    return [Check(check.name, check.counted, check.offenders) for app in apps for check in app.checks]


def audit_with_apps(settings: Settings, apps: Iterable[App], *, full: bool) -> list[Finding]:
    """Parameters and errors as of dbcore.ledger.audit.audit."""
    return audit(settings.require("database_url"), settings.ballast_schema, own_checks(apps), full=full)
