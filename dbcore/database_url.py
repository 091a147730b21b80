"""DATABASE_URL as hosting companies and other libraries write it, and where it leads.

What it means is libpq's matter; the form is brought to the one that SQLAlchemy reads. No part of what was given is
shown to anybody, except for the names of parameters.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from dbcore.pasted import address_in
from dbcore.sentences import Refusal, Sentence, sentence

SCHEME = "postgresql+psycopg2"
"""SQLAlchemy 2.1 resolves a bare `postgresql://` to psycopg 3."""

EXPECTED = sentence("expected {address}", address="postgresql://user:password@host:port/database")
PORT = 5432

_SCHEMES = re.compile(
    r"(?:postgres|postgresql)(?:\+(?:psycopg2|psycopg|psycopg_async|psycopg2cffi|asyncpg|aiopg|pg8000))?://",
    re.IGNORECASE,
)
_REST = r"(?P<hosts>(?:\[[^\]/?@]*\]|[^/?@\[\]])*)(?:/(?P<database>{database}))?(?:\?(?P<query>.*))?"
_PLAIN = re.compile(r"(?:(?P<user>[^:/?@]*)(?::(?P<password>[^/?@]*))?@)?" + _REST.format(database="[^?@]*"))
"""As libpq reads it."""
_LENIENT = re.compile(r"(?:(?P<user>[^:/?]*)(?::(?P<password>[^@]*))?@)?" + _REST.format(database="[^?]*"))
"""As SQLAlchemy reads it, which takes / and ? in a password for what they are."""
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|(?:[^\s:\[\]])*)(?::(?P<port>\d*))?")

_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
    "channel_binding": {"disable", "prefer", "require"},
    "gssencmode": {"disable", "prefer", "require"},
    "load_balance_hosts": {"disable", "random"},
    "sslnegotiation": {"postgres", "direct"},
}
_WHOLE_NUMBERS = {
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    "tcp_user_timeout",
}
_OF_LIBPQ = {
    *_CHOICES,
    *_WHOLE_NUMBERS,
    *(
        "service",
        "user",
        "password",
        "passfile",
        "dbname",
        "host",
        "hostaddr",
        "port",
        "client_encoding",
        "options",
    ),
    *("application_name", "fallback_application_name", "sslcompression", "sslcert", "sslkey", "sslcertmode"),
    *(
        "sslpassword",
        "sslrootcert",
        "sslcrl",
        "sslcrldir",
        "sslsni",
        "requirepeer",
        "require_auth",
        "requiressl",
    ),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib", "gssdelegation"),
}
_OF_OTHERS = {
    # Prisma
    *("pgbouncer", "connection_limit", "pool_timeout"),
    # asyncpg, psycopg 3, lib/pq, pgx, node-postgres: how they prepare statements and pool
    *("statement_cache_size", "prepared_statement_cache_size", "prepare_threshold", "binary_parameters"),
    *(
        "default_query_exec_mode",
        "statement_cache_capacity",
        "pool_max_conns",
        "pool_min_conns",
        "uselibpqcompat",
    ),
    # What Vercel and Symfony put there
    *("supa", "workaround", "serverversion", "charset"),
}
"""Parameters that mean something to other programs alone. Nothing is prepared here, and connections are bounded by
DB_CONNECTION_BUDGET."""

_JOINED = {"host": ",", "port": ",", "options": " "}
"""Where one that comes twice does not take the first one's place."""

_SSL = {
    "true": "require",
    "1": "require",
    "on": "require",
    "false": "disable",
    "0": "disable",
    "off": "disable",
}
"""asyncpg's and node-postgres' `ssl`, where it is not one of libpq's own words."""


def is_postgresql(text: str) -> bool:
    """Whether its scheme is one of PostgreSQL's, by whatever driver."""
    return _SCHEMES.match(text) is not None


def read_database_url(text: str) -> str:
    """The address in the form that SQLAlchemy hands to libpq as it was meant. Its own results it leaves as they are.

    Raises ValueError with a reason that shows no part of it.
    """
    text = address_in(text, "psql")
    if re.match(r"(?:host|hostaddr|port|user|password|dbname|sslmode)\s*=", text):
        raise Refusal(sentence("{expected}; libpq's form key=value is not understood", expected=EXPECTED))
    if re.match(r"jdbc:", text, re.IGNORECASE):
        raise Refusal(sentence("{expected}, without jdbc:", expected=EXPECTED))
    if not is_postgresql(text):
        raise Refusal(EXPECTED)
    rest = _SCHEMES.sub("", text, count=1)
    if "\0" in unquote(rest):
        raise Refusal(sentence("{expected} without %00, which no part of it can hold", expected=EXPECTED))
    parts = _PLAIN.fullmatch(rest)
    if parts is None or _hosts_of(parts["hosts"]) is None or _has_an_at(parts["query"] or ""):
        parts = _LENIENT.fullmatch(rest)
    if parts is None:
        raise Refusal(_why_not(rest))
    hosts = _hosts_of(parts["hosts"])
    if hosts is None:
        raise Refusal(_why_not(rest))

    query = _parameters(parts["query"] or "")
    host, port = ",".join(name for name, _ in hosts), ",".join(port for _, port in hosts)
    if "host" in query:
        host, port = _hosts_in(query.pop("host"), port)
    port = query.pop("port", port)
    several = len(host.split(","))
    port = ",".join([port] * several) if port.isdecimal() else port
    _check_ports(port, several)
    return _written(parts["user"], parts["password"], host, port, parts["database"], query)


def addresses(url: str) -> list[tuple[str, int] | str]:
    """Where libpq would connect to for the result of `read_database_url`: host and port, or a socket's path."""
    parts = _LENIENT.fullmatch(url.removeprefix(f"{SCHEME}://"))
    assert parts is not None  # noqa: S101  it was written here
    query = _parameters(parts["query"] or "")
    hosts = _hosts_of(parts["hosts"]) or []
    names = [name for name, _ in hosts if name] or [""]
    ports = [port for _, port in hosts if port]
    for given in (query.get("hostaddr"), query.get("host")):
        if given:
            names = given.split(",")
            break
    else:
        if names == [""]:
            names = (os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST") or _default_host()).split(",")
    if "port" in query:
        ports = query["port"].split(",")
    ports = ports or os.environ.get("PGPORT", "").split(",")
    ports = ports * len(names) if len(ports) == 1 else ports
    found: list[tuple[str, int] | str] = []
    for name, port in zip(names, ports, strict=False):
        number = int(port) if port.isdecimal() else PORT
        if name.startswith(("/", "@")):
            found.append(f"{name}/.s.PGSQL.{number}")
        else:
            found.append((name.strip("[]") or "localhost", number))
    return found


def _default_host() -> str:
    """libpq's own, which differs by who built it."""
    folders = [folder for folder in ("/var/run/postgresql", "/tmp") if Path(folder).is_dir()]  # noqa: S108
    sockets = [folder for folder in folders if any(Path(folder).glob(".s.PGSQL.*"))]
    return (sockets or ["localhost"])[0]


def _hosts_of(text: str) -> list[tuple[str, str]] | None:
    """Name and port of each; None where it is no list of hosts."""
    found = [_HOST.fullmatch(part) for part in text.split(",")]
    if any(match is None for match in found):
        return None
    return [(unquote(match["name"]), match["port"] or "") for match in found if match]


def _has_an_at(query: str) -> bool:
    """In a parameter's name: then the ? was the password's."""
    return any("@" in part.partition("=")[0] for part in query.split("&"))


def _hosts_in(given: str, ports: str) -> tuple[str, str]:
    """`host` of the query, with the ports apart as libpq has them: SQLAlchemy also has each with its host."""
    pairs = [name.split(":") if _has_port(name) else [name, ""] for name in given.split(",")]
    own = ",".join(port for _, port in pairs)
    return ",".join(name for name, _ in pairs), own if own.strip(",") else ports


def _has_port(name: str) -> bool:
    return name.count(":") == 1 and not name.startswith("/")


def _check_ports(ports: str, hosts: int) -> None:
    if len(ports.split(",")) not in {1, hosts}:
        raise Refusal(sentence("port: expected one for all hosts, or one a host"))
    for port in ports.split(","):
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port[:9]) < 65536):
            raise Refusal(sentence("{expected}; the port is not a number from 1 to 65535", expected=EXPECTED))


def _why_not(rest: str) -> Sentence:
    if rest.count("@") > 1:
        return sentence("{expected}, an @ in the password written %40", expected=EXPECTED)
    return sentence("{expected}; the port is not a number, or the host is none", expected=EXPECTED)


def _parameters(query: str) -> dict[str, str]:
    """By name, as libpq knows them."""
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        name, value = unquote(name), unquote(value)
        if not value:
            continue
        lower = name.lower()
        if lower == "ssl":
            name, value = "sslmode", _SSL.get(value.lower(), value)
        elif lower in {"schema", "currentschema"}:
            if value == "public":
                continue
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", value):
                raise Refusal(sentence("{name}: expected the name of a schema", name=name))
            name, value = "options", f"-csearch_path={value}"
        elif lower in _OF_OTHERS:
            continue
        elif not equals or name not in _OF_LIBPQ:
            raise Refusal(_unknown(name))
        if name in _CHOICES and value not in _CHOICES[name]:
            raise Refusal(
                sentence("{name}: expected {values}", name=name, values=", ".join(sorted(_CHOICES[name])))
            )
        if name in _WHOLE_NUMBERS and not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise Refusal(sentence("{name}: expected a whole number", name=name))
        if name in found and name in _JOINED:
            value = f"{found[name]}{_JOINED[name]}{value}"
        found[name] = value
    return found


def _unknown(name: str) -> Sentence:
    if not re.fullmatch(r"[A-Za-z][A-Za-z_]{0,40}", name):
        return sentence(
            "{expected}; after the ? stand parameters such as sslmode=require, and a ? in the password is %3F",
            expected=EXPECTED,
        )
    return sentence("the parameter {name} is none of libpq's; leave it out", name=name)


def _written(
    user: str | None, password: str | None, host: str, port: str, database: str | None, query: dict[str, str]
) -> str:
    """With the host in its usual place where it is one of TCP, else in the query."""
    text = ""
    if user is not None:
        text = quote(unquote(user), safe="")
        text += "@" if password is None else f":{quote(unquote(password), safe='')}@"
    if re.fullmatch(r"[^,/@]*", host) and "," not in port:
        text += host + (f":{port}" if port else "")
    else:
        host = host.replace("[", "").replace("]", "")
        query = {"host": host, **({"port": port} if port.strip(",") else {}), **query}
    if database is not None:
        text += f"/{quote(unquote(database), safe='')}"
    elif query:
        text += "/"
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f"{SCHEME}://{text}" + (f"?{pairs}" if pairs else "")
