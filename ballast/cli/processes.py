"""`ballast frontend|worker|beat|flower|celery`: the processes of Ballast, each in this one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ballast.cli.commands import Process, require_extra
from ballast.queueing.queues import QUEUES, WORKERS
from ballast.texts import gettext


class _CeleryCommand(Process):
    """Has options of its own, and hands on those after `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            unknown = gettext(
                "No such option: {option}. Celery's own options go after --, as in: {command}",
                option=error.option_name,
                command=f"{ctx.command_path} -- {error.option_name}",
            )
            raise click.UsageError(unknown, ctx) from None


def _worker_first(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """The worker that is named, and Celery's options."""
    if value and value[0] in WORKERS:
        return value[0], _options_only(ctx, param, value[1:])
    if value and not value[0].startswith("-"):
        raise click.BadParameter(
            gettext(
                "expected {names}, or options of Celery after --; got {text}",
                names=", ".join(WORKERS),
                text=repr(value[0]),
            )
        )
    return None, value


def _options_only(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0].startswith("-"):
        raise click.BadParameter(
            gettext("expected options of Celery after --; got {text}", text=repr(value[0]))
        )
    return value


def _queues(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    unknown = [name for name in (value or "").split(",") if value is not None and name not in QUEUES]
    if unknown:
        raise click.BadParameter(
            gettext("expected some of {names}; got {text}", names=", ".join(QUEUES), text=repr(unknown[0]))
        )
    return value


_celery_options = click.argument(
    "celery_options",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[-- CELERY_OPTIONS]",
    callback=_options_only,
)


@click.command(cls=Process)
def frontend() -> None:
    """Take updates from Telegram, and serve the operators' pages."""
    from bot_frontend.__main__ import main

    main()


@click.command(cls=_CeleryCommand)
@click.option(
    "--queues", "-Q", metavar="NAMES", callback=_queues, help=f"Some of {','.join(QUEUES)}. Default: all."
)
@click.option(
    "--concurrency", "-c", type=click.IntRange(1), metavar="N", help="Jobs at a time. Default: one per core."
)
@click.option("--name", "-n", help="A name of its own, needed for several workers on one host, such as main.")
@click.argument(
    "named",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar=f"[{'|'.join(WORKERS)}] [-- CELERY_OPTIONS]",
    callback=_worker_first,
)
def worker(
    *,
    queues: str | None,
    concurrency: int | None,
    name: str | None,
    named: tuple[str | None, tuple[str, ...]],
) -> None:
    """Do jobs, and send the answers: `celery -A workers worker`.

    `main`, `bulk` and `light` are the workers that `ballast run` starts: main does what people ask, bulk sends
    broadcasts, and light sends answers and looks after health. Each has its queues, concurrency and name, unless
    options say otherwise.
    """
    which, celery_options = named
    if which is not None:
        standard_queues, standard_concurrency = WORKERS[which]
        queues = queues or standard_queues
        concurrency = concurrency or standard_concurrency
        name = name or which
    arguments = ["worker"]
    if name is not None:
        arguments += ["-n", name if "@" in name else f"{name}@%h"]
    if queues is not None:
        arguments += ["-Q", queues]
    if concurrency is not None:
        arguments += ["--concurrency", str(concurrency)]
    _become_celery(*arguments, *celery_options)


@click.command(cls=_CeleryCommand)
@click.option(
    "--schedule",
    "-s",
    type=click.Path(path_type=Path),
    help="Where it keeps when it last ran each task. Default: celerybeat-schedule.",
)
@_celery_options
def beat(*, schedule: Path | None, celery_options: tuple[str, ...]) -> None:
    """Ask for health probes, and wake broadcasts: `celery -A workers beat`."""
    arguments = [] if schedule is None else ["-s", str(schedule)]
    _become_celery("beat", *arguments, *celery_options)


@click.command(cls=_CeleryCommand)
@click.option("--address", help="Where to listen. Default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: FLOWER_PORT, or 5555.")
@_celery_options
def flower(*, address: str | None, port: int | None, celery_options: tuple[str, ...]) -> None:
    """Show Celery's workers and tasks on a page: `celery -A workers flower`.

    Its password is FLOWER_BASIC_AUTH; otherwise it draws one and prints it.
    """
    require_extra("flower", "flower")
    arguments = [] if address is None else [f"--address={address}"]
    if port is not None:
        arguments.append(f"--port={port}")
    _become_celery("flower", *arguments, *celery_options)


@click.command(
    cls=Process,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def celery(*, arguments: tuple[str, ...]) -> None:
    """Run Celery's own command on Ballast's app: `ballast celery inspect ping`."""
    _become_celery(*arguments)


def _become_celery(*arguments: str) -> None:
    """This process is what `celery -A workers …` starts, from any folder: workers is imported before Celery looks for
    it in the current folder, where another package may have that name.
    """
    sys.argv = ["celery", "-A", "workers", *arguments]
    from celery.__main__ import main

    import workers.celery  # noqa: F401

    main()
