"""`Ask`: a handler's question, whose answer is a field of a job. And what of the job is known, missing and answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ballast.arguments import read
from ballast.jobs import OWNER, Job
from dbcore.errors import UsageError

QUESTION_LENGTH_MAX = 1000
CHOICES_MAX = 20
CHOICE_LENGTH_MAX = 60


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to whoever asked for what the handler does. Their next message in that chat is the answer: it becomes
    a field of `job`, which is then done like one of their commands. /cancel ends the question.

    question -- up to 1,000 characters; nothing in it is markup.
    job -- the class of a Job of which an app has a handler. Its first field that has no default and is not given is
        what is asked for; what else is missing is asked for after it, by the fields' descriptions. Its `telegram_id`,
        if it has one, is the person's.
    given -- the fields that are known.
    choices -- up to 20 answers, each a button under the person's keyboard. They may write something else: what is
        allowed is what the field's type says. Groups have no such buttons.
    """

    question: str
    job: type[Job]
    given: Mapping[str, Any] = field(default_factory=dict)
    choices: Sequence[str] = ()

    @property
    def asks(self) -> str:
        """The field."""
        return missing_fields(self.job, self.given)[0]

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question.strip():
            raise ValueError(f"Ask: expected a question, a text that is not empty; got {self.question!r:.80}")
        if (length := len(escape(self.question))) > QUESTION_LENGTH_MAX:
            raise ValueError(
                f"Ask: expected a question of up to {QUESTION_LENGTH_MAX:,} characters as HTML, got {length:,}"
            )
        if not isinstance(self.job, type) or not issubclass(self.job, Job):
            raise TypeError(f"Ask: expected the class of a Job, got {self.job!r:.80}")
        if unknown := sorted(self.given.keys() - self.job.model_fields.keys()):
            fields = ", ".join(self.job.model_fields)
            raise ValueError(
                f"Ask: expected fields of {self.job.__name__} as given ({fields}), got {unknown[0]!r}"
            )
        if not missing_fields(self.job, self.given):
            raise ValueError(
                f"Ask: expected a field of {self.job.__name__} that has no default and is not given, to ask for"
            )
        if isinstance(self.choices, str) or len(self.choices) > CHOICES_MAX:
            raise ValueError(f"Ask: expected a list of up to {CHOICES_MAX} choices, got {self.choices!r:.80}")
        if not all(isinstance(each, str) and 1 <= len(each) <= CHOICE_LENGTH_MAX for each in self.choices):
            raise ValueError(
                f"Ask: expected choices of 1 to {CHOICE_LENGTH_MAX} characters, got {self.choices!r:.80}"
            )


def missing_fields(job: type[Job], given: Collection[str]) -> list[str]:
    """What is to be asked for, in its order."""
    return [
        name
        for name, each in job.model_fields.items()
        if each.is_required() and name not in given and name != OWNER
    ]


def given_as_json(job: type[Job], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are known, as they are kept. Raises UsageError for what they cannot be."""
    try:
        part = _part(job, given, ConfigDict(strict=True)).model_validate(dict(given))
    except ValidationError as error:
        wrong = ", ".join(sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]}))
        raise UsageError(f"Ask: {job.__name__} cannot have what is given as {wrong}") from None
    return part.model_dump(mode="json")


def answer_as_json(job: type[Job], name: str, text: str, *, exponent: int, currency: str) -> Any:
    """What somebody answered, as the field has it. exponent, currency -- what an Amount is read by. Raises
    ArgumentsRefused.
    """
    part = read(_part(job, [name], ConfigDict()), {name: text}, exponent=exponent, currency=currency)
    return part.model_dump(mode="json")[name]


def _part(job: type[Job], names: Collection[str], config: ConfigDict) -> type[BaseModel]:
    """A model of only these fields. What checks several of them together is left out."""
    fields: dict[str, Any] = {
        name: (job.model_fields[name].annotation, job.model_fields[name]) for name in names
    }
    return create_model(job.__name__, __config__=config, **fields)
