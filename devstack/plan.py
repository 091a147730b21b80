"""Which parts of Ballast are given by settings, and which the run command starts itself."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from ballast.queueing.queues import WORKERS
from dbcore.settings import Settings, bot_id_of
from devstack import programs
from devstack.options import RunOptions, StartRefused
from devstack.postgres import EmbeddedPostgres
from devstack.programs import Program
from devstack.redis import EmbeddedRedis

# The local Telegram knows this user from its first start; without an admin nobody could try /credit.
DEMO_ADMIN_ID = 1001
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Plan:
    """What one `make run` consists of. A part that is None is given by the setting of its name."""

    settings: Settings
    folder: Path
    postgres: EmbeddedPostgres | None
    redis: EmbeddedRedis | None
    telegram_token: str | None
    admin_id: int | None
    flower_auth: str
    ports: dict[str, tuple[str, int]]
    """What must be free: (host, port) by the option that sets it."""

    @property
    def made(self) -> dict[str, str]:
        """The options that got a value here, for this run's processes and for running.env."""
        made = {}
        if self.postgres is not None:
            made["DATABASE_URL"] = self.postgres.url
        if self.redis is not None:
            made["REDIS_URL"] = self.redis.url
        if self.telegram_token is not None:
            made["TELEGRAM_BOT_TOKEN"] = self.telegram_token
            made["TELEGRAM_API_URL"] = f"http://{_LOOPBACK}:{self.settings.simulator_port}"
        if self.admin_id is not None:
            made["ADMIN_IDS"] = str(self.admin_id)
        if self.settings.flower_basic_auth is None:
            made["FLOWER_BASIC_AUTH"] = self.flower_auth
        return made

    @property
    def bot_id(self) -> int:
        return bot_id_of(self.telegram_token or self.settings.require("telegram_bot_token"))

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of every process. Flower reads no .env, so its option is always
        there.
        """
        return {**self.made, "FLOWER_BASIC_AUTH": self.flower_auth}

    def prepare(self) -> list[Program]:
        """Make the data folders; all processes, in the order of their start.

        Raises EmbeddedServerError, OSError.
        """
        found = []
        if self.postgres is not None:
            self.postgres.prepare()
            found.append(programs.postgres(self.postgres.command()))
        if self.redis is not None:
            self.redis.prepare()
            found.append(programs.redis(self.redis.command()))
        if self.telegram_token is not None:
            data = self._subfolder("telegram")
            port = self.settings.simulator_port
            found.append(programs.telegram(port=port, data=data))
        return [
            *found,
            programs.frontend(),
            *(programs.worker(name) for name in WORKERS),
            programs.beat(self._subfolder("beat")),
            programs.flower(self._subfolder("flower"), port=self.settings.flower_port),
        ]

    def _subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def plan(settings: Settings, options: RunOptions, folder: Path, *, local_token: str) -> Plan:
    """Raises StartRefused for settings that contradict each other."""
    ports = {
        "OPS_PORT": (settings.ops_host, settings.ops_port),
        "FLOWER_PORT": (_LOOPBACK, settings.flower_port),
    }
    postgres = redis = None
    if settings.database_url is None:
        postgres = EmbeddedPostgres(folder / "postgres", options.postgres_port)
        ports["BALLAST_POSTGRES_PORT"] = (_LOOPBACK, options.postgres_port)
    if settings.redis_url is None:
        redis = EmbeddedRedis(folder / "redis", options.redis_port)
        ports["BALLAST_REDIS_PORT"] = (_LOOPBACK, options.redis_port)
    local_telegram = settings.telegram_bot_token is None
    if local_telegram:
        if "telegram_api_url" in settings.model_fields_set:
            raise StartRefused(
                "TELEGRAM_API_URL: expected together with TELEGRAM_BOT_TOKEN, or neither for the local "
                f"Telegram; got {settings.telegram_api_url!r} and no token"
            )
        if settings.database_url is not None and not options.local_telegram:
            raise StartRefused(
                "TELEGRAM_BOT_TOKEN is not set, but DATABASE_URL is: in the local Telegram anybody here is any "
                "user and the admin, with that database's balances. Set TELEGRAM_BOT_TOKEN, or "
                "BALLAST_LOCAL_TELEGRAM=true if that is what you want"
            )
        ports["SIMULATOR_PORT"] = (_LOOPBACK, settings.simulator_port)
    given_auth = settings.flower_basic_auth
    return Plan(
        settings=settings,
        folder=folder,
        postgres=postgres,
        redis=redis,
        telegram_token=local_token if local_telegram else None,
        admin_id=DEMO_ADMIN_ID if local_telegram and not settings.admin_ids else None,
        flower_auth=given_auth.get_secret_value() if given_auth else f"admin:{secrets.token_urlsafe(12)}",
        ports=ports,
    )
