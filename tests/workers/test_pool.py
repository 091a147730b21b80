"""The pool of a worker's parent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devstack.stack import ROOT

HANDED_OVER = """
import sys, time
from pathlib import Path
from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR
from celery.concurrency.prefork import TaskPool
from kombu.asynchronous import Hub, set_event_loop
from workers import kombu_patches

kombu_patches.install()
folder, until = Path(sys.argv[1]), time.monotonic() + 60
hub = Hub()
set_event_loop(hub)
pool = TaskPool.Pool(processes=2, sched_strategy=SCHED_STRATEGY_FAIR, synack=False, threads=False)
pool.register_with_event_loop(hub)
turns = hub.create_loop()
while len(pool._all_inqueues) < 2:
    next(turns)
# The event loop does not come round any more.
for name in ("first", "second"):
    pool.apply_async(Path.mkdir, (folder / name,))
pool.apply_async(Path.mkdir, (folder / "third",))
while len([*folder.iterdir()]) < 2 and time.monotonic() < until:
    time.sleep(0.01)
print(sorted(path.name for path in folder.iterdir()), len(pool.outbound_buffer))
pool.terminate()
"""


def test_each_idle_child_is_handed_a_job_at_once_and_no_child_two(tmp_path: Path) -> None:
    """Celery does so only when its event loop comes round again. The third waits in the parent, for either child."""
    (folder := tmp_path / "made").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", HANDED_OVER, folder], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.stdout.strip() == "['first', 'second'] 1", done.stderr
