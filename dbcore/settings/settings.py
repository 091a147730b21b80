"""All options of Ballast: its sections, composed."""

from __future__ import annotations

from dbcore.settings.apps import AppOptions
from dbcore.settings.backups import BackupOptions
from dbcore.settings.database import DatabaseOptions, RedisOptions
from dbcore.settings.events import EventOptions
from dbcore.settings.money import MoneyOptions
from dbcore.settings.ops import OpsOptions
from dbcore.settings.providers import ProviderOptions
from dbcore.settings.stars import StarOptions
from dbcore.settings.telegram import TelegramOptions
from dbcore.settings.upkeep import UpkeepOptions
from dbcore.settings.withdrawals import WithdrawalOptions


class Settings(
    # From the last section of docs/settings.md to the first: fields come in the reverse order of their bases.
    WithdrawalOptions,
    ProviderOptions,
    StarOptions,
    MoneyOptions,
    BackupOptions,
    EventOptions,
    UpkeepOptions,
    OpsOptions,
    TelegramOptions,
    RedisOptions,
    DatabaseOptions,
    AppOptions,
):
    """One attribute an option; the option's name is the attribute's in capitals. See docs/settings.md."""
