"""`LAST_KNOWN`: answer with what was known last, where the database does not answer."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class _LastKnown(Enum):
    LAST_KNOWN = "last known"


LAST_KNOWN: Final = _LastKnown.LAST_KNOWN
"""As a default of `Guard.read`: the last answer that this process got for the same arguments, with its time. As
`unavailable` of an app's command: what the same person was answered last for the same arguments, with its time.
"""

LastKnown = Literal[_LastKnown.LAST_KNOWN]
