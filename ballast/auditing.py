"""The audit as commands run it: Ballast's own checks and those of the installed apps."""

from __future__ import annotations

from collections.abc import Iterable

from ballast.app import App
from dbcore.ledger.audit import Check, Finding, audit
from dbcore.settings import Settings


def audit_with_apps(settings: Settings, apps: Iterable[App]) -> list[Finding]:
    """Parameters and errors as of dbcore.ledger.audit.audit."""
    own_checks = [Check(check.name, check.counted, check.offenders) for app in apps for check in app.checks]
    return audit(settings.require("database_url"), settings.ballast_schema, own_checks)
