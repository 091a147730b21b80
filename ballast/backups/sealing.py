"""Encryption by age (age-encryption.org), for a key whose private half this machine does not have.

A server that could open its own backups would hand them, years of them, to whoever breaks into it. So it knows only
the public half. To prove a sealed file all the same, each is sealed for a second key too, which is drawn for this one
run and is nowhere but in its memory: what is proven is read from the very file that is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbcore.backups.errors import BackupDamaged, BackupFailed
from dbcore.sentences import sentence

SUFFIX = ".age"


def seal(plain: Path, sealed: Path, recipients: Sequence[str]) -> Any:
    """Encrypt a file. Returns the key of this run, for `unseal`. Raises BackupFailed for a recipient that is none."""
    pyrage = _library()
    key = pyrage.x25519.Identity.generate()
    try:
        known = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    except pyrage.RecipientError as error:
        raise BackupFailed(
            sentence("BACKUP_RECIPIENT: expected public keys such as age1…: {error}", error=error)
        ) from None
    with plain.open("rb") as source, sealed.open("wb") as target:
        pyrage.encrypt_io(source, target, [*known, key.to_public()])
    return key


def read_identities(path: Path) -> list[Any]:
    """The private keys in a file as age-keygen writes it. Raises BackupFailed."""
    pyrage = _library()
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
        reason = error.strerror if isinstance(error, OSError) else sentence("it holds no key of age")
        raise BackupFailed(f"--identity: {path}:", reason or "") from None
    if not found:
        raise BackupFailed(
            sentence("--identity: {path}: expected a line AGE-SECRET-KEY-1…, found none", path=path)
        )
    return found


def unseal(sealed: Path, plain: Path, keys: Sequence[Any]) -> None:
    """Decrypt a file. Raises BackupDamaged if none of the keys opens it, or it was cut or changed."""
    pyrage = _library()
    try:
        with sealed.open("rb") as source, plain.open("wb") as target:
            pyrage.decrypt_io(source, target, list(keys))
    except (pyrage.DecryptError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        plain.unlink(missing_ok=True)
        words = str(error)
        if "No matching keys" in words:
            raise BackupDamaged(sentence("it is sealed for another key than --identity has")) from error
        raise BackupDamaged(sentence("it is cut off or was changed ({words})", words=words)) from error


def _library() -> Any:
    try:
        import pyrage
    except ImportError:
        raise BackupFailed(
            sentence("sealed backups need more packages: pip install 'ballast[backup]'")
        ) from None
    return pyrage
