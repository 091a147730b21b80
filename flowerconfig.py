"""What `celery -A workers flower` goes by where nobody says otherwise: Flower reads this file in the current folder,
and its arguments go before it. Who is in Flower may start any task, so it never runs without a password.
"""

import secrets
import sys

from dbcore.settings import load_settings

_given = load_settings().flower_basic_auth

if _given is None:
    basic_auth = [f"admin:{secrets.token_urlsafe(12)}"]
    _, _, _password = basic_auth[0].partition(":")
    print(
        f"Flower: FLOWER_BASIC_AUTH is not set; until this Flower ends: user admin, password {_password}",
        file=sys.stderr,
        flush=True,
    )
else:
    basic_auth = _given.get_secret_value().split(",")

address = "127.0.0.1"  # all addresses by default
max_tasks = 10_000  # 100,000 by default, which is where its memory goes
