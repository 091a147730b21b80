"""A command's words become a model's values, or are refused by saying what was expected."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from ballast.arguments import (
    Amount,
    ArgumentsMissing,
    ArgumentsRefused,
    parse,
    question,
    read,
    require_readable,
    usage,
)


class Order(BaseModel):
    item: str = Field(max_length=5)
    count: int = Field(gt=0)
    size: Literal["s", "m"] = "m"
    note: str | None = None


class Nothing(BaseModel):
    pass


class Code(BaseModel):
    code: str = Field(max_length=5, description="a code such as HELLO")

    @field_validator("code")
    @classmethod
    def _ours(cls, value: str) -> str:
        if value == "THEIR":
            raise ValueError("That code is another shop's")
        return value


class Gift(BaseModel):
    amount: Amount
    note: str = ""


class Price(BaseModel):
    price: Decimal


@pytest.mark.parametrize(
    ("model", "text", "values"),
    [
        (Order, "lamp 2", {"item": "lamp", "count": 2, "size": "m", "note": None}),
        (Order, " lamp  2 s ", {"item": "lamp", "count": 2, "size": "s", "note": None}),
        (Order, "lamp 2 s for  my\naunt", {"item": "lamp", "count": 2, "size": "s", "note": "for  my\naunt"}),
        (Code, "HELLO", {"code": "HELLO"}),
        (Nothing, "", {}),
        (Gift, "5.50 for lunch", {"amount": 550, "note": "for lunch"}),
        (Price, "1.50", {"price": Decimal("1.50")}),
    ],
)
def test_words_are_given_to_the_fields_in_their_order(
    model: type[BaseModel], text: str, values: dict[str, object]
) -> None:
    assert parse("x", model, text).model_dump() == values


WRITE_ORDER = "Write it like this: /order ITEM COUNT [SIZE] [NOTE]"
WRITE_CODE = "Write it like this: /order CODE"


@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        (Order, "", f"ITEM is missing. COUNT is missing. {WRITE_ORDER}"),
        (Order, "lamp two", f"COUNT: I expected a valid integer. {WRITE_ORDER}"),
        (Order, "lamp 0", f"COUNT: I expected greater than 0. {WRITE_ORDER}"),
        (Order, "lampshade 1", f"ITEM: I expected at most 5 characters. {WRITE_ORDER}"),
        (Order, "lamp 1 xl", f"SIZE: I expected 's' or 'm'. {WRITE_ORDER}"),
        (Code, "", f"CODE is missing: a code such as HELLO. {WRITE_CODE}"),
        (Code, "much too long", f"CODE: I expected a code such as HELLO. {WRITE_CODE}"),
        (Code, "THEIR", f"That code is another shop's. {WRITE_CODE}"),
        (
            Gift,
            "much",
            "The amount must be a plain number, such as 5 or 5.50. Write it like this: /order AMOUNT [NOTE]",
        ),
        (Gift, "", "AMOUNT is missing. Write it like this: /order AMOUNT [NOTE]"),
        (Price, "1 2", "I expected nothing after PRICE. Write it like this: /order PRICE"),
        (Nothing, "1", "I expected nothing after the command. Write it like this: /order"),
    ],
)
def test_what_does_not_fit_is_refused_by_saying_what_was_expected(
    model: type[BaseModel], text: str, said: str
) -> None:
    with pytest.raises(ArgumentsRefused) as refused:
        parse("order", model, text)
    assert str(refused.value) == said


def test_what_is_missing_is_asked_for_one_field_after_the_other() -> None:
    with pytest.raises(ArgumentsMissing) as missing:
        parse("order", Order, "lamp")
    assert (missing.value.asks, missing.value.given) == ("count", {"item": "lamp"})
    assert question(Code, "code") == "CODE, please: a code such as HELLO."
    assert question(Order, "count") == "COUNT, please."
    with pytest.raises(ArgumentsRefused, match=r"^ITEM: I expected at most 5 characters\.$") as refused:
        read(Order, {"item": "a red lamp"})
    assert not isinstance(refused.value, ArgumentsMissing)
    assert read(Order, {"item": "lamp", "count": "2"}).model_dump()["count"] == 2


def test_a_model_that_words_cannot_fill_is_refused() -> None:
    class Backwards(BaseModel):
        note: str = ""
        count: int

    with pytest.raises(TypeError, match="put the fields that have a default behind"):
        require_readable(Backwards)
    assert usage("order", Order) == "/order ITEM COUNT [SIZE] [NOTE]"


def test_an_amount_on_record_is_in_minor_units() -> None:
    kept = parse("gift", Gift, "1.2", exponent=3).model_dump_json()
    assert kept == '{"amount":1200,"note":""}'
    assert Gift.model_validate_json(kept) == Gift(amount=1200)
    for amount in (0, -1, 1.5, "5"):
        with pytest.raises(ValidationError, match="integer of minor units above zero"):
            Gift.model_validate({"amount": amount})
