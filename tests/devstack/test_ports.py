"""Ports for servers of tests."""

from __future__ import annotations

import socket

import pytest

from devstack.ports import HOST, free_port


def test_a_port_that_was_handed_out_is_a_server_s_and_no_other_call_s() -> None:
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=10)
    with socket.socket() as another_call, pytest.raises(OSError, match="in use"):
        another_call.bind((HOST, port))
    with socket.create_server((HOST, port)), socket.create_connection((HOST, port), timeout=10):
        pass
