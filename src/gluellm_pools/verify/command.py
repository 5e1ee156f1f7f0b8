"""Query a Prometheus, VictoriaMetrics or Mimir for the metrics of the pools.

Report the ingestion path (such as a Collector's exporter), the labels of
services and processes, and why metrics are missing or queries have no answer.

examples:
  gluellm-pools verify --prometheus http://localhost:9090
  gluellm-pools verify --prometheus URL --boards dashboards/grafana

Other users can see --header in the process list. For a secret, set
GLUELLM_POOLS_HEADERS instead, in the format of OTEL_EXPORTER_OTLP_HEADERS:
  Authorization=Bearer%20KEY,X-Scope-OrgID=TENANT

exit status: 0 if no problem was found; 1 if something is wrong, missing or
empty, or if a file in a folder of boards can't be used; 2 for wrong arguments,
or if the store can't be queried.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ..arguments import CommandError, add_command, add_output_arguments, time_span, write_output
from .address import HEADERS_VARIABLE, read_address


def add_verify(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``verify`` to the commands."""
    parser = add_command(
        commands,
        "verify",
        _verify,
        __doc__,
        help="report which metrics a Prometheus has, and why boards are empty",
    )
    add, default = parser.add_argument, "(default: %(default)s)"
    url = "the store's base URL, with its path if it has one, as in a Grafana data source"
    boards = "also run the queries of these Grafana boards: JSON files, or folders of them"
    add("--prometheus", required=True, metavar="URL", help=url)
    add("--service", metavar="NAME", help="only this service: its service.name or label job")
    window = f"look back this far: 30m, 6h, 2d, at most 31d {default}"
    add("--window", type=time_span("5m", "31d"), default="1h", metavar="SPAN", help=window)
    add("--boards", nargs="+", type=Path, default=[], metavar="PATH", help=boards)
    header = "send this header; can be repeated"
    add("--header", action="append", default=[], metavar="NAME=VALUE", help=header)
    timeout = f"time limit for all queries together {default}"
    add("--timeout", type=time_span("1ms", "10m"), default="30", metavar="SECONDS", help=timeout)
    add("--show-queries", action="store_true", help="print each query in PromQL")
    add_output_arguments(parser)


def _verify(options: argparse.Namespace) -> int:
    try:
        text, status = report_text(options)
    except CommandError:
        raise
    except Exception as error:  # whatever a store or a board contains, the data is not "wrong"
        fault = f"stopped by a fault of gluellm-pools ({type(error).__name__}): please report it"
        raise CommandError(f"{fault}, with the kind and version of the store") from None
    write_output(text, options.output)
    return status


def report_text(options: argparse.Namespace) -> tuple[str, int]:
    """Return the report and the exit status. Raises CommandError."""
    # Imported here, so that the other commands start faster.
    from .boards import read_boards
    from .client import CannotAskError, RefusedError, Store
    from .contents import query_contents
    from .findings import findings
    from .outcomes import run_board, run_essential
    from .paths import paths
    from .product import recognize
    from .report import StoreReport, as_json, as_text

    address = read_address(options.prometheus, options.header, os.environ.get(HEADERS_VARIABLE))
    boards = read_boards(options.boards)
    store = Store(address, options.timeout)
    try:
        contents = query_contents(store, recognize(store), options.window, options.service)
        outcomes = list(run_essential(store, contents)) if contents.processes else []
        for board in boards:
            if contents.stored or board.broken:  # an empty store explains all empty answers
                outcomes += run_board(store, contents, board)
    except CannotAskError as error:
        raise CommandError(f"can't query {address.url}: {error}") from None
    except RefusedError as error:
        raise CommandError(f"{address.url} rejects a query: {error}") from None
    found = findings(contents, store.cut)
    report = StoreReport(contents, paths(contents, contents.processes), found, outcomes)
    text = as_text(report, options.show_queries)
    if options.json:
        text = json.dumps(as_json(report), indent=2)
    return text, int(not report.good)
