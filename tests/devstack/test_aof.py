"""After a power cut the embedded Redis has what it acknowledged, or says what is in the way and how to remove it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from devstack.aof import cut, newest_in, repair, whole_bytes
from devstack.embedded import EmbeddedServerError
from devstack.options import StartRefused
from devstack.ports import free_port
from devstack.redis import DAMAGED_WORDS, EmbeddedRedis


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedRedis]:
    """Killed, with two writes and a transaction on its disk."""
    server = EmbeddedRedis(open_folder / ".ballast" / "redis", free_port())
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("one", 1)
        client.set("two", "2\r\n$3\r\n")
        with client.pipeline(transaction=True) as pipeline:
            pipeline.set("three", 3)
            pipeline.set("four", 4)
            pipeline.execute()
    server.kill()
    yield server
    server.kill()


def appended(server: EmbeddedRedis) -> Path:
    return newest_in(server.data_dir / "appendonlydir")


def kept(server: EmbeddedRedis) -> set[str]:
    server.start()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return set(client.keys())


@pytest.mark.parametrize(
    "tail", [bytes(4096), b"*3\r\n$3\r\nSE", b"*1\r\n$5\r\nMULTI\r\n*1\r\n$2\r\nno", b"garbage"]
)
def test_a_damaged_end_is_cut_off_and_nothing_else(server: EmbeddedRedis, tail: bytes) -> None:
    file = appended(server)
    before = file.read_bytes()
    file.write_bytes(before + tail)
    done = cut(file)
    assert (done.bytes_before, done.bytes_kept) == (len(before) + len(tail), len(before))
    assert done.copy is not None
    assert done.copy.read_bytes() == before + tail
    assert kept(server) == {"one", "two", "three", "four"}


def test_a_file_that_is_whole_stays_as_it_is(server: EmbeddedRedis) -> None:
    file = appended(server)
    assert whole_bytes(file) == file.stat().st_size
    assert cut(file).copy is None


def test_half_a_transaction_is_cut_off_whole(server: EmbeddedRedis) -> None:
    file = appended(server)
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"four") + 2])
    cut(file)
    assert kept(server) == {"one", "two"}


def test_a_second_repair_keeps_the_first_copy_too(server: EmbeddedRedis) -> None:
    file = appended(server)
    copies = set()
    for _ in range(2):
        file.write_bytes(file.read_bytes() + bytes(10))
        copies.add(cut(file).copy)
    assert len(copies) == 2


def test_a_redis_that_cannot_read_its_file_is_never_taken_for_ready(server: EmbeddedRedis) -> None:
    file = appended(server)
    file.write_bytes(file.read_bytes() + bytes(4096))
    with pytest.raises(EmbeddedServerError):
        server.start()
    assert DAMAGED_WORDS in server.data_dir.with_name("redis.log").read_text()
    repair(server.data_dir.parents[1])
    assert kept(server) == {"one", "two", "three", "four"}


def test_without_a_file_the_repair_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="no append-only file"):
        repair(tmp_path)
