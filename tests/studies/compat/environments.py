"""The environments of the compatibility matrix: what is installed beside the package, and why.

Only data and the standard library: nox reads it, and so does what writes docs/compatibility.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
"""Those that are tried. One that is not on PATH is told as missing, and left out."""

_TESTS = ("tests/studies/compat/test_environment.py", "tests/integration/auto_instrument")

ANY_LLM: Final = "any-llm-sdk[openai,anthropic]>=1.40"
_HTTP_SPANS = "opentelemetry-instrumentation-httpx>=0.65b0"
_OTHER_LIBRARIES = ("aiohttp>=3.11", "urllib3>=1.26", "grpcio>=1.72")


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed beside the package, and what must not be there."""

    shows: str
    """In words, for docs/compatibility.md."""
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    """Modules that must not be importable."""
    tests: tuple[str, ...] = _TESTS
    extra: str = ""
    """An extra of the package itself."""


def floors(*extras: str) -> Mapping[str, str]:
    """The lowest version that pyproject.toml allows of each dependency, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    found = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)", requirement)
        if match:  # a reference to an extra of our own has no version
            found[match[1]] = match[2]
    return found


def _lowest(*names: str, extras: tuple[str, ...] = (), **otherwise: str) -> tuple[str, ...]:
    """Exact requirements of the lowest versions; ``otherwise`` where that one can't be had."""
    lowest = dict(floors("instruments-any", *extras)) | otherwise
    return tuple(f"{name}=={lowest[name]}" for name in names or lowest)


def opentelemetry(stable: str, beta: str) -> tuple[str, ...]:
    """One release of OpenTelemetry, whose packages have two version numbers."""
    betas = ("instrumentation", "semantic-conventions", "distro")
    versions = {"api": stable, "sdk": stable, **dict.fromkeys(betas, beta)}
    return tuple(f"opentelemetry-{name}=={version}" for name, version in versions.items())


_ALL_LOWEST = _lowest(
    extras=("cli", "demo"),
    grpcio="1.72.1",  # 1.72.0 was taken back by its maintainers
)

ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    "newest": Environment(
        "everything that is observed, at its newest",
        (ANY_LLM, "httpx>=0.27", "httpx2>=2.0", *_OTHER_LIBRARIES, _HTTP_SPANS),
        extra="gluellm",
    ),
    "lowest": Environment(
        "every dependency, those of the extras `cli` and `demo` included, at the lowest version "
        "that pyproject.toml allows; httpx2 can't be beside these",
        (
            "any-llm-sdk[openai,anthropic]",
            "openai==2.18.0",  # the lowest of any-llm's own
            "anthropic==0.124.0",
            *("httpx", "httpcore", "aiohttp", "urllib3", "grpcio"),
            *opentelemetry("1.30.0", "0.51b0"),
        ),
        constraints=(
            *(
                each
                for each in _ALL_LOWEST
                if not each.startswith(("httpx2", "httpcore2", "urllib3"))
            ),
            "urllib3==1.26.0; python_version < '3.12'",
            # Those before it can't be imported on Python 3.12 and newer.
            "urllib3==1.26.20; python_version >= '3.12'",
        ),
        absent=("httpx2", "httpcore2"),
        extra="demo",
    ),
    "lowest-httpx2": Environment(
        "httpx2 and httpcore2 at their lowest",
        (*_lowest("httpx2", "httpcore2"), *opentelemetry("1.30.0", "0.51b0")),
        absent=("any_llm", "httpx", "httpcore"),
    ),
    "lowest-http-spans": Environment(
        "the extra `http` at its lowest, with the OpenTelemetry release of its date",
        ("httpx>=0.27", *opentelemetry("1.44.0", "0.65b0")),
        constraints=tuple(
            f"{name}=={version}"
            for name, version in floors("http").items()
            if name == "opentelemetry-instrumentation-httpx"
        ),
        absent=("any_llm", "httpx2"),
        extra="http",
    ),
    "httpx-alone": Environment(
        "httpx without httpx2",
        ("httpx>=0.27", _HTTP_SPANS),
        absent=("any_llm", "httpx2", "httpcore2"),
    ),
    "httpx2-alone": Environment(
        "httpx2 without httpx", ("httpx2>=2.0",), absent=("any_llm", "httpx", "httpcore")
    ),
    "both": Environment(
        '`scope="all"` for plain httpx and httpx2, without any-llm',
        ("httpx>=0.27", "httpx2>=2.0", _HTTP_SPANS),
        absent=("any_llm", "gluellm"),
    ),
    "neither": Environment(
        "aiohttp, urllib3 and gRPC, without httpx and httpx2",
        _OTHER_LIBRARIES,
        absent=("any_llm", "httpx", "httpx2", "httpcore", "httpcore2"),
    ),
    "nothing": Environment(
        "none of the libraries: nothing is observed, and nothing breaks",
        (),
        absent=("any_llm", "httpx", "httpx2", "aiohttp", "grpc"),
    ),
    "openai-2": Environment(
        "any-llm without GlueLLM on openai 2, which sits on httpx",
        (ANY_LLM, "openai<3", _HTTP_SPANS),
        absent=("gluellm", "httpx2"),
    ),
    "openai-3": Environment(
        "any-llm without GlueLLM on openai 3, which sits on httpx2. Without "
        "opentelemetry-instrumentation-httpx `http_spans=True` warns, and nothing else changes",
        (ANY_LLM, "openai>=3"),
        absent=("gluellm", "opentelemetry.instrumentation.httpx"),
    ),
    "anthropic-2": Environment(
        "the SDKs without any-llm, which asks for anthropic before 1; anthropic 2 sits on httpx2",
        ("openai>=3", "anthropic>=2"),
        absent=("any_llm",),
    ),
    # The last whose pools are built otherwise: none of the seams is there.
    "httpcore-without-seams": Environment(
        "httpcore 1.0.2, whose pools are built otherwise: nothing is observed, a warning says so, "
        "`gluellm.instrumentation.seam` is 0, requests go on",
        ("httpx==0.27.0", "httpcore==1.0.2"),
        absent=("any_llm", "httpx2", "httpcore2"),
        tests=("tests/studies/compat/test_seams.py",),
    ),
    # The last whose loader asks instrumentation_dependencies() and not the metadata.
    "opentelemetry-0.56b0": Environment(
        "the last OpenTelemetry whose loader checks dependencies in "
        "[another way](decisions/0001-any-of-dependencies.md)",
        (ANY_LLM, *opentelemetry("1.35.0", "0.56b0")),
        absent=("gluellm", "opentelemetry.instrumentation.httpx"),
    ),
}

_ANY_PRE_RELEASE = ">=0.0.dev0"  # by naming one, a specifier allows them for this package only


def _pre_releases(*more: str) -> tuple[str, ...]:
    names = ("httpx2", "httpcore2", "openai", "anthropic", "opentelemetry-sdk", *more)
    return tuple(f"{name}{_ANY_PRE_RELEASE}" for name in names)


CANARIES: Final[Mapping[str, Environment]] = {
    "any-llm": Environment(
        "the newest of any-llm and what is under it, pre-releases included",
        (
            f"any-llm-sdk[openai,anthropic]{_ANY_PRE_RELEASE}",
            *_pre_releases("opentelemetry-api", "opentelemetry-instrumentation"),
            *_OTHER_LIBRARIES,
        ),
    ),
    "SDKs": Environment("the SDKs without any-llm, which holds some of them back", _pre_releases()),
}
"""What is to come. What they show is told, and fails nothing."""
