"""Whether an export is what its manifest says: every file read, counted and added up anew."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from dbcore.exporting.copying import ExportRefused, told
from dbcore.exporting.folder import PARTIAL
from dbcore.exporting.manifest import MANIFEST, Manifest, ManifestFile, read_manifest

_CSV_FIELD_MAX = 1 << 30  # PostgreSQL's own bound of a value


def verify(folder: Path) -> tuple[Manifest, list[str]]:
    """The manifest, and what is wrong, a sentence each. Raises ExportRefused for what is no export."""
    if not (folder / MANIFEST).is_file():
        whole = ": it was broken off" if folder.name.endswith(PARTIAL) else ""
        raise ExportRefused(f"{folder}: expected a folder with a {MANIFEST}, found none{whole}")
    try:
        with told(folder):
            manifest = read_manifest(folder)
    except ValueError as error:
        raise ExportRefused(f"{folder}: {error}") from None
    wrong = [
        found for name, file in manifest.files.items() for found in _judged(folder, name, file, manifest)
    ]
    known = {MANIFEST, *manifest.files}
    with told(folder):
        strange = sorted(path.name for path in folder.iterdir() if path.name not in known)
    return manifest, [*wrong, *(f"{name}: is not in the manifest" for name in strange)]


def sha256_of(path: Path) -> str:
    with told(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _judged(folder: Path, name: str, file: ManifestFile, manifest: Manifest) -> Iterator[str]:
    path = folder / name
    if not path.is_file() or path.parent != folder:
        yield f"{name}: is missing"
        return
    if (size := path.stat().st_size) != file.bytes:
        yield f"{name}: {size:,} bytes, the manifest says {file.bytes:,}"
        return
    if sha256_of(path) != file.sha256:
        yield f"{name}: is not the file that was exported; its checksum differs"
        return
    try:
        with _values_of_any_length():
            rows, sums = _added_up(path, file, manifest)
    except (ValueError, InvalidOperation, csv.Error, AttributeError):
        yield f"{name}: cannot be read"
        return
    if rows != file.rows:
        yield f"{name}: {rows:,} rows, the manifest says {file.rows:,}"
    if sums != {currency: Decimal(total) for currency, total in file.sums.items()}:
        yield f"{name}: the sums differ from the manifest's"


@contextmanager
def _values_of_any_length() -> Iterator[None]:
    """Inside it the csv module, whose bound is one for the process, reads whatever PostgreSQL can hold."""
    before = csv.field_size_limit(_CSV_FIELD_MAX)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _added_up(path: Path, file: ManifestFile, manifest: Manifest) -> tuple[int, dict[str, Decimal]]:
    rows, sums = 0, defaultdict[str, Decimal](Decimal)
    for row in _rows(path):
        rows += 1
        if file.summed is not None and (value := row[file.summed]):
            sums[str(row.get("currency", manifest.currency))] += Decimal(value)
    return rows, dict(sums)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(newline="", encoding="utf-8") as lines:
        if path.suffix == ".csv":
            reader = csv.reader(lines)
            columns = next(reader, [])
            for fields in reader:  # a row of one empty column is a blank line
                yield dict(zip(columns, fields or [""], strict=True))
        else:
            yield from map(json.loads, lines)
