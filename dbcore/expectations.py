"""What was expected of a value that pydantic refused, in a sentence: its own are about types and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, Any]

_SHAPES: dict[str, str] = {}


def shaped(pattern: str, words: str) -> str:
    """The pattern, for a field of pydantic: what does not match is refused as "expected <words>"."""
    _SHAPES[pattern] = words
    return pattern


_WHOLE = "expected a whole number"
_NUMBER = "expected a number"
_DECIMAL = "expected a number such as 5.50"
_YES_OR_NO = "expected true or false"
_TEXT = "expected a text"
_TIME = "expected a time such as 2026-12-01T18:00:00+01:00"

_SENTENCES: dict[str, str | Callable[[Context], str]] = {
    "missing": "expected a value",
    "extra_forbidden": "expected nothing of this name",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "expected a number of fewer digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _DECIMAL,
    "decimal_parsing": _DECIMAL,
    "finite_number": "expected a finite number",
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "string_type": _TEXT,
    "string_unicode": "expected a text in UTF-8",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "json_invalid": "expected JSON",
    "date_type": "expected a date such as 2026-12-01",
    "date_parsing": "expected a date such as 2026-12-01",
    "date_from_datetime_parsing": "expected a date such as 2026-12-01",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": "expected a time with its offset from UTC, such as 2026-12-01T18:00:00+01:00",
    "url_type": "expected a URL",
    "url_parsing": "expected a URL such as https://example.org",
    "url_scheme": lambda context: f"expected a URL that begins with {context['expected_schemes']}",
    "greater_than": lambda context: f"expected more than {context['gt']}",
    "greater_than_equal": lambda context: f"expected at least {context['ge']}",
    "less_than": lambda context: f"expected less than {context['lt']}",
    "less_than_equal": lambda context: f"expected at most {context['le']}",
    "multiple_of": lambda context: f"expected a multiple of {context['multiple_of']}",
    "string_too_short": lambda context: f"expected at least {_characters(context['min_length'])}",
    "string_too_long": lambda context: f"expected at most {_characters(context['max_length'])}",
    "string_pattern_mismatch": lambda context: f"expected {_shape(context['pattern'])}",
    "literal_error": lambda context: f"expected {context['expected']}",
    "enum": lambda context: f"expected {context['expected']}",
    "too_short": lambda context: f"expected at least {context['min_length']} of them",
    "too_long": lambda context: f"expected at most {context['max_length']} of them",
}


def expectation(error: Mapping[str, Any]) -> str:
    """error -- one of pydantic's `ValidationError.errors()`."""
    message = str(error["msg"])
    found = _SENTENCES.get(error["type"])
    if found is None:
        # Our own validators say what they expect.
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return found if isinstance(found, str) else found(error.get("ctx", {}))


def _shape(pattern: str) -> str:
    return _SHAPES.get(pattern, f"a text of the form {pattern}")


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"
