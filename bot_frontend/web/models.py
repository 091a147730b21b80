"""The answers of the JSON endpoints, for the OpenAPI document. docs/endpoints.md says the same to people.

The endpoints do not build these: what they answer is checked against them by the fuzzer of the tests, not with each
request.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ballast.builtin.status import ACTION_ID, BROADCAST_ID, QUEUE, REFERENCE
from ballast.operators.permissions import Permission
from ballast.queueing.worker_drains import WORKER, WorkerState
from ballast.status.health import DatabaseState, HealthLevel
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.ledger.books import ACCOUNTS
from dbcore.ledger.provider_book import ProviderDifferenceKind
from dbcore.ledger.star_book import DifferenceKind
from dbcore.ledger.withdrawals import WithdrawalState
from dbcore.moving.record import MoveState
from dbcore.quota import QuotaState
from dbcore.redis_condition import RedisTrouble
from dbcore.roles import Role

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Breaker = BreakerState | Literal["unknown"]


class Answer(BaseModel):
    """Every field is always there; what is not known is null."""

    model_config = ConfigDict(extra="forbid")


class Error(Answer):
    error: str


class Live(Answer):
    status: Literal["ok"]


class Ready(Answer):
    status: Literal["ok", "down"]
    reason: str | None


class Redis(Answer):
    ok: bool
    error: str | None
    troubles: list[RedisTrouble]


class Telegram(Answer):
    mode: Literal["polling", "webhook"] | None
    ok: bool | None
    error: str | None
    age_seconds: Seconds | None
    pending: Count | None


class Backup(Answer):
    proven_age_seconds: Seconds | None
    overdue: bool
    failed: bool


class HealthDatabase(Answer):
    state: DatabaseState
    breaker: Breaker


class HealthWorkers(Answer):
    alive: Count | None
    lost_to_one_job: Count


class HealthInbox(Answer):
    size: Count | None
    oldest_seconds: Seconds | None
    overdue_seconds: Seconds | None
    overdue_queue: str | None


class Health(Answer):
    status: Literal["ok", "degraded", "down"]
    redis: Redis
    telegram: Telegram
    database: HealthDatabase
    workers: HealthWorkers
    inbox: HealthInbox
    queues: dict[str, Count]
    unattended_queues: list[str]
    backup: Backup
    age_seconds: Seconds | None


class Move(Answer):
    state: MoveState
    processes_with_old_url: Count


class DatabaseStatus(Answer):
    state: DatabaseState
    probe: dict[str, Any] | None
    probe_age_seconds: Seconds | None
    move: Move | None
    age_seconds: Seconds | None


class StabilityBreaker(Answer):
    state: Breaker
    reason: BreakerReason | None
    since: Seconds | None
    until: Seconds | None
    retry_after_seconds: Seconds | None
    probed_by: list[str]
    processes_open: Count
    processes: Count
    transitions: dict[str, Count]


class StabilityConnections(Answer):
    possible: Count | None
    open: Count | None


class StabilityQuota(Answer):
    state: QuotaState
    compute_hours: Seconds | None
    used_hours: Seconds | None
    observed_since: Seconds | None
    used_up_at: Seconds | None
    renews_at: Seconds | None


class Stability(Answer):
    monitoring: Literal["active", "unknown"]
    breaker: StabilityBreaker
    connections: StabilityConnections
    quota: StabilityQuota
    failed_operations: Count | None
    total_failed_operations: Count
    total_operations: Count
    engines: dict[str, dict[str, Any]]
    age_seconds: Seconds | None


class Verdict(Answer):
    state: HealthLevel
    title: str
    words: str


class StatusDatabase(Answer):
    state: DatabaseState
    version: str | None
    bytes: Count | None
    latency_ms: Seconds | None
    slow_ms: Seconds
    probe_ok: bool | None
    probe_kind: str | None
    probe_age_seconds: Seconds | None
    server_connections: Count | None
    server_connections_max: Count | None


class StatusBreaker(Answer):
    state: Breaker
    reason: BreakerReason | None
    since: Seconds | None
    for_seconds: Seconds | None
    next_probe_seconds: Seconds | None
    paused_by: str | None
    words: str
    processes_open: Count


class Queue(Answer):
    name: str
    length: Count
    attended: bool
    paused_by: str | None
    paused_seconds: Seconds | None


class StatusInbox(HealthInbox):
    held_back: Count | None


class Throughput(Answer):
    commands_per_minute: Seconds | None
    answers_per_minute: Seconds | None
    answer_p50_seconds: Seconds | None
    answer_p95_seconds: Seconds | None


class DeadLetter(Answer):
    reference: str
    kind: str
    at: Seconds
    error: str


class Approvals(Answer):
    waiting: Count | None


class DeadLetters(Answer):
    open: Count | None
    age_seconds: Seconds | None
    items: list[DeadLetter]


class Doing(Answer):
    kind: str
    seconds: Seconds


class Worker(Answer):
    name: str
    host: str | None
    pid: Count | None
    queues: list[str]
    beat_age_seconds: Seconds
    breaker: str
    doing: list[Doing]


class FleetWorker(Answer):
    """alone -- queues whose jobs no other worker takes."""

    name: str
    state: WorkerState
    processes: Count
    jobs: Count
    alone: list[str]
    drained_by: str | None
    drained_seconds: Seconds | None


class StatusConnections(StabilityConnections):
    budget: Count | None


class StatusQuota(Answer):
    state: QuotaState
    used_hours: Seconds | None
    compute_hours: Seconds | None
    used_up_at: Seconds | None
    renews_at: Seconds | None


class ListedBroadcast(Answer):
    id: Count
    status: str
    audience: Count | None
    sent: Count
    blocked: Count
    failed: Count
    unknown: Count
    rate: Seconds | None
    eta_seconds: Seconds | None
    halted_reason: str | None
    scheduled_for: Seconds | None


class Broadcasts(Answer):
    age_seconds: Seconds | None
    mark: str | None
    stuck: list[Count]
    items: list[ListedBroadcast]


class Transition(Answer):
    at: Seconds
    before: BreakerState
    after: BreakerState
    reason: BreakerReason | None
    by: str


class Outage(Answer):
    failed_at: Seconds | None
    began_at: Seconds
    ended_at: Seconds | None
    drained_at: Seconds | None
    duration_seconds: Seconds
    reason: BreakerReason | None
    paused_by: str | None
    failed_probes: Count
    jobs_waited: Count
    longest_wait_seconds: Seconds
    jobs_left: Count | None


class Uptime(Answer):
    hours: Count
    measured_seconds: Seconds
    share: Annotated[float, Field(ge=0, le=1)]
    down_seconds: Seconds
    paused_seconds: Seconds
    outages: Count


class OutageReport(Answer):
    now: Seconds
    age_seconds: Seconds | None
    since: Seconds | None
    uptime: list[Uptime]
    outages: list[Outage]


class StarDifference(Answer):
    difference: DifferenceKind
    charge_id: str
    telegram_stars: int | None
    ledger_stars: int | None
    accepted: bool
    is_booked_by_charge_id: bool


class Stars(Answer):
    compared_age_seconds: Seconds | None
    is_reading: bool
    transactions: Count | None
    balance: int | None
    open: Count | None
    differences: list[StarDifference]


class ProviderDifference(Answer):
    difference: ProviderDifferenceKind
    payment_id: str
    currency: str | None
    provider_minor_units: int | None
    ledger_minor_units: int | None
    accepted: bool
    is_booked: bool


class ComparedProvider(Answer):
    provider: str
    compared_age_seconds: Seconds | None
    payments: Count
    open: Count
    differences: list[ProviderDifference]


class StuckWithdrawal(Answer):
    number: Count
    state: WithdrawalState
    amount: str
    currency: str
    adapter: str
    attempts: Count
    for_seconds: Seconds


class Payouts(Answer):
    age_seconds: Seconds | None
    is_stopped: bool | None
    open: dict[WithdrawalState, Count]
    stuck: list[StuckWithdrawal]


class AccountBalance(Answer):
    currency: str
    account: Annotated[str, Field(json_schema_extra={"enum": [*ACCOUNTS]})]
    balance: str
    entries: Count


class UsersDay(Answer):
    day: str
    currency: str
    debits: str
    credits: str
    entries: Count


class Books(Answer):
    age_seconds: Seconds | None
    sheet: list[AccountBalance]
    days: list[UsersDay]
    seal: Count | None
    seal_hash: str | None
    unsealed_entries: Count | None
    broken_seals: Count | None


class Alarm(Answer):
    name: str
    since: Seconds


class RecentAction(Answer):
    at: Seconds
    actor: str
    action: str
    target: str
    outcome: str


class Actions(Answer):
    allowed: bool
    why_not: str | None
    csrf: str | None
    signed_in_as: str | None
    role: Role | None
    permitted: list[Permission]


class Status(Answer):
    version: str
    now: Seconds
    age_seconds: Seconds | None
    verdict: Verdict
    redis: Redis
    telegram: Telegram
    database: StatusDatabase
    breaker: StatusBreaker
    queues: list[Queue]
    inbox: StatusInbox
    throughput: Throughput
    dead_letters: DeadLetters
    approvals: Approvals
    workers: list[Worker]
    fleet: list[FleetWorker]
    connections: StatusConnections
    quota: StatusQuota
    backup: Backup
    move: Move | None
    books: Books
    stars: Stars
    providers: list[ComparedProvider]
    payouts: Payouts
    broadcasts: Broadcasts
    transitions: list[Transition]
    outages: list[Outage]
    uptime: list[Uptime]
    alarms: list[Alarm]
    recent_actions: list[RecentAction]
    actions: Actions


class Probes(Answer):
    # Each item of its own sort, in this order; prefixItems would say so, and few tools read it.
    probes: list[Annotated[list[Seconds | bool | str | None], Field(min_length=5, max_length=5)]]


class FoundJob(Answer):
    reference: str
    job_id: str | None
    state: Literal["held_back", "queued", "running", "behind", "delayed", "answering", "finished", "failed"]
    kind: str | None
    telegram_id: Count | None
    username: str | None
    since: Seconds | None
    age_seconds: Seconds | None
    deliveries: Count
    waits_for: str


class _Order(Answer):
    id: str = Field(pattern=ACTION_ID)


class BreakerOrder(_Order):
    action: Literal["breaker.open", "breaker.close", "breaker.auto"]
    target: Literal[""]


class DeadLetterOrder(_Order):
    action: Literal["dead_letter.retry", "dead_letter.discard"]
    target: str = Field(pattern=REFERENCE)


class BroadcastOrder(_Order):
    action: Literal["broadcast.pause", "broadcast.resume", "broadcast.cancel"]
    target: str = Field(pattern=BROADCAST_ID)


class QueueOrder(_Order):
    action: Literal["queue.pause", "queue.resume"]
    target: str = Field(pattern=QUEUE)


class WorkerOrder(_Order):
    action: Literal["worker.drain", "worker.drain_last", "worker.resume"]
    target: str = Field(pattern=WORKER)


class Ordered(Answer):
    id: str
    state: Literal["done", "queued"]
    words: str
