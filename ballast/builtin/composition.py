"""What a broadcast is before it begins: its message, for whom, when and how. The shell, the API and the page compose it
alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from ballast.builtin.jobs import TelegramId
from ballast.chat.markup import HtmlError, plain_text
from dbcore.expectations import shaped
from dbcore.money import MAX_AMOUNT
from dbcore.sentences import Refusal, Sentence, sentence

TEXT_LENGTH_MAX = 4096
"""Of what people see, which is what Telegram counts: tags and addresses of links are not in it."""

CAPTION_LENGTH_MAX = 1024
"""Of a text below a photo, a video or another medium."""

SOURCE_LENGTH_MAX = 32_768
"""Of a text with its tags."""

TELEGRAM_IDS_MAX = 100_000
"""In a broadcast's segment."""

SQL_LENGTH_MAX = 10_000
ACTIVE_DAYS_MAX = 3650
STARS_MAX = 10_000_000
CANARY_MAX = 100_000

DATA_BYTES_MAX = 64
BUTTON_ROWS_MAX, BUTTONS_IN_ROW_MAX = 10, 8

LATE_MAX = timedelta(minutes=1)
"""A time may be past by so much: clocks differ, and words take a while."""

# But where JSON has lists, tuples are not strict.
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class Unsendable(Refusal):
    """Each value is well by itself, and yet it cannot be sent: Telegram would refuse it, or its parts contradict each
    other.
    """


def _no_number(value: object) -> object:
    """pydantic takes one for seconds."""
    if isinstance(value, int | float) or (isinstance(value, str) and "-" not in value[1:]):
        raise Refusal(sentence("expected a time such as 2026-12-01T18:00:00+01:00"))
    return value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""5.0 is 5, as JSON has it."""

Units = Annotated[int, Field(ge=0, le=MAX_AMOUNT, description="Minor units"), BeforeValidator(_whole)]
Days = Annotated[int, Field(ge=1, le=ACTIVE_DAYS_MAX), BeforeValidator(_whole)]
Stars = Annotated[int, Field(ge=0, le=STARS_MAX), BeforeValidator(_whole)]

Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_no_number)]


class Segment(BaseModel):
    """Who a broadcast is for: all parts that are given must hold; none is everybody who can be reached.

    balance_min, balance_max -- minor units. seen_until -- not seen since. sql -- a query whose first column are
    Telegram IDs, asked when the audience is counted and when it begins. app -- a segment of an app, such as `shop.vip`.
    """

    model_config = _STRICT

    active_days: Days | None = Field(default=None, description="Seen within so many days")
    seen_until: Moment | None = Field(default=None, description="Not seen since")
    joined_since: Moment | None = None
    balance_min: Units | None = None
    balance_max: Units | None = None
    language: str | None = Field(
        default=None,
        pattern=shaped(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "a language code such as de or pt-br"),
        max_length=35,
        description="de is de-at too",
    )
    telegram_ids: tuple[Annotated[Whole, TelegramId], ...] | None = Field(
        default=None, max_length=TELEGRAM_IDS_MAX, strict=False
    )
    sql: str | None = Field(
        default=None,
        min_length=1,
        max_length=SQL_LENGTH_MAX,
        description="A query whose first column are Telegram IDs; for an owner",
    )
    app: str | None = Field(
        default=None,
        pattern=shaped(
            r"^[a-z][a-z0-9_]{0,29}\.[a-z][a-z0-9_]{0,63}$", "a segment of an app, such as shop.redeemers"
        ),
        description="A segment of an app",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if (
            self.balance_min is not None
            and self.balance_max is not None
            and self.balance_min > self.balance_max
        ):
            raise Unsendable(sentence("balance_max: expected no less than balance_min"))
        return self

    def parts(self) -> dict[str, Any]:
        """Those that are given, as dbcore takes them."""
        return self.model_dump(mode="json", exclude_none=True)


TIME_OF_DAY = shaped(r"^([01]\d|2[0-3]):[0-5]\d$", "a time such as 22:00")


class QuietHours(BaseModel):
    """Nothing goes out from `begin` to `end`, HH:MM by the clocks of `zone`; past midnight where `end` is earlier."""

    model_config = _STRICT

    begin: str = Field(pattern=TIME_OF_DAY)
    end: str = Field(pattern=TIME_OF_DAY)
    zone: str = Field(default="UTC", max_length=64)

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise Unsendable(sentence("expected a time zone such as Europe/Berlin")) from None

    @model_validator(mode="after")
    def _some_hours(self) -> Self:
        if self.begin == self.end:
            raise Unsendable(sentence("expected an end other than the beginning"))
        return self


class Formatting(BaseModel):
    """One of Telegram's entities of a text. `offset` and `length` count UTF-16 code units, as Telegram does."""

    model_config = _STRICT

    type: str
    offset: Whole = Field(ge=0)
    length: Whole = Field(ge=1)
    url: str | None = None
    language: str | None = None
    custom_emoji_id: str | None = None
    user_id: Whole | None = None


class LinkButton(BaseModel):
    """A button below a message that opens a link."""

    model_config = _STRICT

    text: str
    url: str


class MessageButton(BaseModel):
    """A button below a broadcast: it opens a link, or sends its data to the bot, whose handlers take it."""

    model_config = _STRICT

    text: str = Field(min_length=1, max_length=64)
    url: str | None = Field(
        default=None,
        max_length=2048,
        pattern=shaped(r"^(https?|tg)://[!-~]+$", "a link that begins with https://, http:// or tg://"),
    )
    data: str | None = Field(default=None, min_length=1, max_length=64)

    @property
    def objection(self) -> Sentence | None:
        if (self.url is None) == (self.data is None):
            return sentence("expected either url or data")
        if self.data is not None and len(self.data.encode(errors="replace")) > DATA_BYTES_MAX:
            return sentence("data: expected at most {count} bytes", count=DATA_BYTES_MAX)
        return None


ButtonRow = Annotated[
    tuple[MessageButton, ...], Field(strict=False, min_length=1, max_length=BUTTONS_IN_ROW_MAX)
]


class Media(BaseModel):
    """What Telegram has already, by the file_id that the bot knows it by."""

    model_config = _STRICT

    type: Literal["photo", "video", "animation", "document", "audio", "voice"]
    file_id: str = Field(
        min_length=1, max_length=256, pattern=shaped(r"^[A-Za-z0-9_-]+$", "a file_id of Telegram's")
    )


class Wording(BaseModel):
    """A text: Telegram's HTML, or plain with entities."""

    model_config = _STRICT

    text: str = Field(min_length=1, max_length=SOURCE_LENGTH_MAX)
    entities: tuple[Formatting, ...] | None = Field(default=None, max_length=100, strict=False)

    def parts(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class CanaryRule(BaseModel):
    """Nobody else follows before the first are done.

    percent -- of the audience, in place of a number. failures_max -- the percentage of the first that may fail, up to
    which it goes on by itself. None: it waits for a word.
    """

    model_config = _STRICT

    percent: float | None = Field(default=None, gt=0, le=100)
    failures_max: float | None = Field(default=None, ge=0, le=100)


class Composition(BaseModel):
    """A broadcast as it is drawn up.

    text, entities -- Telegram's HTML, or plain with entities; below the media where there are any.
    other -- the text that every second person gets instead, of an A/B test.
    stars_max -- what a paid one may cost; it is refused where its cost would be above.
    canary -- so many go out first, and alone.
    """

    model_config = _STRICT

    text: str | None = Field(
        default=None, min_length=1, max_length=SOURCE_LENGTH_MAX, description="Telegram's HTML"
    )
    entities: tuple[Formatting, ...] | None = Field(
        default=None, max_length=100, description="With these the text is plain", strict=False
    )
    other: Wording | None = Field(default=None, description="What every second person gets instead")
    media: Media | None = None
    buttons: tuple[ButtonRow, ...] = Field(default=(), max_length=BUTTON_ROWS_MAX, strict=False)
    segment: Segment = Segment()
    paid: bool = False
    stars_max: Stars | None = None
    canary: Whole = Field(default=20, ge=1, le=CANARY_MAX, description="So many go out first, and alone")
    canary_rule: CanaryRule | None = None
    scheduled_for: Moment | None = None
    quiet_hours: QuietHours | None = None

    @model_validator(mode="after")
    def _taken_by_telegram(self) -> Self:
        # Not by the buttons themselves: the API tells what is malformed from what cannot be sent.
        for number, button in enumerate((each for row in self.buttons for each in row), 1):
            if button.objection is not None:
                raise Unsendable(
                    sentence("button {number}: {expected}", number=str(number), expected=button.objection)
                )
        most = TEXT_LENGTH_MAX if self.media is None else CAPTION_LENGTH_MAX
        if self.text is not None:
            _require_text("text", self.text, most, is_html=self.entities is None)
        if self.other is not None:
            if self.text is None:
                raise Unsendable(sentence("other: expected a text beside it"))
            _require_text("other", self.other.text, most, is_html=self.other.entities is None)
        return self

    @property
    def has_message(self) -> bool:
        return self.text is not None or self.media is not None

    def contradiction(self, now: datetime) -> Sentence | None:
        """Why it cannot be drawn up now, though Telegram would take it."""
        if self.paid and self.stars_max is None:
            return sentence("stars_max: expected how many Stars a paid broadcast may cost at most, got none")
        return past(self.scheduled_for, now)

    @property
    def payload(self) -> dict[str, Any]:
        """As dbcore keeps it."""
        payload: dict[str, Any] = {"text": self.text or ""}
        if self.entities is not None:
            payload["entities"] = [each.model_dump(exclude_none=True) for each in self.entities]
        if self.other is not None:
            payload["other"] = self.other.parts()
        if self.media is not None:
            payload["media"] = self.media.model_dump()
        if self.buttons:
            payload["buttons"] = [
                [each.model_dump(exclude_none=True) for each in row] for row in self.buttons
            ]
        return payload

    def kept(self) -> dict[str, Any]:
        """What dbcore's `create` takes of it, beside its key and its actor."""
        rule = None if self.canary_rule is None else self.canary_rule.model_dump(exclude_none=True)
        return {
            "payload": self.payload,
            "segment": self.segment.parts(),
            "paid": self.paid,
            "stars_max": self.stars_max,
            "canary": self.canary,
            "canary_rule": rule,
            "scheduled_for": self.scheduled_for,
            "quiet_hours": None if self.quiet_hours is None else self.quiet_hours.model_dump(),
        }


def past(scheduled_for: datetime | None, now: datetime) -> Sentence | None:
    if scheduled_for is None or scheduled_for >= now - LATE_MAX:
        return None
    return sentence(
        "scheduled_for: expected a time to come, got {given}; it is {now} UTC",
        given=scheduled_for.isoformat(),
        now=f"{now:%Y-%m-%d %H:%M}",
    )


def _require_text(name: str, text: str, most: int, *, is_html: bool) -> None:
    try:
        length = len(plain_text(text) if is_html else text)
    except HtmlError as error:
        raise Unsendable(
            sentence("{name}: expected Telegram's HTML: {why}", name=name, why=error.why)
        ) from None
    if not 1 <= length <= most:
        raise Unsendable(
            sentence(
                "{name}: expected 1 to {most} characters without tags, got {length}",
                name=name,
                most=most,
                length=length,
            )
        )
