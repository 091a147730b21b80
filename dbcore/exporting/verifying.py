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
from dbcore.sentences import Sentence, sentence

_CSV_FIELD_MAX = 1 << 30  # PostgreSQL's own bound of a value


def verify(folder: Path) -> tuple[Manifest, list[Sentence]]:
    """The manifest, and what is wrong, a sentence each. Raises ExportRefused for what is no export."""
    if not (folder / MANIFEST).is_file():
        if folder.name.endswith(PARTIAL):
            none = sentence(
                "{folder}: expected a folder with a {file}, found none: it was broken off",
                folder=folder,
                file=MANIFEST,
            )
        else:
            none = sentence(
                "{folder}: expected a folder with a {file}, found none", folder=folder, file=MANIFEST
            )
        raise ExportRefused(none)
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
    return manifest, [*wrong, *(sentence("{file}: is not in the manifest", file=name) for name in strange)]


def sha256_of(path: Path) -> str:
    with told(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _judged(folder: Path, name: str, file: ManifestFile, manifest: Manifest) -> Iterator[Sentence]:
    path = folder / name
    if not path.is_file() or path.parent != folder:
        yield sentence("{file}: is missing", file=name)
        return
    if (size := path.stat().st_size) != file.bytes:
        yield sentence(
            "{file}: {found} bytes, the manifest says {expected}", file=name, found=size, expected=file.bytes
        )
        return
    if sha256_of(path) != file.sha256:
        yield sentence("{file}: is not the file that was exported; its checksum differs", file=name)
        return
    try:
        with _values_of_any_length():
            rows, sums = _added_up(path, file, manifest)
    except (ValueError, InvalidOperation, csv.Error, AttributeError):
        yield sentence("{file}: cannot be read", file=name)
        return
    if rows != file.rows:
        yield sentence(
            "{file}: {found} rows, the manifest says {expected}", file=name, found=rows, expected=file.rows
        )
    if sums != {currency: Decimal(total) for currency, total in file.sums.items()}:
        yield sentence("{file}: the sums differ from the manifest's", file=name)


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
