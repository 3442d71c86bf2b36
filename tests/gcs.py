# SPDX-License-Identifier: Apache-2.0
"""A server that speaks as much of Google Cloud Storage's JSON API as we use."""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import http.server
import itertools
import json
import re
import threading
from collections.abc import Iterator
from urllib import parse

import pytest

PAGE = 7  # names of a listing; small, so that there are several


@dataclasses.dataclass(frozen=True)
class Stored:
  """One version of an object."""

  content: bytes
  generation: int


class Storage:
  """Buckets by name, and what the server was asked."""

  def __init__(self, *buckets: str, fail_every: int = 0):
    """Args: names of buckets; of how many requests one fails, 0: none."""
    self.buckets: dict[str, dict[str, Stored]] = {name: {} for name in buckets}
    self.uploads: dict[str, tuple[str, str, dict, bytearray]] = {}
    self.lock = threading.RLock()
    self.fail_every = fail_every
    self.count = itertools.count(1)
    self.asked: list[str] = []
    self.failed = 0
    self.url = ""

  def names(self, bucket: str) -> list[str]:
    """All objects."""
    with self.lock:
      return sorted(self.buckets[bucket])

  def put(self, bucket: str, name: str, content: bytes) -> Stored:
    """Makes or replaces an object."""
    with self.lock:
      stored = Stored(content, next(self.count))
      self.buckets[bucket][name] = stored
      return stored


class _Refused(Exception):
  """A status other than success."""


@functools.cache
def _shared() -> Storage:
  """One server a process, because TensorStore keeps to the first it is told.

  It is never told to end: an interpreter that is ending has no more threads
  that could hear it.
  """
  storage = Storage("bucket")
  handler = type("Handler", (_Handler,), {"storage": storage})
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
  server.daemon_threads = True
  server.handle_error = lambda request, address: None  # who asked has gone
  storage.url = f"http://127.0.0.1:{server.server_port}"
  threading.Thread(target=server.serve_forever, daemon=True).start()
  return storage


@contextlib.contextmanager
def used() -> Iterator[Storage]:
  """An empty bucket, gs://bucket, for this process."""
  storage = _shared()
  storage.buckets = {"bucket": {}}
  storage.fail_every = 0
  with pytest.MonkeyPatch.context() as patch:
    for name, value in environment(storage).items():
      patch.setenv(name, value)
    pytest.importorskip("gcsfs")  # which looks at them when it is imported
    yield storage


def environment(storage: Storage) -> dict[str, str]:
  """What makes gcsfs, Google's own client and TensorStore ask the server."""
  return {
    "STORAGE_EMULATOR_HOST": storage.url,
    "TENSORSTORE_GCS_HTTP_URL": storage.url,
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "nobody",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it speaks gRPC
    "NO_GCE_CHECK": "true",
  }


class _Handler(http.server.BaseHTTPRequestHandler):
  """One connection."""

  protocol_version = "HTTP/1.1"
  storage: Storage

  def log_message(self, format, *args):
    """Says nothing."""

  def handle_any(self):
    """Answers a request."""
    url = parse.urlsplit(self.path)
    query = dict(parse.parse_qsl(url.query, keep_blank_values=True))
    size = int(self.headers.get("Content-Length") or 0)
    body = self.rfile.read(size)
    if self.headers.get("Transfer-Encoding") == "chunked":
      body = self.read_chunks()
    storage = self.storage
    with storage.lock:
      storage.asked.append(f"{self.command} {self.path}")
      if storage.fail_every and len(storage.asked) % storage.fail_every == 0:
        storage.failed += 1
        self.answer(503, {"error": {"code": 503, "message": "Unavailable"}})
        return
      try:
        self.route(self.command, url.path, query, body)
      except _Refused as refusal:
        code, message = refusal.args
        self.answer(code, {"error": {"code": code, "message": message}})

  do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

  def read_chunks(self) -> bytes:
    """The body of a request that does not say how long it is."""
    body = b""
    while size := int(self.rfile.readline().split(b";")[0], 16):
      body += self.rfile.read(size)
      self.rfile.readline()
    self.rfile.readline()
    return body

  def answer(self, code: int, value: object = None, headers=None) -> None:
    """Sends JSON, or bytes as they are."""
    content = value if isinstance(value, bytes) else b""
    kind = "application/octet-stream"
    if value is not None and not isinstance(value, bytes):
      content, kind = json.dumps(value).encode(), "application/json"
    self.send_response(code)
    for name, text in {"Content-Type": kind, **(headers or {})}.items():
      self.send_header(name, text)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  def route(self, method: str, path: str, query: dict, body: bytes) -> None:
    """Finds out what is meant, and does it."""
    if upload := query.get("upload_id"):
      return self.resume(method, upload, body)
    found = re.fullmatch(
      r"/(?:upload/|download/)?storage/v1/b/([^/]+)(?:/(o)(?:/(.*))?)?", path
    )
    if not found:
      raise _Refused(400, f"no such thing: {path}")
    bucket, is_objects, rest = found.groups()
    bucket = parse.unquote(bucket)
    if bucket not in self.storage.buckets:
      raise _Refused(404, "The specified bucket does not exist.")
    if not is_objects:
      return self.answer(200, {"kind": "storage#bucket", "name": bucket})
    if rest is None:
      if method == "POST":
        return self.insert(bucket, query, body)
      return self.list(bucket, query)
    moved = re.fullmatch(r"(.+)/moveTo/o/(.+)", rest)
    if method == "POST" and moved:
      source, name = map(parse.unquote, moved.groups())
      content = self.get(bucket, source).content
      del self.storage.buckets[bucket][source]
      stored = self.storage.put(bucket, name, content)
      return self.answer(200, _resource(bucket, name, stored))
    name = parse.unquote(rest)
    if method == "DELETE":
      self.check(bucket, name, query)
      self.get(bucket, name)
      del self.storage.buckets[bucket][name]
      return self.answer(204)
    stored = self.get(bucket, name)
    if query.get("alt") == "media":
      return self.send(bucket, name, stored)
    return self.answer(200, _resource(bucket, name, stored))

  def get(self, bucket: str, name: str) -> Stored:
    """An object."""
    stored = self.storage.buckets[bucket].get(name)
    if stored is None:
      raise _Refused(404, f"No such object: {bucket}/{name}")
    return stored

  def check(self, bucket: str, name: str, query: dict) -> None:
    """Holds a request to the version that it is for; 0 is none."""
    wanted = query.get("ifGenerationMatch")
    stored = self.storage.buckets[bucket].get(name)
    if wanted is not None and int(wanted) != (
      stored.generation if stored else 0
    ):
      raise _Refused(412, "conditionNotMet")

  def send(self, bucket: str, name: str, stored: Stored) -> None:
    """The content of an object, or a part of it."""
    resource, size = _resource(bucket, name, stored), len(stored.content)
    headers = {
      "x-goog-generation": resource["generation"],
      "x-goog-stored-content-length": str(size),
      "ETag": resource["etag"],
    }
    found = re.fullmatch(
      r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "bytes=0-"
    )
    assert found
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if self.headers.get("Range") is None:
      return self.answer(200, stored.content, headers)
    if start >= size:
      raise _Refused(416, "Requested range not satisfiable")
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return self.answer(206, stored.content[start:stop], headers)

  def list(self, bucket: str, query: dict) -> None:
    """A page of objects and, with a delimiter, of folders."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
    rows: dict[str, Stored | None] = {}
    for name, stored in sorted(self.storage.buckets[bucket].items()):
      if not name.startswith(prefix):
        continue
      if not query.get("startOffset", "") <= name:
        continue
      if "endOffset" in query and name >= query["endOffset"]:
        continue
      inside, found, _ = name[len(prefix) :].partition(delimiter or "\0")
      rows |= {prefix + inside + delimiter: None} if found else {name: stored}
    rest = [name for name in rows if name > query.get("pageToken", "")]
    size = min(PAGE, int(query.get("maxResults", PAGE)))
    page, more = rest[:size], len(rest) > size
    value: dict[str, object] = {"kind": "storage#objects"}
    value["items"] = [
      _resource(bucket, name, stored) for name in page if (stored := rows[name])
    ]
    value["prefixes"] = [name for name in page if rows[name] is None]
    self.answer(200, value | ({"nextPageToken": page[-1]} if more else {}))

  def insert(self, bucket: str, query: dict, body: bytes) -> None:
    """A new object, or the beginning of one that comes in parts."""
    kind, name = query["uploadType"], query.get("name")
    if kind == "multipart":
      found = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
      assert found
      parts = body.split(b"--" + found.group(1).encode())
      head, content = (part.lstrip(b"\r\n") for part in parts[1:3])
      head, content = (
        re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1]
        for part in (head, content)
      )
      name = json.loads(head)["name"]
      body = re.sub(rb"\r?\n\Z", b"", content)
    elif kind == "resumable":
      name = name or json.loads(body)["name"]
      upload = str(next(self.storage.count))
      self.storage.uploads[upload] = (bucket, name, query, bytearray())
      where = f"{self.storage.url}/upload/storage/v1/b/{bucket}/o"
      headers = {"Location": f"{where}?uploadType=resumable&upload_id={upload}"}
      return self.answer(200, {}, headers)
    assert name
    self.check(bucket, name, query)
    stored = self.storage.put(bucket, name, body)
    return self.answer(200, _resource(bucket, name, stored))

  def resume(self, method: str, upload: str, body: bytes) -> None:
    """A part of an object; the last one says how long it is."""
    if method == "DELETE":
      self.storage.uploads.pop(upload, None)
      return self.answer(204)
    bucket, name, query, content = self.storage.uploads[upload]
    found = re.fullmatch(
      r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)",
      self.headers.get("Content-Range") or f"bytes 0-0/{len(body)}",
    )
    assert found
    start, total = found.groups()
    if start is not None:
      content[int(start) :] = body
    if total == "*" or len(content) < int(total):
      headers = {"Range": f"bytes=0-{len(content) - 1}"} if content else {}
      return self.answer(308, None, headers)
    self.check(bucket, name, query)
    stored = self.storage.put(bucket, name, bytes(content))
    return self.answer(200, _resource(bucket, name, stored))


def _resource(bucket: str, name: str, stored: Stored) -> dict[str, object]:
  """What is told of an object."""
  import google_crc32c

  checksum = google_crc32c.value(stored.content).to_bytes(4, "big")
  md5 = hashlib.md5(stored.content).digest()
  return {
    "kind": "storage#object",
    "id": f"{bucket}/{name}/{stored.generation}",
    "name": name,
    "bucket": bucket,
    "generation": str(stored.generation),
    "metageneration": "1",
    "size": str(len(stored.content)),
    "etag": f"{stored.generation}",
    "crc32c": base64.b64encode(checksum).decode(),
    "md5Hash": base64.b64encode(md5).decode(),
    "timeCreated": "2026-01-01T00:00:00.000Z",
    "updated": "2026-01-01T00:00:00.000Z",
    "contentType": "application/octet-stream",
  }
