# SPDX-License-Identifier: Apache-2.0
"""What is asked and answered, as OpenAI's clients know it."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import ConfigDict, Field

from ns_jax.apps.serving.voices import NAME

Name = Annotated[str, Field(pattern=NAME)]
Format = Literal["mp3", "opus", "flac", "wav", "pcm"]
MAX_SEED = 2**31 - 1


class VoiceId(pydantic.BaseModel):
  """A voice, the long way."""

  model_config = ConfigDict(extra="forbid")
  id: Name


class SpeechRequest(pydantic.BaseModel):
  """What to say."""

  model_config = ConfigDict(extra="forbid")
  model: str = Field(description="An id of GET /v1/models.")
  input: str = Field(min_length=1, description="The text, American English.")
  voice: Name | VoiceId = Field(description="An id of GET /v1/audio/voices.")
  response_format: Format = "mp3"
  speed: float = Field(1.0, ge=0.25, le=4.0, description="2: twice as fast.")
  stream_format: Literal["audio", "sse"] = Field(
    "audio", description="sse: base64 pieces in server-sent events."
  )
  seed: int = Field(
    0, ge=0, le=MAX_SEED, strict=True, description="Another rendition."
  )

  @property
  def voice_name(self) -> str:
    """The voice's name, however it was given."""
    return self.voice if isinstance(self.voice, str) else self.voice.id


class Voice(pydantic.BaseModel):
  """A voice of this server."""

  id: str
  object: Literal["audio.voice"] = "audio.voice"
  name: str
  created_at: int = Field(description="Seconds since 1970.")
  type: Literal["audio_sample"] = "audio_sample"
  fixed: bool = Field(description="Came with the server: cannot be deleted.")


class VoiceList(pydantic.BaseModel):
  """All voices."""

  object: Literal["list"] = "list"
  data: list[Voice]


class VoiceDeleted(pydantic.BaseModel):
  """A voice that was."""

  id: str
  object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
  deleted: bool = True


class Model(pydantic.BaseModel):
  """A model of this server."""

  id: str
  object: Literal["model"] = "model"
  created: int
  owned_by: Literal["ns_jax"] = "ns_jax"


class ModelList(pydantic.BaseModel):
  """All models: one."""

  object: Literal["list"] = "list"
  data: list[Model]


class Health(pydantic.BaseModel):
  """How a server is."""

  status: Literal["ok", "starting", "stopping", "broken"]


class Problem(pydantic.BaseModel):
  """What went wrong."""

  message: str
  type: str
  param: str | None
  code: str | None


class Refusal(pydantic.BaseModel):
  """An answer that is none."""

  error: Problem


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
  """What OpenAPI says of statuses that mean refusal."""
  return {status: {"model": Refusal} for status in statuses}
