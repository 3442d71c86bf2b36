# SPDX-License-Identifier: Apache-2.0
"""A page about the server, from its OpenAPI; nothing of it is elsewhere."""

from typing import Any

from ns_jax import pages
from ns_jax.pages import Html

HEADERS = {
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"
}
_EXAMPLE = """\
curl http://127.0.0.1:8000/v1/audio/speech -o hello.mp3 \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "ns2", "voice": "NAME", "input": "The kettle is on."}'"""


def page(openapi: dict[str, Any]) -> str:
  """The page, in HTML, from what the app says of itself."""
  parts = [
    pages.paragraph(openapi["info"]["description"]),
    Html(f"<pre>{pages.text(_EXAMPLE)}</pre>"),
    Html(
      '<p>For programs: <a href="openapi.json">openapi.json</a>. Where the '
      "server has a key, send <code>Authorization: Bearer KEY</code>.</p>"
    ),
  ]
  for path, methods in openapi["paths"].items():
    for method, operation in methods.items():
      parts.append(pages.heading(f"{method.upper()} {path}"))
      parts.append(pages.paragraph(operation.get("description", "")))
      rows = _fields(openapi, operation)
      if rows:
        parts.append(pages.table(("field", "default", "what"), rows))
  return pages.document(openapi["info"]["title"], parts)


def _fields(
  openapi: dict[str, Any], operation: dict[str, Any]
) -> list[tuple[Html, str, str]]:
  """A row for each field of the body."""
  rows = []
  for media in operation.get("requestBody", {}).get("content", {}).values():
    name = media["schema"]["$ref"].rpartition("/")[2]
    schema = openapi["components"]["schemas"][name]
    needed = schema.get("required", ())
    for field, about in schema["properties"].items():
      default = "needed" if field in needed else str(about.get("default", ""))
      choices = ", ".join(about.get("enum", ()))
      said = [f"{choices}." if choices else "", about.get("description", "")]
      rows.append((pages.code(field), default, " ".join(filter(None, said))))
  return rows
