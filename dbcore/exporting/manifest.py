"""What an export holds, in a file of its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.json"
VERSION = 1


class ManifestFile(BaseModel):
    """sums -- of the column that says `summed`, by currency; exact amounts as text."""

    model_config = ConfigDict(frozen=True)

    rows: int
    bytes: int
    sha256: str
    summed: str | None = None
    sums: dict[str, str] = {}


class Manifest(BaseModel):
    """Times are ISO 8601 in UTC. currency, exponent -- of the users' balances, and its decimals."""

    model_config = ConfigDict(frozen=True)

    format: str = "ballast-export"
    version: int = VERSION
    ballast: str
    schema_revision: str
    exported_at: str
    bot_id: int | None
    currency: str
    exponent: int
    files: dict[str, ManifestFile]


def read_manifest(folder: Path) -> Manifest:
    """Raises ValueError with a sentence for what is none, or one of a newer format; OSError."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        raise ValueError(f"{MANIFEST} is damaged ({error.error_count()} errors)") from None
    if manifest.format != "ballast-export" or manifest.version != VERSION:
        raise ValueError(
            f"{MANIFEST}: expected ballast-export {VERSION}, found {manifest.format} {manifest.version}"
        )
    return manifest
