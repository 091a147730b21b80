"""A stand-in for S3 that knows no request whose signature (version 4) is not right. What it keeps is in memory."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET, REGION, BUCKET = "AKIDEXAMPLE", "a secret/with+signs", "eu-test-1", "backups"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)"
)


@dataclass
class Storage:
    """objects -- by their keys. refused -- requests that were not signed as they must be. loses -- a key whose bytes it
    changes when it stores them. holds -- what is sent while it is true is never stored nor answered; `held` says that
    something was.
    """

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    refused: int = 0
    uploads: int = 0
    loses: str = ""
    holds: bool = False
    held: threading.Event = field(default_factory=threading.Event)


def signature_of(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[str, str]:
    """What the request has for a signature, and what it must be."""
    found = _AUTHORIZATION.match(handler.headers.get("authorization", ""))
    if found is None:
        return "", "none"
    key, day, region, signed, given = found.groups()
    parts = urlsplit(handler.path)
    query = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(parts.query, True))
    stated = handler.headers["x-amz-content-sha256"]
    if stated != "UNSIGNED-PAYLOAD" and stated != hashlib.sha256(body).hexdigest():
        return given, "of another body"
    canonical = "\n".join(
        [
            handler.command,
            quote(unquote(parts.path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(handler.headers[name].split())}" for name in signed.split(";")),
            "",
            signed,
            stated,
        ]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{handler.headers['x-amz-date']}\n{scope}\n{digest}"
    secret = f"AWS4{SECRET}".encode()
    for part in (day, region, "s3", "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    expected = hmac.digest(secret, to_sign.encode(), "sha256").hex()
    return given, expected if (key, region) == (KEY, REGION) else "another key's"


class _Handler(BaseHTTPRequestHandler):
    storage: Storage
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        given, expected = signature_of(self, body)
        if given != expected:
            self.storage.refused += 1
            self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message></Error>")
            return
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, True))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            self._answer(404, b"<Error><Code>NoSuchBucket</Code><Message>No such bucket.</Message></Error>")
        elif "list-type" in query:
            self._list(query.get("prefix", ""))
        else:
            getattr(self, f"_{self.command.lower()}")(key, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do  # noqa: N815  as http.server calls them

    def _list(self, prefix: str) -> None:
        found = "".join(
            f'<Contents><Key>{escape(key)}</Key><Size>{len(value)}</Size><ETag>"e"</ETag>'
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, value in sorted(self.storage.objects.items())
            if key.startswith(prefix)
        )
        self._answer(
            200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()
        )

    def _get(self, key: str, query: dict[str, str], body: bytes) -> None:
        value = self.storage.objects.get(key)
        if value is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>No such key.</Message></Error>")
            return
        self._answer(200, value, ETag='"e"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")

    _head = _get

    def _put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if self.storage.holds:
            self.storage.held.set()
            self.close_connection = True
            self.connection.recv(1)  # until the sender is gone
            return
        if "uploadId" in query:
            self.storage.parts[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self._store(key, body)
        self._answer(200, ETag='"e"')

    def _post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            self.storage.uploads += 1
            upload = str(self.storage.uploads)
            self.storage.parts[upload] = {}
            answer = f"<R><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId></R>"
            self._answer(
                200,
                answer.replace("<R>", "<InitiateMultipartUploadResult>")
                .replace("</R>", "</InitiateMultipartUploadResult>")
                .encode(),
            )
        elif "uploadId" in query:
            parts = self.storage.parts.pop(query["uploadId"])
            self._store(key, b"".join(parts[number] for number in sorted(parts)))
            self._answer(
                200, b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>'
            )
        else:  # delete of many
            keys = re.findall(rb"<Key>([^<]+)</Key>", body)
            for each in keys:
                self.storage.objects.pop(each.decode(), None)
            done = b"".join(b"<Deleted><Key>" + each + b"</Key></Deleted>" for each in keys)
            self._answer(200, b"<DeleteResult>" + done + b"</DeleteResult>")

    def _delete(self, key: str, query: dict[str, str], body: bytes) -> None:
        self.storage.objects.pop(key, None)
        self._answer(204)

    def _store(self, key: str, value: bytes) -> None:
        self.storage.objects[key] = (
            value[:-1] + b"?" if self.storage.loses and self.storage.loses in key else value
        )


@contextmanager
def running_storage() -> Iterator[Storage]:
    storage = Storage()
    handler = type("Handler", (_Handler,), {"storage": storage})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    storage.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
