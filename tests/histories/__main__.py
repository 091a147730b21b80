"""`python -m tests.histories --count 100000 --seed 1`: random histories of the ledger against a model, and an audit."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from pydantic import SecretStr

from ballast.cli.audit_text import report
from ballast.process.logs import configure_logging
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.audit import audit
from dbcore.migrate import upgrade
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from tests.chaos.report import machine
from tests.harness.servers import temporary_folder
from tests.histories.histories import Histories
from tests.histories.withdrawals import WithdrawalHistories


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--withdrawals", action="store_true", help="of deposits, disputes and withdrawals")
    options = parser.parse_args()
    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", free_port(), durable=False)
        server.start()
        try:
            upgrade(server.url)
            settings = Settings(_env_file=None, database_url=SecretStr(server.url))
            engine = GuardedEngine(settings)
            histories = WithdrawalHistories(engine) if options.withdrawals else Histories(engine)
            started = time.monotonic()
            histories.run(options.seed, options.count)
            seconds = time.monotonic() - started
            engine.dispose()
            findings = audit(server.url)
        finally:
            server.stop()
    print(report(findings))
    steps = sum(histories.seen.values())
    print(
        f"{options.count:,} histories of seed {options.seed}, {steps:,} steps in {seconds:.0f} s, each as the model "
        f"says; {machine()}"
    )
    for what, count in histories.seen.most_common():
        print(f"  {count:>9,}  {what}")
    return 0 if all(finding.ok for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
