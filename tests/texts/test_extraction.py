"""What the code says is in the catalogues, wherever it is said: of an f-string's places Babel reads none."""

from __future__ import annotations

import ast

import pytest

from devstack import texts
from tests.texts.extraction import extracted

_SAYING = {"gettext": 0, "ngettext": 0, "pgettext": 1, "gettext_noop": 0, "sentence": 0, "nsentence": 0}
"""Which argument is the text."""


@pytest.mark.parametrize("package", ["ballast", "bot_frontend", "dbcore", "workers"])
def test_each_text_that_the_code_says_is_in_a_catalogue(package: str) -> None:
    known = {texts.text_id(each)[1] for found in extracted().values() for each in found if each.id}
    missing = []
    for path in sorted((texts.ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = _SAYING.get(node.func.id)
            said = node.args[place] if place is not None and len(node.args) > place else None
            if isinstance(said, ast.Constant) and str(said.value) not in known:
                missing.append(f"{path.relative_to(texts.ROOT)}:{node.lineno}: {said.value!r}")
    assert missing == []
