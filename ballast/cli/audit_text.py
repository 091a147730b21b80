"""What `ballast audit` prints."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.texts import gettext, pgettext
from ballast.texts.columns import left, width
from dbcore.ledger.audit import Finding


def report(findings: Sequence[Finding]) -> str:
    """A line for each check, with the first offenders under it, and the sum at last."""
    ok, failed, skipped = (
        pgettext("check", "ok"),
        pgettext("check", "FAIL"),
        pgettext("check", "skip"),
    )
    columns = max(map(width, (ok, failed, skipped))) + 2
    lines = []
    for finding in findings:
        if finding.skipped:
            why = f"{gettext(finding.name)} ({finding.skipped})"
            lines.append(f"{left(skipped, columns)}{why}")
            continue
        lines.append(f"{left(ok if finding.ok else failed, columns)}{_checked(finding)}")
        lines += [f"      {finding.note}"] if finding.note else []
        lines += [f"      {offender}" for offender in finding.offenders]
        if finding.wrong > len(finding.offenders):
            more = gettext("and {count} more", count=finding.wrong - len(finding.offenders))
            lines.append(f"      {more}")
    judged = [finding for finding in findings if not finding.skipped]
    passed = sum(finding.ok for finding in judged)
    lines.append(gettext("{passed} of {checks} checks passed", passed=passed, checks=len(judged)))
    return "\n".join(lines)


def _checked(finding: Finding) -> str:
    name = gettext(finding.name)
    if finding.ok:
        return gettext("{check} ({count} checked)", check=name, count=finding.counted)
    return gettext(
        "{check} ({count} checked, {wrong} wrong)", check=name, count=finding.counted, wrong=finding.wrong
    )
