"""What one value of a source means. Whatever can be read two ways, or is not exact, is wrong."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.money import MAX_AMOUNT, AmountError, ZeroAmount, parse_amount
from dbcore.sentences import Refusal, Sentence, sentence
from dbcore.text import one_line, storable

STATUSES = ("active", "blocked", "banned", "deactivated")

_SHOWN_MAX = 60
_NAME_LENGTH_MAX = 256
_AMOUNT_ADJUSTED_MAX = 18  # the power of ten of an amount's first digit; MAX_AMOUNT is below
_TOLD_FROM_THOUSANDS = 4  # decimals
_THOUSANDS_OR_DECIMALS = re.compile(r"([1-9][0-9]{0,2})[.,]([0-9]{3})", re.ASCII)
_GROUPS = re.compile(r"[.,][0-9]*[.,]|[0-9][\u00a0\u202f][0-9]", re.ASCII)
_DECIMAL_MARK = re.compile(r"-?[0-9]*([.,])[0-9]*", re.ASCII)
_USERNAME = re.compile(r"@?([A-Za-z0-9_]{1,32})", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,3}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX = 10**11
_TELEGRAM_BEGAN = datetime(2013, 8, 1, tzinfo=UTC)
_FLAGS = {
    "true": True,
    "t": True,
    "yes": True,
    "1": True,
    "false": False,
    "f": False,
    "no": False,
    "0": False,
}


class InvalidValue(Refusal):
    """The value cannot be taken. It says what was expected and what was found."""


def shown(value: object) -> Sentence | str:
    """A value as it may stand in a message, with its kind if it is no text."""
    if value is None or value == "":
        return sentence("nothing")
    text = one_line(str(value), _SHOWN_MAX)
    if isinstance(value, str):
        return f"'{text}'"
    return sentence("the {kind} {value}", kind=type(value).__name__.lower(), value=text)


def telegram_id(value: object) -> int:
    number: int | None = None
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        number = int(value)
    if number is None or not 0 < number < TELEGRAM_ID_LIMIT:
        raise InvalidValue(
            sentence("expected a user's Telegram ID such as 12345, found {value}", value=shown(value))
        )
    return number


def amount(value: object, exponent: int, *, minor: bool) -> int:
    """Signed minor units.

    minor -- the value is in minor units already.
    """
    if isinstance(value, float):
        raise InvalidValue(
            sentence(
                "expected an exact amount such as '12.50', found {value}: a float is not exact. Write it "
                "with the currency's decimals: in SQL by a cast to numeric or by printf, in JSON as a text",
                value=shown(value),
            )
        )
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise InvalidValue(sentence("expected an amount such as 12.50, found {value}", value=shown(value)))
    if minor and isinstance(value, str) and decimal_mark(value) is not None:
        raise InvalidValue(
            sentence("expected a whole number of minor units, found {value}", value=shown(value))
        )
    units = _units(value, 0 if minor else exponent)
    if abs(units) > MAX_AMOUNT:
        raise InvalidValue(
            sentence(
                "expected at most {most} minor units, found {value}", most=str(MAX_AMOUNT), value=shown(value)
            )
        )
    return units


def decimal_mark(value: object) -> str | None:
    """The point or comma that a text has before its decimals; None without one, and for what is no text."""
    found = _DECIMAL_MARK.fullmatch(value.strip()) if isinstance(value, str) else None
    return found and found[1]


def _units(value: int | Decimal | str, exponent: int) -> int:
    if isinstance(value, int):
        return value * int(10**exponent)
    if isinstance(value, Decimal):
        if not value.is_finite() or (value and abs(value.adjusted()) > _AMOUNT_ADJUSTED_MAX):
            raise InvalidValue(
                sentence("expected an amount such as 12.50, found {value}", value=shown(value))
            )
        text = format(value, "f")
    else:
        text = value.strip()
    sign = -1 if text.startswith("-") else 1
    digits = text.removeprefix("-")
    if digits[:1] in {"-", "+"}:
        raise InvalidValue(sentence("expected an amount such as 12.50, found {value}", value=shown(value)))
    if isinstance(value, str):
        _refuse_groups(value, digits)
        _refuse_thousands(value, digits, exponent)
    try:
        return sign * parse_amount(_as_written(digits, exponent), exponent)
    except ZeroAmount:
        return 0
    except AmountError as error:
        if exponent == 0:
            wrong = sentence("expected a whole number of minor units, found {value}.", value=shown(value))
        else:
            wrong = sentence(
                "expected an amount with {decimals} decimals at most, found {value}.",
                decimals=exponent,
                value=shown(value),
            )
        raise InvalidValue(wrong, error.whole) from None


def _refuse_groups(value: str, digits: str) -> None:
    """Which mark is the decimals' is told by the whole column, and not by `1,000.00` beside `1.000,00`."""
    if _GROUPS.search(digits):
        raise InvalidValue(
            sentence(
                "expected an amount without groups of digits such as 1000.00, found {value}",
                value=shown(value),
            )
        )


def _refuse_thousands(value: str, digits: str, exponent: int) -> None:
    """`1.500` is thousands to whoever wrote it by hand, and 1.50 to a numeric(12, 3) that was written as text."""
    either = _THOUSANDS_OR_DECIMALS.fullmatch(digits)
    if either is None or either[2][exponent:].strip("0") or exponent > 2:
        return
    whole, decimals = either.groups()
    with_decimals = f"{whole}.{decimals[:exponent]}" if exponent else whole
    raise InvalidValue(
        sentence(
            "expected an amount that cannot be thousands, found {value}. Write {units} or {amount}",
            value=shown(value),
            units=f"{whole}{decimals}",
            amount=with_decimals,
        )
    )


def _as_written(digits: str, exponent: int) -> str:
    """As the reader of people's amounts takes it. `12.5000` is 12.50: a numeric(12, 4) has them all. And what stands
    behind a program's point are decimals, where a person may have meant thousands.
    """
    whole, point, decimals = digits.partition(".")
    if not point:
        return digits
    kept = decimals[:exponent] + decimals[exponent:].rstrip("0")
    return f"{whole}.{kept.ljust(_TOLD_FROM_THOUSANDS, '0') if exponent > 2 else kept}" if kept else whole


def moment(value: object, zone: tzinfo) -> datetime | None:
    """A time with its zone; None for nothing.

    zone -- of times that say none.
    """
    if value is None or value == "":
        return None
    found: datetime | None = None
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, date):
            found = datetime(value.year, value.month, value.day, tzinfo=zone)
        elif isinstance(value, Decimal):
            # EXTRACT(epoch FROM ...) of PostgreSQL. To the last microsecond, which a float has not.
            if value.is_finite() and abs(value) < _SECONDS_MAX:
                found = _EPOCH + timedelta(microseconds=int(value * 1_000_000))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            text = value.strip()
            found = (
                datetime.fromtimestamp(int(text), UTC)
                if _DIGITS.fullmatch(text)
                else datetime.fromisoformat(text)
            )
    except (ValueError, OverflowError, OSError):
        pass
    if found is not None and found.tzinfo is None:
        found = found.replace(tzinfo=zone)
    if found is None or not _TELEGRAM_BEGAN <= found <= datetime.now(UTC) + timedelta(days=1):
        raise InvalidValue(
            sentence(
                "expected a time since August 2013, such as 2024-05-01T12:30:00+00:00 or in Unix seconds, "
                "found {value}",
                value=shown(value),
            )
        )
    return found.astimezone(UTC)


def flag(value: object) -> bool | None:
    """None for nothing."""
    if value is None or value == "":
        return None
    known = _FLAGS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
    if known is None:
        raise InvalidValue(sentence("expected true or false, found {value}", value=shown(value)))
    return known


def status(value: object) -> str | None:
    if value is None or value == "":
        return None
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in STATUSES:
        raise InvalidValue(
            sentence(
                "expected {words} or {last}, found {value}",
                words=", ".join(STATUSES[:-1]),
                last=STATUSES[-1],
                value=shown(value),
            )
        )
    return word


def username(value: object) -> str | None:
    if value is None or value == "":
        return None
    known = _USERNAME.fullmatch(value.strip()) if isinstance(value, str) else None
    if known is None:
        raise InvalidValue(
            sentence("expected a username of letters, digits and _, found {value}", value=shown(value))
        )
    return known[1]


def language_code(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _LANGUAGE.fullmatch(value.strip()):
        raise InvalidValue(
            sentence("expected a language such as de or pt-br, found {value}", value=shown(value))
        )
    return value.strip().replace("_", "-").lower()


def line_of_text(value: object) -> str | None:
    """A name or a memo."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _NAME_LENGTH_MAX:
        raise InvalidValue(
            sentence(
                "expected a text of at most {most} characters, found {value}",
                most=str(_NAME_LENGTH_MAX),
                value=shown(value),
            )
        )
    return storable(value)


def movement_id(value: object) -> str:
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[\x21-\x7e]{1,100}", text):
        raise InvalidValue(
            sentence("expected an ID of 1 to 100 visible ASCII characters, found {value}", value=shown(value))
        )
    return text
