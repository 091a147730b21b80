"""For a release: `--conf=flowerconfig.py` goes on working. Without it, Flower reads workers/flowerconfig.py."""

from workers.flowerconfig import *  # noqa: F403  every setting
