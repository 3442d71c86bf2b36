# SPDX-License-Identifier: Apache-2.0
"""The routes: OpenAI's for speech, and what operators need."""

from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Path, Request, UploadFile
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp

from ns_jax import __version__, audio_formats
from ns_jax.apps.serving import docs_page, failures, schemas, voices
from ns_jax.apps.serving.failures import Failure
from ns_jax.apps.serving.gate import Gate
from ns_jax.apps.serving.responses import EVENT_STREAM, SpeechResponse
from ns_jax.apps.serving.service import Service
from ns_jax.errors import UserError
from ns_jax.inference.utterance import Manner

_SPEECH, _VOICES = "/v1/audio/speech", "/v1/audio/voices"
_MULTIPART_BYTES = 2**16  # around a file, and for other fields
_ABOUT = (
  "Speech in the voices of recordings, for clients of OpenAI's API. Errors "
  'have its form: {"error": {"message", "type", "param", "code"}}.'
)
_AUDIO = {"schema": {"type": "string", "format": "binary"}}
_SPOKEN = {
  "description": "The speech, sent while it is made.",
  "content": {
    media: _AUDIO for media in (*audio_formats.FORMATS.values(), EVENT_STREAM)
  },
}
VoiceName = Annotated[str, Path(pattern=voices.NAME, alias="voice_id")]


def make_app(service: Service) -> ASGIApp:
  """All routes of a server, behind its gate."""
  app = FastAPI(
    title="ns_jax",
    description=_ABOUT,
    version=__version__,
    docs_url=None,  # its scripts would come from elsewhere
    redoc_url=None,
  )
  failures.install(app)
  _add_speech(app, service)
  _add_voices(app, service)
  _add_models(app, service)
  _add_operation(app, service)
  app.openapi = lambda: _openapi(app)
  limits = service.limits
  max_bytes = {
    _SPEECH: limits.max_request_bytes,
    _VOICES: limits.max_upload_bytes + _MULTIPART_BYTES,
  }
  return Gate(app, service.settings.access, limits, service.metrics, max_bytes)


def _add_speech(app: FastAPI, service: Service) -> None:
  limits = service.limits

  @app.post(
    _SPEECH,
    response_class=Response,
    responses={200: _SPOKEN, **schemas.refusals(400, 401, 404, 413, 429, 503)},
  )
  async def speak(request: Request, asked: schemas.SpeechRequest) -> Response:
    """Says a text."""
    if len(asked.input) > limits.max_characters:
      raise failures.too_large(
        f"input: {len(asked.input)} characters; "
        f"send {limits.max_characters} at most",
        "input",
      )
    engine = service.engine
    if asked.model != engine.model_id:
      raise Failure(
        404,
        f"there is no model of this name; take {engine.model_id}",
        "model_not_found",
        param="model",
      )
    request.scope["ns_jax.facts"]["characters"] = len(asked.input)
    return SpeechResponse(
      lambda: service.saying(
        asked.input, asked.voice_name, Manner(speed=asked.speed), asked.seed
      ),
      asked.response_format,
      engine.spec.sample_rate_hz,
      as_events=asked.stream_format == "sse",
      mark_key=service.settings.mark_key,
    )


def _add_voices(app: FastAPI, service: Service) -> None:
  limits = service.limits

  @app.get(
    _VOICES,
    response_model=schemas.VoiceList,
    responses=schemas.refusals(401, 503),
  )
  async def list_voices() -> Any:
    """All voices, by name."""
    entries = service.voices.all().items()
    return {"data": [_voice(name, entry) for name, entry in entries]}

  @app.post(
    _VOICES,
    response_model=schemas.Voice,
    responses=schemas.refusals(400, 401, 409, 413, 429, 503),
  )
  async def create_voice(
    name: Annotated[str, Form(pattern=voices.NAME)],
    audio_sample: Annotated[
      UploadFile, File(description="Some seconds of somebody speaking.")
    ],
    consent: Annotated[
      str | None,
      Form(description="As OpenAI's clients send it; not looked at."),
    ] = None,
  ) -> Any:
    """Adds the voice of a recording; have its speaker's consent."""
    del consent
    registry = service.voices
    if service.engine.own_voice is not None:
      raise Failure(
        400, "this model speaks in one voice only", "one_voice_only"
      )
    content = await audio_sample.read()
    if len(content) > limits.max_upload_bytes:
      raise failures.too_large(
        f"audio_sample: {len(content)} bytes; "
        f"send {limits.max_upload_bytes} at most",
        "audio_sample",
      )
    try:
      entry = await registry.create(name, content)
    except UserError as error:
      raise Failure(
        400, str(error), "invalid_audio", param="audio_sample"
      ) from error
    return _voice(name, entry)

  @app.delete(
    "/v1/audio/voices/{voice_id}",
    response_model=schemas.VoiceDeleted,
    responses=schemas.refusals(400, 401, 403, 404, 503),
  )
  async def delete_voice(name: VoiceName) -> Any:
    """Forgets an uploaded voice."""
    service.voices.delete(name)
    return {"id": name}


def _add_models(app: FastAPI, service: Service) -> None:
  def model() -> dict[str, Any]:
    return {"id": service.engine.model_id, "created": service.created_sec}

  @app.get(
    "/v1/models",
    response_model=schemas.ModelList,
    responses=schemas.refusals(401, 503),
  )
  async def list_models() -> Any:
    """The model that speaks."""
    return {"data": [model()]}

  @app.get(
    "/v1/models/{model_id}",
    response_model=schemas.Model,
    responses=schemas.refusals(401, 404, 503),
  )
  async def find_model(model_id: str) -> Any:
    """The same, by its id."""
    if model_id != service.engine.model_id:
      raise Failure(404, "there is no model of this name", "model_not_found")
    return model()


def _add_operation(app: FastAPI, service: Service) -> None:
  @app.get("/healthz", response_model=schemas.Health)
  async def health() -> Any:
    """Whether the server lives."""
    status = 503 if service.status == "broken" else 200
    return JSONResponse({"status": service.status}, status)

  @app.get(
    "/readyz",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health}},
  )
  async def readiness() -> Any:
    """Whether it can speak now."""
    status = 200 if service.status == "ok" else 503
    return JSONResponse({"status": service.status}, status)

  @app.get(
    "/metrics",
    response_class=Response,
    responses={
      200: {"content": {"text/plain": {}}},
      **schemas.refusals(401),
    },
  )
  async def metrics() -> Response:
    """Numbers for Prometheus."""
    return Response(
      service.metrics.page(), media_type="text/plain; version=0.0.4"
    )

  @app.get("/docs", response_class=HTMLResponse)
  async def docs() -> Response:
    """This page."""
    return HTMLResponse(
      docs_page.page(app.openapi()), headers=docs_page.HEADERS
    )


def _voice(name: str, entry: voices.Entry) -> dict[str, Any]:
  return {
    "id": name,
    "name": name,
    "created_at": entry.created_sec,
    "fixed": entry.is_fixed,
  }


def _openapi(app: FastAPI) -> dict[str, Any]:
  """What the app can do; what is wrong with a request is 400, never 422."""
  if not app.openapi_schema:
    schema = get_openapi(
      title=app.title,
      version=app.version,
      description=app.description,
      routes=app.routes,
    )
    for methods in schema["paths"].values():
      for operation in methods.values():
        operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
      schema["components"]["schemas"].pop(name, None)
    app.openapi_schema = schema
  return app.openapi_schema
