"""A command's arguments: a pydantic model, read from the words behind the command.

Its fields are given in their order, a word each; the last one takes all that is left if it is a text.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from ballast.texts import gettext, of_any_app, said
from dbcore.money import MAX_AMOUNT, parse_amount
from dbcore.sentences import Refusal

A = TypeVar("A", bound=BaseModel)

_SAYS_WHAT_IT_SHOULD_BE = re.compile(r"(?:Input|String|Value|Decimal input|Number) should (?:be |have )?")


class ArgumentsRefused(Exception):
    """What somebody wrote behind a command does not fit. The message is for them: what was expected, in sentences."""


class ArgumentsMissing(ArgumentsRefused):
    """What they wrote fits so far.

    asks -- the first field that is missing. given -- the words of the others.
    """

    def __init__(self, message: str, asks: str, given: dict[str, str]) -> None:
        super().__init__(message)
        self.asks = asks
        self.given = given


def _minor_units(value: object, info: ValidationInfo) -> int:
    if isinstance(value, str) and info.context is not None:
        return parse_amount(value, info.context["exponent"], info.context["currency"])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_AMOUNT:
        raise ValueError("An amount is an integer of minor units above zero")
    return value


Amount = Annotated[int, PlainValidator(_minor_units)]
"""Money above zero, in minor units. In a command it is written as people write it: `5.50` is 550, with two decimals."""


def parse(command: str, model: type[A], text: str, *, exponent: int = 2, currency: str | None = None) -> A:
    """exponent, currency -- what an Amount is read by. Raises ArgumentsRefused, ArgumentsMissing among them."""
    words, too_many = _given(model, text)
    if too_many:
        nothing = gettext("I expected nothing after {fields}.", fields=_shown(words))
        raise ArgumentsRefused(f"{nothing} {_write_it(command, model)}")
    try:
        return read(model, words, exponent=exponent, currency=currency)
    except ArgumentsMissing as missing:
        raise ArgumentsMissing(f"{missing} {_write_it(command, model)}", missing.asks, words) from None
    except ArgumentsRefused as refused:
        raise ArgumentsRefused(f"{refused} {_write_it(command, model)}") from None


def read(model: type[A], given: dict[str, str], *, exponent: int = 2, currency: str | None = None) -> A:
    """The arguments from the words of each field. Raises as `parse`."""
    try:
        return model.model_validate_strings(given, context={"exponent": exponent, "currency": currency})
    except ValidationError as error:
        missing = [each for each in error.errors() if each["type"] == "missing"]
        wrong = [each for each in error.errors() if each["type"] != "missing"]
        sentences = " ".join(_sentence(model, each) for each in wrong or missing)
        if wrong:
            raise ArgumentsRefused(sentences) from None
        raise ArgumentsMissing(sentences, str(missing[0]["loc"][0]), given) from None


def read_json(model: type[A], fields: dict[str, Any]) -> A:
    """A model from all of its fields, as JSON has them. Raises ArgumentsRefused."""
    try:
        return model.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise ArgumentsRefused(" ".join(_sentence(model, each) for each in error.errors())) from None


def question(model: type[BaseModel], name: str) -> str:
    """What the person is asked for a field."""
    if description := _described(model, name):
        return gettext("{field}, please: {description}.", field=name.upper(), description=description)
    return gettext("{field}, please.", field=name.upper())


def usage(command: str, model: type[BaseModel]) -> str:
    """Such as `/gift RECIPIENT AMOUNT [NOTE]`."""
    names = [
        name.upper() if field.is_required() else f"[{name.upper()}]"
        for name, field in model.model_fields.items()
    ]
    return " ".join([f"/{command}", *names])


def require_readable(model: type[BaseModel]) -> None:
    """Raises TypeError for a model that cannot be given in words: a required field behind an optional one."""
    required = [field.is_required() for field in model.model_fields.values()]
    if required != sorted(required, reverse=True):
        raise TypeError(f"{model.__name__}: put the fields that have a default behind those that have none")


def _given(model: type[BaseModel], text: str) -> tuple[dict[str, str], bool]:
    """The words by their fields, and whether there are more of them than fields."""
    fields = model.model_fields
    last_takes_all = bool(fields) and _is_text(list(fields.values())[-1])
    words: Sequence[str] = text.split(maxsplit=len(fields) - 1) if last_takes_all else text.split()
    return dict(zip(fields, (word.strip() for word in words), strict=False)), len(words) > len(fields)


def _is_text(field: FieldInfo) -> bool:
    annotation = field.annotation
    if get_origin(annotation) in {Union, types.UnionType}:
        return str in get_args(annotation)
    return annotation is str


def _sentence(model: type[BaseModel], error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "value_error":
        why = error.get("ctx", {}).get("error")
        if isinstance(why, Refusal):
            return said(why)
        words = of_any_app(error["msg"].removeprefix("Value error, "))  # the author's own
        return words if words.endswith((".", "!", "?")) else f"{words}."
    description = _described(model, name)
    if error["type"] == "missing":
        if description:
            return gettext("{field} is missing: {description}.", field=name.upper(), description=description)
        return gettext("{field} is missing.", field=name.upper())
    expected = description or _SAYS_WHAT_IT_SHOULD_BE.sub("", error["msg"]).partition(", unable")[0]
    if name:
        return gettext("{field}: I expected {expected}.", field=name.upper(), expected=expected)
    return gettext("I expected {expected}.", expected=expected)


def _described(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    return of_any_app(field.description) if field is not None and field.description else ""


def _shown(words: dict[str, str]) -> str:
    return " ".join(name.upper() for name in words) or gettext("the command")


def _write_it(command: str, model: type[BaseModel]) -> str:
    return gettext("Write it like this: {example}", example=usage(command, model))
