"""supervisord, such that a full disk does not end it: run by its path, it takes supervisord's arguments.

What supervisord cannot log it says on stderr, which is on the same disk, and that ends it, and with it all of Ballast.
"""

from __future__ import annotations

import sys
from typing import Any

from supervisor import loggers, supervisord  # type: ignore[import-untyped]  # publishes no types

_report = loggers.Handler.handleError
_emit = loggers.RotatingFileHandler.emit


def _handle_error(handler: Any) -> None:
    """A line that found no room is lost; the next one is tried again."""
    if not isinstance(sys.exc_info()[1], OSError):
        _report(handler)


def _emit_if_possible(handler: Any, record: Any) -> None:
    try:
        if handler.stream.closed:  # its last lines found no room when the file was changed for a new one
            handler.reopen()
        _emit(handler, record)
    except OSError:
        return


if __name__ == "__main__":
    loggers.Handler.handleError = _handle_error
    loggers.RotatingFileHandler.emit = _emit_if_possible
    supervisord.main()
