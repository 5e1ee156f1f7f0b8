"""The suites that are run, and what each needs.

httpx2 and httpcore2 are not among them: their source distributions have no tests. What runs on them
here is openai's suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Suite:
    """One project's own tests, as its source distribution has them."""

    name: str
    """The distribution's name."""
    requirements: Callable[[Path], tuple[str, ...]]
    """Arguments of ``pip install`` for what the tests need, by the unpacked distribution."""
    arguments: tuple[str, ...]
    """Arguments of pytest."""
    tests: str
    """The folder of the tests."""
    package: str
    """The folder of the library itself, which is left out: the wheel is what is tested."""
    unattainable: str = ""
    """What of the requirements can't be had from a package index, and what is lost without it."""
    label: str = ""
    """What it is called where a distribution's suite is run in several ways."""
    plugins: tuple[str, ...] = ()
    """Plug-ins of ours that it is run with both ways."""
    unseen: str = ""
    """Why none of its requests goes through a pool; empty where some must."""


# Neither distribution names what its tests are run with. The bounds are those of the library's own
# time where what came later fails the tests either way: chardet names encodings otherwise, click
# and trio warn, and uvicorn logs where a test counts the log's lines.
_HTTPX_TESTS: Final = (
    "chardet<6 click<8.2 cryptography pytest<9 trio<0.28 trustme uvicorn<0.33"
).split()


def _openai(folder: Path) -> tuple[str, ...]:
    return (
        f"openai[aiohttp,bedrock,datalib,realtime,vertex]=={version('openai')}",
        f"httpx2=={version('httpx2')}",
        *_groups(folder, "dev", "pydantic-v2"),
    )


def _anthropic(folder: Path) -> tuple[str, ...]:
    extras = "aiohttp,aws,bedrock,google_cloud,mcp,vertex,webhooks"
    return (
        f"anthropic[{extras}]=={version('anthropic')}",
        f"httpx=={version('httpx')}",
        *_groups(folder, "dev", "pydantic-v2"),
    )


def _groups(folder: Path, *names: str) -> tuple[str, ...]:
    file = folder / "pyproject.toml"
    return tuple(word for name in names for word in ("--group", f"{file}:{name}"))


_SDK: Final = (
    "-n",
    "2",
    # Generated from an API description that the source distribution doesn't have: they ask a mock
    # server that is made from it.
    "--ignore=tests/api_resources",
)
_OPENAI_SUITE: Final = Suite(
    "openai",
    requirements=_openai,
    # The project's own release scripts, in processes of their own: no HTTP client is in there.
    arguments=(*_SDK, "--ignore=tests/test_uv_workflows.py"),
    tests="tests",
    package="src",
    unattainable=(
        "the hidden folder .inline-snapshot, which the source distribution leaves out: the tests "
        "of lib/chat that compare with what is in there fail, both off and on"
    ),
)
_ANTHROPIC_SUITE: Final = Suite(
    "anthropic", requirements=_anthropic, arguments=_SDK, tests="tests", package="src"
)


def _through_pools(suite: Suite) -> Suite:
    plugins = ("studies.upstream.beneath",)
    return replace(suite, label=f"{suite.name}-through-pools", plugins=plugins)


SUITES: Final = {
    suite.label or suite.name: suite
    for suite in (
        Suite(
            "aiohttp",
            requirements=lambda folder: ("-r", str(folder / "requirements" / "test.txt")),
            # What its pytest.ini has besides coverage, for which nobody asks here.
            arguments=(
                *("--override-ini=addopts=", "--no-cov", "--doctest-modules", "--strict-markers"),
                *("-m", "not dev_mode and not autobahn and not internal", "-n", "2"),
            ),
            tests="tests",
            package="aiohttp",
        ),
        Suite(
            "urllib3",
            requirements=lambda folder: _groups(folder, "dev"),
            # What requires a network expects that of certain addresses nobody answers.
            arguments=("-m", "not requires_network", "--timeout", "20"),
            tests="test",
            package="src",
            unattainable=(
                "urllib3's branch of hypercorn, named in its pyproject.toml: without it what goes "
                "through a proxy fails, and some of TLS, both off and on. --with urllib3=FOLDER "
                "installs a copy of it"
            ),
        ),
        Suite(
            "httpx",
            requirements=lambda _: (
                f"httpx[brotli,cli,http2,socks,zstd]=={version('httpx')}",
                f"httpcore=={version('httpcore')}",
                *_HTTPX_TESTS,
            ),
            arguments=("-m", "not network"),
            tests="tests",
            package="httpx",
        ),
        Suite(
            "httpcore",
            requirements=lambda _: (
                f"httpcore[asyncio,http2,socks,trio]=={version('httpcore')}",
                *("pytest<9", "pytest-httpbin", "pytest-trio"),
            ),
            arguments=(),
            tests="tests",
            package="httpcore",
        ),
        _OPENAI_SUITE,
        _through_pools(_OPENAI_SUITE),
        replace(
            _ANTHROPIC_SUITE,
            unseen="its mock stands in place of the pool's method: see anthropic-through-pools",
        ),
        _through_pools(_ANTHROPIC_SUITE),
    )
}
