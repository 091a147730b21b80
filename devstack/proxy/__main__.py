"""A proxy by hand: `python -m devstack.proxy --to 127.0.0.1:5432 --port 6000 --cut COMMIT`.

Prints each message that passes. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import signal
import sys

from devstack.proxy.proxy import FaultProxy
from devstack.proxy.rules import Answer, Cut, Delay, On, Rule, ServerError, Silence
from devstack.proxy.wire import Message, Side, Wire


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text!r}")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack.proxy", description=__doc__)
    parser.add_argument("--to", type=_address, required=True, metavar="HOST:PORT", help="the server")
    parser.add_argument("--port", type=int, default=0, help="where to listen; default: a free port")
    parser.add_argument("--redis", action="store_true", help="pass bytes as they come")
    parser.add_argument("--times", type=int, help="how often the faults below happen; default: always")
    parser.add_argument("--cut", metavar="SQL", help="cut before a statement that contains SQL")
    parser.add_argument("--lose", metavar="SQL", help="cut when the server has done the statement")
    parser.add_argument("--silence", metavar="SQL", help="say nothing from such a statement on")
    parser.add_argument("--refuse", metavar="TEXT", help="answer each connect by this error")
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="hold each answer back")
    return parser


def _rules(options: argparse.Namespace) -> list[Rule]:
    times: int | None = options.times
    rules = []
    if options.cut is not None:
        rules.append(Rule(On(statement=options.cut), Cut(), times))
    if options.lose is not None:
        rules.append(Rule(On(Side.SERVER, kind="C", statement=options.lose), Cut(), times))
    if options.silence is not None:
        rules.append(Rule(On(statement=options.silence), Silence(), times))
    if options.refuse is not None:
        rules.append(Rule(On(kind="Startup"), Answer(ServerError(options.refuse, severity="FATAL")), times))
    if options.delay is not None:
        rules.append(Rule(On(Side.SERVER), Delay(options.delay), times))
    return rules


def _print(message: Message) -> None:
    text = " ".join(message.statement.split())[:90] if message.side is Side.CLIENT else ""
    print(f"{message}  {text}".rstrip(), flush=True)


def main() -> None:
    options = _parser().parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    wire = Wire.BYTES if options.redis else Wire.POSTGRES
    try:
        proxy = FaultProxy(*options.to, port=options.port, wire=wire, on_message=_print)
        proxy.start()
    except OSError as error:
        sys.exit(f"cannot listen on port {options.port}: {error.strerror}")
    for rule in _rules(options):
        proxy.add(rule)
    print(f"127.0.0.1:{proxy.port} passes to {options.to[0]}:{options.to[1]}", flush=True)
    signal.sigwait(signals)
    proxy.stop()


if __name__ == "__main__":
    main()
