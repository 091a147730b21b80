"""Celery's settings. Each one that differs from Celery's default says what would break without it."""

from __future__ import annotations

import sys

import redis.connection
import redis.utils

from ballast.apps.installed import INSTALLED
from ballast.jobs import task_name
from ballast.queueing.envelope import queue_of
from ballast.queueing.queues import QUEUES
from dbcore.redis_pace import pace_of
from dbcore.redis_url import read_redis_url
from dbcore.settings import SettingsError, load_settings
from workers.flower_defaults import is_flower
from workers.periods import seconds_between

try:
    _settings = load_settings()
    _redis = read_redis_url(_settings.require("redis_url"))
    _pace = pace_of(_settings)
except SettingsError as _error:  # a process boundary: `celery -A workers …` ends here with one line an option
    sys.exit(f"ballast: {_error}")

broker_url = _redis.for_celery
# kombu takes any certificate unless it is told otherwise, and Flower reads no option of TLS from the address.
broker_use_ssl = _redis.tls_options
# kombu cannot be told a protocol, so where the address says one it is this process's default.
if _redis.protocol is not None:
    for _module in (redis.connection, redis.utils):
        vars(_module)["DEFAULT_RESP_VERSION"] = _redis.protocol

broker_transport_options = {
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "socket_keepalive": True,
    "polling_interval": _pace.take,  # how long one BRPOP waits; queue_pauser.py has it shorter while queues are shut
    "health_check_interval": _pace.check,  # 25 by default: a half-open BRPOP is then noticed after 51 s
    "visibility_timeout": 600,  # longer than any job; a dead process's jobs come back by its heartbeat, not by this
    "max_retries": 1,  # a publish against a hung Redis blocks without bound otherwise
    "interval_start": 0.1,
    "interval_step": 0.2,
    "interval_max": 0.5,
}
broker_pool_acquire_timeout = 2
broker_pool_limit = 2  # 10 by default: small plans of Redis have 20 to 30 connections in all
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # 100 by default, then the worker gives up
broker_channel_error_retry = True  # READONLY, OOM and MISCONF answers of Redis are channel errors

worker_consumer = "workers.kombu_patches:Consumer"

task_acks_late = True
task_reject_on_worker_lost = True
task_acks_on_failure = True  # False would delete the message on Redis
task_acks_on_timeout = False
worker_prefetch_multiplier = 1
worker_disable_rate_limits = True
# True would kill children with their answers under way; what it guards against the inbox sees to.
worker_cancel_long_running_tasks_on_connection_loss = False
task_soft_time_limit = 60
task_time_limit = 90

# Answers go to Telegram and outcomes to PostgreSQL: nobody reads Celery's results.
task_ignore_result = True
task_store_errors_even_if_ignored = False

# JSON alone: a pickle from Redis would be code from Redis.
accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"

task_default_queue = "users"
task_create_missing_queues = False
task_queues = {name: {"exchange": name, "routing_key": name} for name in QUEUES}
task_routes = {
    **{task_name(kind): {"queue": queue_of(kind)} for kind in INSTALLED.handlers},
    **{each.task: {"queue": each.queue} for each in INSTALLED.scheduled},
    **{f"workers.{name}.*": {"queue": name} for name in QUEUES},
}

# Two beats are harmless: what they ask for twice is done once.
beat_schedule = {
    **{
        each.name: {
            "task": each.task,
            "schedule": each.seconds(_settings, _pace),
            "options": {
                "queue": each.queue,
                "expires": max(1, each.seconds(_settings, _pace) - each.expires_before),
            },
        }
        for each in INSTALLED.scheduled
    },
    # Twice a period, or a moment's delay at the end of one would leave it out; a period is run once all the same.
    **{
        f"every-{kind}": {
            "task": "workers.health.tick",
            "schedule": seconds_between(periodic) / 2,
            "kwargs": {"kind": kind},
            "options": {"queue": "health", "expires": seconds_between(periodic)},
        }
        for kind, periodic in INSTALLED.periodic.items()
    },
}
beat_max_loop_interval = 5
beat_scheduler = "workers.beat:Scheduler"
beat_sync_every = 1  # how often it says that it goes round; every three minutes by default

worker_send_task_events = False  # a running Flower turns them on; until then nobody pays for them
worker_hijack_root_logger = False
enable_utc = True
timezone = "UTC"

if is_flower():
    # Each question that it asks the workers takes two connections at once, beside the one that turns their events on.
    # It would ask eight at a time.
    from flower.app import Flower

    Flower.max_workers = 1
    broker_pool_limit = 3
