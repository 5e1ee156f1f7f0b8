"""What a request of one library costs, beside what its contrib instrumentation adds to it."""

from __future__ import annotations

from collections.abc import Callable

from . import sources
from .budget import MICROSECONDS, PERCENT, Budget

GROUPS = ("request-path", "all-in", "no-sdk", "chunk", "outside", "garbage")


def budgets(family: str) -> dict[str, tuple[Budget, ...]]:
    """The budgets of a family of libraries: the same percentages for each."""
    of = _Requests(family)
    return {
        "request-path": (
            Budget(
                "request path, instructions, of the yardstick's",
                3,
                PERCENT,
                of.share("ours", "off"),
                of.path_detail,
                gates=True,
            ),
            Budget("request path, CPU", 10, MICROSECONDS, of.cpu("path"), of.cpu_detail),
        ),
        "all-in": (
            Budget(
                "all in with both records, instructions, of the yardstick's",
                28,
                PERCENT,
                of.share("all in", "off"),
                of.no_span("all in, no span"),
                gates=True,
            ),
            Budget("all in, CPU, of the yardstick's", 16, PERCENT, of.cpu("all in ratio", 100)),
        ),
        "no-sdk": (
            Budget(
                "no SDK, instructions, of the yardstick's with one",
                5,
                PERCENT,
                of.share("ours, no SDK", "off, no SDK"),
                gates=True,
            ),
        ),
        "chunk": (
            Budget(
                "a chunk of a streamed body, CPU",
                1,
                MICROSECONDS,
                of.chunk,
                of.instructions("stream ours", "stream off"),
            ),
        ),
        "outside": (
            Budget(
                "a pool outside the scope, CPU of a request",
                0.5,
                MICROSECONDS,
                of.cpu("outside"),
                of.instructions("outside", "off"),
            ),
        ),
        "garbage": (
            Budget(
                "cyclic garbage more, objects a request",
                0,
                "{:.2f}",
                lambda: sources.garbage(family),
            ),
        ),
    }


class _Requests:
    """What the measurements of a family's requests say."""

    def __init__(self, family: str) -> None:
        self._family = family

    def share(
        self, with_it: str, without: str, *, yardstick: str = ""
    ) -> Callable[[], dict[str, float]]:
        """How much one variant takes more than another, as percent of what the yardstick adds."""

        def shares() -> dict[str, float]:
            return {
                name: 100
                * (counts[with_it] - counts[without])
                / (counts[f"yardstick{yardstick}"] - counts[f"off{yardstick}"])
                for name, counts in sources.instruction_counts(self._family).items()
            }

        return shares

    def no_span(self, with_it: str) -> Callable[[], str]:
        """The same share in a program that has no current span."""

        def detail() -> str:
            shares = self.share(with_it, "off, no span", yardstick=", no span")()
            each = "; ".join(f"{share:.1f} %" for share in shares.values())
            return f"Where the program has no current span: {each}"

        return detail

    def path_detail(self) -> str:
        """Instructions of the yardstick, of the request's path and of the drain."""
        parts = []
        for name, counts in sources.instruction_counts(self._family).items():
            yardstick = (counts["yardstick"] - counts["off"]) / 1e3
            path = (counts["ours"] - counts["off"]) / 1e3
            drain = (counts["all in"] - counts["ours"]) / 1e3
            parts.append(
                f"{name}: yardstick {yardstick:.0f}k, path {path:.1f}k, drain {drain:.0f}k"
            )
        return f"{self.no_span('ours, no span')()}. Instructions: {'; '.join(parts)}"

    def instructions(self, with_it: str, without: str) -> Callable[[], str]:
        """How many instructions one variant takes more than another."""

        def detail() -> str:
            try:
                counts = sources.instruction_counts(self._family)
            except sources.UnavailableError:
                return ""
            each = (
                f"{name} {count[with_it] - count[without]:.0f}" for name, count in counts.items()
            )
            return "Instructions: " + "; ".join(each)

        return detail

    def cpu(self, key: str, scale: float = 1.0) -> Callable[[], dict[str, float]]:
        """One of the CPU times by combination."""
        return lambda: {
            name: took[key] * scale for name, took in sources.cpu_times(self._family).items()
        }

    def chunk(self) -> dict[str, float]:
        """CPU time of a chunk by combination."""
        if self._family == "grpc":
            # Its threads take 50 microseconds a chunk, and ten more or less from run to run.
            more = self.instructions("stream ours", "stream off")()
            raise sources.UnavailableError(f"drowned by what gRPC's own threads take. {more}")
        return self.cpu("chunk")()

    def cpu_detail(self) -> str:
        """The CPU times that the row's value comes from."""
        return "; ".join(
            f"{name}: request {took['request']:.0f} µs, yardstick {took['yardstick']:.0f}, "
            f"path {took['path']:.1f}, drain {took['drain']:.1f}"
            for name, took in sources.cpu_times(self._family).items()
        )
