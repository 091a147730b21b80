"""REDIS_URL as hosting companies write it, in the form that redis-py reads, and as Celery needs it.

redis-py, kombu and Flower each read addresses in a way of their own: kombu verifies no certificate unless told to, and
takes no `protocol`; Flower takes nothing but host, port and password. So the address is read here once, and each is
given what it means. No part of what was given is shown to anybody, except for the names of parameters.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from dbcore.pasted import address_in
from dbcore.sentences import Refusal, sentence

EXPECTED = sentence(
    "expected redis://:password@host:port/database, or rediss:// with TLS, or unix:///path/to/socket"
)
DATABASE_MAX = 2**31 - 1

_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
}
_STRICTNESS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_OF_TLS = {
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
}
_OF_OTHERS = {"family", "dnslookup", "tls"}
"""What other clients want there, and what says nothing more here."""
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """Read from an address by `read_redis_url`."""

    scheme: str
    host: str
    """As addresses have it, an IPv6 one in brackets; empty for a socket."""
    port: int | None
    path: str
    """Of a socket."""
    user: str
    password: str
    database: int
    protocol: int | None
    tls: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """For redis-py."""
        query = dict(self.tls)
        if self.protocol is not None:
            query["protocol"] = str(self.protocol)
        if self.path:
            query["db"] = str(self.database)
            place = quote(self.path)
        else:
            place = f"{self._authority}/{self.database}"
        pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.scheme}://{self._credentials}{place}" + (f"?{pairs}" if pairs else "")

    @property
    def for_celery(self) -> str:
        """`broker_url`: what else there is comes by other settings of Celery's."""
        if self.path:
            return f"redis+socket://{self._credentials}{quote(self.path)}?virtual_host={self.database}"
        return f"{self.scheme}://{self._credentials}{self._authority}/{self.database}"

    @property
    def tls_options(self) -> dict[str, Any] | None:
        """`broker_use_ssl`, and the options of redis-py's connections; None without TLS."""
        if self.scheme != "rediss":
            return None
        options: dict[str, Any] = {**dict(self.tls), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        for name, value in self.tls:
            if name == "ssl_cert_reqs":
                options[name] = _STRICTNESS[value]
            elif name == "ssl_check_hostname":
                options[name] = value == "True"
        return options

    @property
    def _credentials(self) -> str:
        if not self.user and not self.password:
            return ""
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"

    @property
    def _authority(self) -> str:
        return self.host + (f":{self.port}" if self.port else "")


def read_redis_url(text: str) -> RedisUrl:
    """Raises ValueError with a reason that shows no part of the text."""
    address = address_in(text, "redis-cli", "--tls", "-u")
    given, separator, rest = address.partition("://")
    scheme = _SCHEMES.get(given.lower())
    if not separator or scheme is None:
        raise Refusal(EXPECTED)
    if scheme == "redis" and re.search(r"\s--tls\s", text):
        scheme = "rediss"
    if "\0" in unquote(rest):
        raise Refusal(sentence("{expected}; %00 can be in no part of it", expected=EXPECTED))
    # Not urlsplit: what it raises may quote what it was given.
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    try:
        return _read(scheme, netloc, slash + path, query, fragment)
    except ValueError as error:
        if "@" not in netloc and "@" in path + query + fragment:
            raise Refusal(
                sentence("a / in the password is written %2F, a ? %3F, a # %23, an @ %40")
            ) from None
        raise error from None


def _read(scheme: str, netloc: str, path: str, query: str, fragment: str) -> RedisUrl:
    if fragment:
        raise Refusal(sentence("a # in the password is written %23, and nothing else has one"))
    credentials, _, authority = netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    parameters = _parameters(query)
    database = parameters.pop("db", parameters.pop("virtual_host", ""))
    if scheme == "unix":
        if authority or not path.strip("/"):
            raise Refusal(
                sentence("expected unix:///path/to/socket, or unix://:password@/path/to/socket?db=0")
            )
        host, port = "", None
    else:
        host, port = _host_and_port(authority)
        database = database or unquote(path).strip("/")
    tls = {name: parameters.pop(name) for name in list(parameters) if name in _OF_TLS}
    if tls and scheme != "rediss":
        raise Refusal(sentence("{name} is of TLS: expected rediss://", name=next(iter(tls))))
    return RedisUrl(
        scheme=scheme,
        host=host,
        port=port,
        path=unquote(path) if scheme == "unix" else "",
        user=unquote(user),
        password=unquote(password),
        database=_database(database),
        protocol=_protocol(parameters.pop("protocol", None)),
        tls=tuple((name, _of_tls(name, value)) for name, value in tls.items()),
    )


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:,]*)(?::([0-9]{0,5}))?", authority)
    if match is None or (match[2] and not 0 < int(match[2]) < 65536):
        if "," in authority:
            raise Refusal(
                sentence("expected one host; for several, put a proxy that follows the primary before them")
            )
        raise Refusal(
            sentence(
                "{expected}; the port is not a number from 1 to 65535, or the host is none", expected=EXPECTED
            )
        )
    return match[1] or "localhost", int(match[2]) if match[2] else None


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,10}", text) or int(text or 0) > DATABASE_MAX:
        raise Refusal(sentence("the database after the / is not a number such as 0"))
    return int(text or 0)


def _protocol(text: str | None) -> int | None:
    if text is not None and text not in {"2", "3"}:
        raise Refusal(sentence("protocol: expected 2 or 3"))
    return None if text is None else int(text)


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        lower = name.lower()
        if lower in _OF_OTHERS:
            continue
        if lower not in {*_OF_TLS, "db", "virtual_host", "protocol"}:
            if not re.fullmatch(r"[A-Za-z][A-Za-z_]{0,40}", name):
                raise Refusal(sentence("{expected}; a ? in the password is written %3F", expected=EXPECTED))
            raise Refusal(sentence("the parameter {name} is not known here; leave it out", name=name))
        found[lower] = value
    return found


def _of_tls(name: str, value: str) -> str:
    """In redis-py's spelling."""
    lower = value.lower()
    if name == "ssl_cert_reqs":
        lower = lower.removeprefix("ssl.").removeprefix("cert_")
        if lower not in _STRICTNESS:
            raise Refusal(sentence("ssl_cert_reqs: expected required, optional or none"))
        return lower
    if name == "ssl_check_hostname":
        if lower not in _TRUE | _FALSE:
            raise Refusal(sentence("ssl_check_hostname: expected true or false"))
        return str(lower in _TRUE)
    if not value:
        raise Refusal(sentence("{name}: expected a path", name=name))
    return value
