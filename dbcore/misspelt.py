"""Names in the environment and in .env that are no option but look like one: nobody notices that they are ignored."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator

from dbcore.sentences import Sentence, sentence

LIKENESS_MIN = 0.85
LIKENESS_MIN_IN_ENV_FILE = 0.7
"""Lower: what stands in that file is mostly meant for Ballast, what stands in the environment mostly is not."""


def misspelt(
    names: Iterable[str], options: Collection[str], *, in_env_file: bool = False
) -> Iterator[tuple[str, str]]:
    """Each name that is none of the options, with the one that it is most like."""
    for name in sorted({name.upper() for name in names} - {*options}):
        likeness = LIKENESS_MIN_IN_ENV_FILE if in_env_file else LIKENESS_MIN
        close = difflib.get_close_matches(name, options, n=1, cutoff=likeness)
        if in_env_file and "_" in name:  # BOT_TOKEN, API_URL
            close = [option for option in options if option.endswith(f"_{name}")] or close
        if close:
            yield name, close[0]


def ignored(name: str, where: str, meant: str | None) -> Sentence:
    """What is said of such a name. meant -- the option that it is most like, if it is like one."""
    if meant is None:
        return sentence("{name} in {where} is not an option and is ignored", name=name, where=where)
    return sentence(
        "{name} in {where} is not an option and is ignored; did you mean {option}?",
        name=name,
        where=where,
        option=meant,
    )
