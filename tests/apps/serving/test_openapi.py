# SPDX-License-Identifier: Apache-2.0
"""Whatever its OpenAPI allows, and much that it does not, is answered well."""

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
  content_type_conformance,
  response_schema_conformance,
  status_code_conformance,
)

from tests import talkers

CHECKS = [
  content_type_conformance,
  not_a_server_error,
  response_schema_conformance,
  status_code_conformance,
]


@pytest.fixture(scope="module")
def url():
  with talkers.serving() as url:
    yield url


def test_the_page_has_what_may_be_asked_for(url):
  page = httpx.get(f"{url}/docs").text
  routes = httpx.get(f"{url}/openapi.json").json()["paths"]
  assert all(route in page for route in routes)
  assert "audio, sse. sse: base64 pieces" in page
  assert "mp3, opus, flac, wav, pcm." in page


@pytest.mark.parametrize(
  "examples", [12, pytest.param(500, marks=pytest.mark.nightly)]
)
def test_no_request_breaks_it(url, examples):
  schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
  asked = set()
  for found in schema.get_all_operations():
    operation = found.ok()

    @hypothesis.settings(
      max_examples=examples,
      deadline=None,
      derandomize=True,
      database=None,
      suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def check(case):
      asked.add(case.operation.label)
      case.call_and_validate(checks=CHECKS)

    check()
  assert len(asked) >= 10
