"""The arguments of ``verify``, and the order in which it asks, judges and tells."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ..arguments import EXIT_USAGE, refuse, seconds, write_output
from .address import HEADERS_VARIABLE, AddressError, read_address

_COMMAND = "gluellm-pools verify"
EXIT_GOOD, EXIT_TROUBLE = 0, 1
_PATIENCE, _LONGEST_PATIENCE = 30.0, 600.0
_WINDOW, _SHORTEST_WINDOW, _LONGEST_WINDOW = "1h", 300.0, 31 * 86_400.0

_DESCRIPTION = """\
Asks a Prometheus, VictoriaMetrics or Mimir what it has of the pools, and says
by which way the data came, which labels tell services and processes apart,
which metrics are there, which board queries are empty, and why.

  gluellm-pools verify --prometheus http://localhost:9090
  gluellm-pools verify --prometheus https://host/prometheus --service api
  gluellm-pools verify --prometheus http://localhost:9090 --boards dashboards/
"""
_EPILOG = f"""\
credentials:
  --header is seen in the list of processes; {HEADERS_VARIABLE} is not.
  It is written as OTEL_EXPORTER_OTLP_HEADERS is, values percent-encoded:
  {HEADERS_VARIABLE}='Authorization=Bearer%20KEY,X-Scope-OrgID=TENANT'
  No header and no password is ever printed, and no redirect is followed.

exit status:
  0 all good; 1 something that matters is wrong, missing or empty, or a file in
  a folder of boards can't be used; 2 wrong arguments, or it could not be asked
  (nobody answers, no such store, refused, an answer that makes no sense).
"""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``verify`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="what a Prometheus has of the pools, which board queries are empty, and why",
        usage="gluellm-pools verify [-h] --prometheus URL [--service NAME] [--window 1h]\n"
        "                            [--boards PATH ...] [--header NAME=VALUE]\n"
        "                            [--timeout SECONDS] [--show-queries] [--json]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--prometheus",
        required=True,
        metavar="URL",
        help="the store's base URL, with its path if it has one: what a Grafana data source has",
    )
    parser.add_argument(
        "--service",
        metavar="NAME",
        help="look at this service only: its service.name, or the whole label job, which is "
        "service.namespace/service.name where it has a namespace",
    )
    parser.add_argument(
        "--window",
        type=_window,
        default=_WINDOW,
        metavar="SPAN",
        help=f"look back this far, as in 30m, 6h, 2d (default: {_WINDOW})",
    )
    parser.add_argument(
        "--boards",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="also run the queries of these Grafana dashboards: JSON files, or folders of them",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="send this header; may be given several times",
    )
    parser.add_argument(
        "--timeout",
        type=seconds(_LONGEST_PATIENCE),
        default=_PATIENCE,
        metavar="SECONDS",
        help=f"for all questions together (default: {_PATIENCE:g})",
    )
    parser.add_argument(
        "--show-queries", action="store_true", help="print each query that was run, in PromQL"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    try:
        text, status = _told(options)
    except Exception as error:  # whatever a store or a board holds, it is not "wrong data"
        return refuse(
            _COMMAND,
            f"stopped by an answer or a board that it can't deal with ({type(error).__name__}). "
            "That is a fault of gluellm-pools: please report it, with what answers at the URL and "
            "in which version",
        )
    if text and not write_output(_COMMAND, text):
        return EXIT_USAGE
    return status


def _told(options: argparse.Namespace) -> tuple[str, int]:
    """What to print, and the exit status."""
    from .asking import MOST_ROWS, CannotAskError, RefusedError, Store
    from .boards import BoardError, read_boards
    from .findings import cut_findings, findings
    from .gathering import gather
    from .product import recognise
    from .report import Report, as_json, as_text
    from .running import run_board, run_essential
    from .ways import arrivals

    try:
        variable = os.environ.get(HEADERS_VARIABLE)
        address = read_address(options.prometheus, options.header, variable)
        boards = read_boards(options.boards)
    except (AddressError, BoardError) as error:
        return "", refuse(_COMMAND, str(error))
    store = Store(address, options.timeout)
    try:
        product = recognise(store)
        facts = gather(store, product, options.window, options.service)
        outcomes = []
        if facts.processes:
            outcomes = run_essential(store, facts)
        for board in boards:
            outcomes += run_board(store, facts, board)
    except CannotAskError as error:
        return "", refuse(_COMMAND, f"{address.url} can't be asked: {error}")
    except RefusedError as error:
        return "", refuse(_COMMAND, f"{address.url} refuses a question: {error}")
    found = arrivals(facts)
    told = [*findings(facts, found), *cut_findings(store.cut, MOST_ROWS)]
    report = Report(address.url, facts, found, told, outcomes)
    if options.json:
        text = json.dumps(as_json(report), indent=2)
    else:
        text = as_text(report, options.show_queries)
    return text, EXIT_GOOD if report.good else EXIT_TROUBLE


def _window(text: str) -> float:
    from .promql import duration

    value = duration(text)
    if value is None or not _SHORTEST_WINDOW <= value <= _LONGEST_WINDOW:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, allowed is a span from 5m to 31d, as in 30m, 6h, 2d"
        )
    return value
