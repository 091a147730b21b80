"""`python -m devstack.advisories`: whether any pinned package has a known vulnerability, by pip-audit.

Fails where one has. Where the service that knows of them is not reached, or does not know a package, that is said and
is no failure, for a checkout behind a mirror must be buildable; unless ADVISORIES_MIN, or --audited-min, demands a
number of packages that were audited, as CI with the open network should.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = (ROOT / "requirements-dev.txt",)  # which has all of requirements.txt
SECONDS_MAX = 180
SOCKET_SECONDS = 5
NAMED_MAX = 5


def audit(
    requirements: Sequence[Path], options: Sequence[str] = (), *, audited_min: int = 0
) -> tuple[bool, str]:
    """Whether all is well as far as is known, and what to say.

    options -- of pip-audit.
    audited_min -- it is not well with fewer packages audited.
    """
    files = [part for file in requirements for part in ("-r", str(file))]
    command = [sys.executable, "-m", "pip_audit", *files, "--no-deps", "--disable-pip"]
    quiet = ["--format", "json", "--progress-spinner", "off", "--timeout", str(SOCKET_SECONDS)]
    try:
        done = subprocess.run(
            [*command, *quiet, *options], capture_output=True, text=True, check=False, timeout=SECONDS_MAX
        )
    except subprocess.TimeoutExpired:
        return audited_min == 0, f"not audited: no answer within {SECONDS_MAX} s"
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        words = done.stderr.strip().splitlines()
        return (
            audited_min == 0,
            f"not audited: {words[-1][:200] if words else f'pip-audit ended with {done.returncode}'}",
        )
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability['fix_versions']) or 'no release yet'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    said = f"{len(packages) - len(unknown)} of {len(packages)} packages audited"
    if unknown:
        more = ", …" if len(unknown) > NAMED_MAX else ""
        said += f"; the service does not know {', '.join(unknown[:NAMED_MAX])}{more}"
    audited = len(packages) - len(unknown)
    if audited < audited_min:
        said += f"; expected at least {audited_min}"
    return not found and audited >= audited_min, "\n".join([said, *found])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.advisories", description=__doc__)
    parser.add_argument("--audited-min", type=int, default=int(os.environ.get("ADVISORIES_MIN") or 0))
    ours, of_pip_audit = parser.parse_known_args()
    well, said = audit(REQUIREMENTS, of_pip_audit, audited_min=ours.audited_min)
    print(f"advisories: {said}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
