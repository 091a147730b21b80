"""For a release: `config_from_object("celeryconfig")` goes on working. Ballast itself reads workers/celeryconfig.py."""

import warnings

from workers.celeryconfig import *  # noqa: F403  every setting

warnings.warn("celeryconfig is workers.celeryconfig now", DeprecationWarning, stacklevel=2)
