"""How much the inbox takes, and for how long things on it stand."""

from __future__ import annotations

from dbcore.redis_pace import RESPONSIVE

LANE_LENGTH_MAX = 200
"""Jobs that one user may have waiting. Past it the frontend says so instead of taking more."""

SIZE_MAX = 200_000
"""Jobs that may wait in all: a bound on Redis's memory, about 1.5 kB each."""

PUBLISH_GRACE_MS = 2_000
"""How long a published job may stay unclaimed before the rescuer looks whether it fell out of its queue."""

CLAIM_LEASE_MS = 30_000
"""How long a claim stands before the rescuer looks whether its owner still beats."""

TAKE_OVER_MS = 500
"""How old a claim may be that was made for whoever takes the job's message. Later the job is claimed by a write."""

BEARER_LEASE_MS = TAKE_OVER_MS + round(1000 * RESPONSIVE.owner_dead)
"""How long such a claim stands, unless a beat says which process took the job over. That process may be silent for as
long as with any other job that it holds before others get it.
"""

TAKERS_FRESH_MS = 120_000
"""How old the last beat of a process may be that counts as one that can take jobs over."""

UNKNOWN_KIND_SECONDS = 300
"""How long a job of a kind that no worker knows waits for workers that do, from when one was first handed it: a
frontend may be deployed before them. Then it has failed.
"""

UNKNOWN_KIND_AGAIN_SECONDS = 10
"""How often it is tried until then."""

OFFERS_MAX = 100
"""Jobs taken on record in one step: as many as Telegram hands over at once."""

CLAIMS_MAX = 50
"""Jobs of a round, beside the one that was handed over: they wait for each other in one process. An app's batch may
have up to BATCH_MAX.
"""

OFFERS_LENGTH_MAX = 500_000
"""Characters of their records: Redis does nothing else meanwhile."""

DIALOGUE_TTL_SECONDS = 600
APP_QUESTION_TTL_SECONDS = 86_400
"""Of what an app's handler asks: people may have to look for the answer."""

TOLD_KEPT_SECONDS = 86_400
KEY_TTL_SECONDS = 2 * 86_400
