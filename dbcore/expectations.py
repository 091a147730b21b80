"""What was expected of a value that pydantic refused, in a sentence: its own are about types and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbcore.sentences import Refusal, Sentence, nsentence, sentence

Context = Mapping[str, Any]

_SHAPES: dict[str, str] = {}


def shaped(pattern: str, words: str) -> str:
    """The pattern, for a field of pydantic: what does not match is refused as "expected <words>". The catalogues have
    the words.
    """
    _SHAPES[pattern] = words
    return pattern


_WHOLE = sentence("expected a whole number")
_NUMBER = sentence("expected a number")
_DECIMAL = sentence("expected a number such as 5.50")
_YES_OR_NO = sentence("expected true or false")
_TEXT = sentence("expected a text")
_TIME = sentence("expected a time such as 2026-12-01T18:00:00+01:00")

_SENTENCES: dict[str, Sentence | Callable[[Context], Sentence]] = {
    "missing": sentence("expected a value"),
    "extra_forbidden": sentence("expected nothing of this name"),
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": sentence("expected a number of fewer digits"),
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _DECIMAL,
    "decimal_parsing": _DECIMAL,
    "finite_number": sentence("expected a finite number"),
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "string_type": _TEXT,
    "string_unicode": sentence("expected a text in UTF-8"),
    "list_type": sentence("expected a list"),
    "tuple_type": sentence("expected a list"),
    "dict_type": sentence("expected an object"),
    "model_type": sentence("expected an object"),
    "model_attributes_type": sentence("expected an object"),
    "json_invalid": sentence("expected JSON"),
    "date_type": sentence("expected a date such as 2026-12-01"),
    "date_parsing": sentence("expected a date such as 2026-12-01"),
    "date_from_datetime_parsing": sentence("expected a date such as 2026-12-01"),
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": sentence("expected a time with its offset from UTC, such as 2026-12-01T18:00:00+01:00"),
    "url_type": sentence("expected a URL"),
    "url_parsing": sentence("expected a URL such as https://example.org"),
    "url_scheme": lambda context: sentence(
        "expected a URL that begins with {schemes}", schemes=context["expected_schemes"]
    ),
    "greater_than": lambda context: sentence("expected more than {least}", least=str(context["gt"])),
    "greater_than_equal": lambda context: sentence("expected at least {least}", least=str(context["ge"])),
    "less_than": lambda context: sentence("expected less than {most}", most=str(context["lt"])),
    "less_than_equal": lambda context: sentence("expected at most {most}", most=str(context["le"])),
    "multiple_of": lambda context: sentence(
        "expected a multiple of {number}", number=str(context["multiple_of"])
    ),
    "string_too_short": lambda context: nsentence(
        "expected at least {count} character", "expected at least {count} characters", context["min_length"]
    ),
    "string_too_long": lambda context: nsentence(
        "expected at most {count} character", "expected at most {count} characters", context["max_length"]
    ),
    "string_pattern_mismatch": lambda context: sentence("expected {what}", what=_shape(context["pattern"])),
    "literal_error": lambda context: sentence("expected {what}", what=_one_of(context["expected"])),
    "enum": lambda context: sentence("expected {what}", what=_one_of(context["expected"])),
    "too_short": lambda context: sentence("expected at least {count} of them", count=context["min_length"]),
    "too_long": lambda context: sentence("expected at most {count} of them", count=context["max_length"]),
}


def expectation(error: Mapping[str, Any]) -> Sentence | str:
    """error -- one of pydantic's `ValidationError.errors()`. A str is what an app's own validator says."""
    found = _SENTENCES.get(error["type"])
    if found is not None:
        return found if isinstance(found, Sentence) else found(error.get("ctx", {}))
    # Our own validators say what they expect.
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, Refusal):
        return raised.whole
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _shape(pattern: str) -> Sentence:
    known = _SHAPES.get(pattern)
    return sentence("a text of the form {pattern}", pattern=pattern) if known is None else Sentence(known)


def _one_of(expected: str) -> Sentence | str:
    """expected -- as pydantic has it: `'polling', 'push' or 'webhook'`."""
    first, _, last = expected.rpartition(" or ")
    return sentence("{first} or {last}", first=first, last=last) if first else expected
