"""What people read, in their language: texts from gettext catalogues, amounts, numbers and times by locale.

`speaking(language)` says whom the texts are for; everything said inside is in that language, English outside of any.
The English text is the key. What is put into a text has a name: `gettext("Hello, {name}!", name=…)`.
"""

from ballast.texts.catalogues import ENGLISH, LANGUAGES, available, is_right_to_left, negotiated, own_name
from ballast.texts.speech import (
    chosen_zone,
    gettext,
    gettext_noop,
    ngettext,
    of_any_app,
    of_app,
    pgettext,
    said,
    speaking,
    spoken,
)

__all__ = [
    "ENGLISH",
    "LANGUAGES",
    "available",
    "chosen_zone",
    "gettext",
    "gettext_noop",
    "is_right_to_left",
    "negotiated",
    "ngettext",
    "of_any_app",
    "of_app",
    "own_name",
    "pgettext",
    "said",
    "speaking",
    "spoken",
]
