"""What people read where a value of theirs is not one that can be: a sentence that says what was expected."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from dbcore.expectations import expectation, shaped
from dbcore.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (int, "many", "expected a whole number"),
        (int, 1.5, "expected a whole number"),
        (float, "fast", "expected a number"),
        (bool, "perhaps", "expected true or false"),
        (Annotated[int, Field(ge=1)], 0, "expected at least 1"),
        (Annotated[int, Field(gt=0)], 0, "expected more than 0"),
        (Annotated[int, Field(le=9)], 10, "expected at most 9"),
        (Annotated[int, Field(lt=9)], 9, "expected less than 9"),
        (Annotated[str, Field(min_length=1)], "", "expected at least 1 character"),
        (Annotated[str, Field(max_length=2)], "abc", "expected at most 2 characters"),
        (Annotated[str, Field(pattern="^a+$")], "b", "expected a text of the form ^a+$"),
        (Annotated[str, Field(pattern=shaped("^b+$", "a row of b"))], "a", "expected a row of b"),
        (Decimal, "5,50", "expected a number such as 5.50"),
        (Literal["polling", "webhook"], "pigeon", "expected 'polling' or 'webhook'"),
        (AwareDatetime, datetime(2026, 1, 1), "expected a time with its offset from UTC, such as"),  # noqa: DTZ001
        (list[int], 5, "expected a list"),
        (dict[str, int], 5, "expected an object"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_plain_english(kind: Any, given: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(given)
    (error,) = refused.value.errors()
    assert str(expectation(dict(error))).startswith(sentence)


@pytest.mark.parametrize("given", ["none", "-5", "", "7.5", "true", "💥", "9" * 5000])
def test_no_setting_speaks_as_pydantic_does(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), given)
    try:
        load_settings()
    except SettingsError as error:
        for line in str(error).splitlines():
            assert "of the form" not in line, line
            assert "Input should" not in line and "Value error" not in line and "valid" not in line, line
