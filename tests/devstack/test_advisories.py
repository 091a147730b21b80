"""The audit of pinned packages, by the real pip-audit, against a service of advisories that we play."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devstack.advisories import audit
from devstack.ports import free_port

ADVISORY = {
    "id": "PYSEC-2026-1",
    "summary": "it lets everybody in",
    "affected": [
        {
            "package": {"name": "six", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Knows one advisory, about `six`."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [ADVISORY]} if asked["package"]["name"] == "six" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""


@contextmanager
def service() -> Iterator[list[str]]:
    """pip-audit's options to ask it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield options(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def options(port: int) -> list[str]:
    return ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{port}/"]


def pinned(folder: Path, *packages: str) -> list[Path]:
    file = folder / "requirements.txt"
    file.write_text("\n".join(packages))
    return [file]


def test_a_package_with_a_known_vulnerability_fails_the_check_by_name(tmp_path: Path) -> None:
    with service() as asked:
        well, said = audit(pinned(tmp_path, "six==1.17.0", "vine==5.1.0"), asked)
    assert not well
    assert "six 1.17.0: PYSEC-2026-1, mended in 99.0" in said
    assert "2 of 2 packages audited" in said


def test_packages_without_one_pass(tmp_path: Path) -> None:
    with service() as asked:
        assert audit(pinned(tmp_path, "vine==5.1.0"), asked) == (True, "1 of 1 packages audited")


def test_a_service_that_is_not_reached_is_said_and_fails_nothing(tmp_path: Path) -> None:
    well, said = audit(pinned(tmp_path, "six==1.17.0"), options(free_port()))
    assert well
    assert said.startswith("not audited: ")


def test_where_a_number_is_demanded_fewer_audited_packages_fail(tmp_path: Path) -> None:
    requirements = pinned(tmp_path, "vine==5.1.0")
    assert not audit(requirements, options(free_port()), audited_min=1)[0]
    with service() as asked:
        assert audit(requirements, asked, audited_min=1)[0]
        well, said = audit(requirements, asked, audited_min=2)
    assert not well
    assert said.endswith("; expected at least 2")


def test_every_package_of_the_project_is_pinned_so_that_it_can_be_audited() -> None:
    with service() as asked:
        done = subprocess.run(
            [sys.executable, "-m", "devstack.advisories", *asked],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
    # The advisory about six, which is one of them, and nothing else.
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("PYSEC") == 1
    audited, _, of_all = done.stdout.removeprefix("advisories: ").split()[:3]
    assert audited == of_all
