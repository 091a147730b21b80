"""What `celery -A workers flower` goes by in any folder."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from ballast.process.niceness import give_way


def is_flower() -> bool:
    """Whether this process is Flower. Where it is not installed, Celery says so itself."""
    return "flower" in sys.argv and find_spec("flower") is not None


def apply() -> None:
    """Read flowerconfig.py of this package, unless there is one in the current folder; `--conf` goes before both.
    Flower gives way to what answers people: what it shows comes in bursts.
    """
    give_way()
    import flower.options  # noqa: F401  defines the options
    from tornado.options import options

    if not Path(options.conf).exists():
        options.conf = str(Path(__file__).with_name("flowerconfig.py"))
