"""What Ballast uses of kombu and Celery without a promise of theirs. A release of one of them that lacks a part fails
here, with what would break, before it fails an operator.

They are in workers/kombu_patches.py, pool.py and remote_control.py. tests/dbcore/guard/test_sqlalchemy_internals.py has
those of SQLAlchemy.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool, Worker
from celery.worker import control
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import pidbox
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from devstack.stack import ROOT
from workers import kombu_patches, pool

REPLACED: dict[tuple[Any, Any, str], str] = {
    (kombu_patches.Channel, kombu_redis.Channel, "_connparams"): "a worker ends when Redis restarts",
    (kombu_patches.Channel, kombu_redis.Channel, "_brpop_read"): "a message that is none ends each worker",
    (kombu_patches.Channel, kombu_redis.Channel, "_receive_one"): "a command that is none ends each worker",
    (
        kombu_patches.Channel,
        kombu_redis.Channel,
        "_put",
    ): "a full Redis takes no messages, so nothing is finished",
    (kombu_patches.Channel, kombu_redis.Channel, "_queue_bind"): "no worker starts while Redis is full",
    (
        kombu_patches.Channel,
        kombu_redis.Channel,
        "basic_consume",
    ): "a message that Celery cannot take apart ends each worker",
    (
        kombu_patches.QoS,
        kombu_redis.QoS,
        "append",
    ): "a full Redis keeps workers from taking what would free it",
    (kombu_patches.QoS, kombu_redis.QoS, "ack"): "an acknowledged message stays in `unacked`",
    (
        kombu_patches.QoS,
        kombu_redis.QoS,
        "reject",
    ): "a job's message that is put back is lost until the rescuer looks",
    (
        kombu_patches.QoS,
        kombu_redis.QoS,
        "restore_unacked",
    ): "jobs' messages that a worker took are lost when it stops, until the rescuer looks",
    (kombu_patches.QoS, kombu_redis.QoS, "restore_visible"): "a worker ends while Redis is full",
    (kombu_patches.Message, virtual.Message, "_decode"): "a codec's own error ends a worker",
    (
        kombu_patches.Request,
        Request,
        "on_timeout",
    ): "a message that overruns its time limit ends processes without a limit",
    (kombu_patches.Request, Request, "on_failure"): "a message that ends its process does so without a limit",
    (kombu_patches.Request, Request, "reject"): "the same",
    (kombu_patches.Request, Request, "info"): "Flower shows what people wrote",
    (
        kombu_patches.Consumer,
        Consumer,
        "connect",
    ): "a worker opens a dozen connections a second to a Redis that refuses writes",
    (
        kombu_patches.Consumer,
        Consumer,
        "on_send_event_buffered",
    ): "each event is sent by itself, before its job is begun",
    (
        pool.AsynPool,
        AsynPool,
        "_create_write_handlers",
    ): "a job waits until Redis is asked for the next one",
    (
        pool.AsynPool,
        AsynPool,
        "create_result_handler",
    ): "Flower does not show what was done without a message",
    (
        pool.AsynPool,
        AsynPool,
        "_worker_active",
    ): "a process is ended in the middle of a job without a message",
    (
        pool.Worker,
        Worker,
        "contribute_to_object",
    ): "tasks wait for a child that is busy while others are idle",
    (
        pool.Worker,
        Worker,
        "_make_recv_method",
    ): "no process waits for jobs without a message, and each is late",
    (kombu_patches.Consumer, Consumer, "on_unknown_message"): "the log quotes people",
    (kombu_patches.Consumer, Consumer, "on_unknown_task"): "the same",
    (kombu_patches.Consumer, Consumer, "on_invalid_task"): "the same",
    (kombu_patches.Consumer, Consumer, "on_decode_error"): "the same",
}
"""Ours, theirs and the name, with what happens once theirs no longer calls it."""

USED: dict[tuple[Any, str], str] = {
    (kombu_redis.Transport, "Channel"): "no channel is ours",
    (prefork.TaskPool, "Pool"): "a job waits until Redis is asked for the next one",
    (kombu_redis.QoS, "_delivered"): "what was put back is put back once more",
    (Consumer, "_flush_events"): "no event is sent: Flower and `celery events` show nothing",
    (pidbox.Mailbox, "node_cls"): "a command that is none ends its worker",
    (control.Panel, "data"): "commands act on arguments that nobody checked",
    (kombu_redis.Channel, "_q_for_pri"): "messages go to queues that nobody reads",
    (kombu_redis.Channel, "_get_message_priority"): "the same",
}


def _id(value: object) -> str | None:
    """The same in each process of the run: an instance has its class's name."""
    if not isinstance(value, tuple):
        return None
    return ".".join(
        part if isinstance(part, str) else getattr(part, "__name__", type(part).__name__) for part in value
    )


@pytest.mark.parametrize(("part", "what_breaks"), REPLACED.items(), ids=map(_id, REPLACED))
def test_what_is_replaced_is_still_called_as_ours_is_written(
    part: tuple[Any, Any, str], what_breaks: str
) -> None:
    ours, theirs, name = part
    replaced: Callable[..., Any] | None = getattr(theirs, name, None)
    assert replaced is not None, f"{theirs.__name__}.{name} is gone: {what_breaks}"
    written: Callable[..., Any] = getattr(ours, name)
    assert written is not replaced, f"{name} is not replaced: {what_breaks}"
    assert _takes_what(inspect.signature(written), inspect.signature(replaced)), (
        f"{theirs.__name__}.{name}{inspect.signature(replaced)} is called otherwise than ours takes it: {what_breaks}"
    )


@pytest.mark.parametrize(("part", "what_breaks"), USED.items(), ids=map(_id, USED))
def test_what_is_used_is_still_there(part: tuple[Any, str], what_breaks: str) -> None:
    owner, name = part
    assert hasattr(owner, name), f"{owner}.{name} is gone: {what_breaks}"


def test_every_method_of_theirs_that_is_replaced_is_pinned() -> None:
    modules = (ROOT / f"workers/{name}.py" for name in ("kombu_patches", "pool"))
    parts = [part for module in modules for part in ast.parse(module.read_text()).body]
    classes = {ours.__name__: (ours, theirs) for ours, theirs, _ in REPLACED}
    replaced = {
        (*classes[node.name], function.name)
        for node in parts
        if isinstance(node, ast.ClassDef) and node.name in classes
        for function in node.body
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("__")
        if hasattr(classes[node.name][1], function.name)
    }
    assert replaced == REPLACED.keys()


def _takes_what(ours: inspect.Signature, theirs: inspect.Signature) -> bool:
    """Whether each call that theirs takes by position and by name can be made of ours."""
    kinds = {parameter.kind for parameter in ours.parameters.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds and inspect.Parameter.VAR_KEYWORD in kinds:
        return True
    taken = theirs.parameters
    missing = taken.keys() - ours.parameters.keys()
    required = {
        name
        for name, parameter in ours.parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    }
    variable = {
        name
        for name in missing
        if taken[name].kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        or inspect.Parameter.VAR_KEYWORD in kinds
        or inspect.Parameter.VAR_POSITIONAL in kinds
    }
    return required <= taken.keys() and missing == variable
