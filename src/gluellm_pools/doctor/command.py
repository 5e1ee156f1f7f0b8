"""Report what is wrong with the pools of a program, at which line, and what to do.

Without arguments, list the processes that can be inspected, with what they
found. With --pid, or with the --instance that an alert names, inspect one and
its child processes; --save keeps its snapshot. With files, judge saved
snapshots. With -- PROGRAM, run a program, observe all its pools (scope "all"),
and report when it ends. The program or OTEL_PYTHON_GLUELLM_SCOPE can set
another scope.

examples:
  gluellm-pools doctor
  gluellm-pools doctor --pid 4242
  gluellm-pools doctor --instance 96be5d96-3a8e-4c37-9d51-0b5a0f2f9f10
  gluellm-pools doctor --attach 4242
  gluellm-pools doctor --attach 4242 --for 60
  gluellm-pools doctor --pid 4242 --for 60
  gluellm-pools doctor --pid 4242 --what-if max_connections=40
  gluellm-pools doctor --pid 4242 --json -o report.json
  gluellm-pools doctor --pid 4242 --save incident.json.gz
  gluellm-pools doctor incident.json.gz
  gluellm-pools doctor before.json.gz after.json.gz
  gluellm-pools doctor -- python app.py

--attach reads from outside what the threads and tasks of a process wait for. If
you agree (--yes), a program in it reads its pools; with --for, the process is
then instrumented for that time, and restored. It needs Python 3.14 or newer on
Linux, and no preparation.

For --pid, set a signal for reports before the process starts. For gunicorn,
uvicorn --workers and Celery, use SIGRTMIN:
  export OTEL_PYTHON_GLUELLM_SNAPSHOT_SIGNAL=SIGUSR2
  opentelemetry-instrument python app.py

With -- PROGRAM, an answer that has been unread for 10 s is a leak. To replace
the 10 s, set leak_threshold in the program, or
OTEL_PYTHON_GLUELLM_LEAK_THRESHOLD.

exit status without arguments: 0, or 2 if there is no such process

exit status with --pid or FILE: 0 if no problem was found, 1 for a warning, an
error or no answer, 2 if the process can't be inspected or the file not judged

exit status with --attach: as with --pid; if the process is only read from
outside, 1 if its loop is blocked or something waits for a connection, else 0

exit status with -- PROGRAM: the program's own, 128+n if signal n ended it, 126
if it can't be run, 127 if it was not found
"""

from __future__ import annotations

import argparse
from typing import Any

from ..arguments import (
    CommandError,
    add_command,
    add_output_arguments,
    number_between,
    time_span,
    writable,
)
from .outlook import add_outlook_arguments

_TIMEOUT = 10.0
_SPAN = time_span("1ms", "1h")

_USAGE = """\
gluellm-pools doctor [-h] [--json] [-o FILE]
       gluellm-pools doctor [-h] [--for SECONDS] [--timeout SECONDS]
                            [--what-if SETTING=VALUE] [--workers N] [--json]
                            [-o FILE] [--save FILE] (--pid N | --instance ID)
       gluellm-pools doctor [-h] [--yes] [--for SECONDS] [--json] [-o FILE]
                            [--save FILE] --attach N
       gluellm-pools doctor [-h] [--what-if SETTING=VALUE] [--workers N]
                            [--json] [-o FILE] [BEFORE] FILE
       gluellm-pools doctor [-h] [--what-if SETTING=VALUE] [--workers N]
                            [--json] [-o FILE] -- PROGRAM [ARGUMENT ...]"""


def add_doctor(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``doctor`` to the commands."""
    parser = add_command(
        commands,
        "doctor",
        _doctor,
        __doc__,
        help="report what is wrong with the pools of a program",
        usage=_USAGE,
    )
    pid = number_between(1, 2**31 - 1, "a process id")
    parser.add_argument("--pid", type=pid, metavar="N", help="inspect this running process")
    instance = "inspect the process on this host with this service.instance.id"
    parser.add_argument("--instance", metavar="ID", help=instance)
    attach = "look into this running process, which was not prepared (Linux, Python 3.14 or newer)"
    parser.add_argument("--attach", type=pid, metavar="N", help=attach)
    yes = "with --attach: run a program in the process without asking"
    parser.add_argument("--yes", action="store_true", help=yes)
    period = "with --pid and --attach: observe the process for this long, and report on this period"
    parser.add_argument("--for", dest="period", type=_SPAN, metavar="SECONDS", help=period)
    timeout = f"with --pid: time limit, not counting --for (default: {_TIMEOUT:g})"
    parser.add_argument("--timeout", type=_SPAN, metavar="SECONDS", help=timeout)
    add_outlook_arguments(parser)
    add_output_arguments(parser)
    kept = "with --pid and --attach: save the snapshot to this file; .gz at its end compresses it"
    parser.add_argument("--save", type=writable, metavar="FILE", help=kept)
    files = "judge a saved snapshot, - for standard input; or two of one process"
    parser.add_argument("files", nargs="*", metavar="FILE", help=files)


def _doctor(options: argparse.Namespace) -> int:
    if options.attach is not None:
        others = (options.pid, options.instance, options.timeout, options.what_if, options.workers)
        if any((*others, options.files, options.program)):
            raise CommandError("--attach N goes with --yes, --for, --json, -o and --save only")
        from ..attach.command import attach

        return attach(options)
    program, files = options.program, options.files
    if program[:1] == ["--"]:  # some versions of argparse leave it there
        program = program[1:]
    running = [name for name in ("--pid", "--instance") if getattr(options, name[2:]) is not None]
    given = [*running, *files[:1], *program[:1]]
    if len(given) > 1:
        raise CommandError(
            "give either --pid N, --instance ID, a file or a program, as in: gluellm-pools doctor "
            f"-- python app.py; found {' and '.join(map(repr, given))}"
        )
    if len(files) > 2:
        raise CommandError("give one file, or two of one process: BEFORE AFTER")
    if len(dict(options.what_if)) < len(options.what_if):
        raise CommandError("--what-if has one setting twice: give each setting once")
    if options.yes:
        raise CommandError("--yes needs --attach")
    if not running and (options.period or options.timeout or options.save):
        raise CommandError("--for, --timeout and --save need --pid")
    if not given and (options.what_if or options.workers):
        raise CommandError("--what-if and --workers need --pid, a file or a program")
    if program and options.json and options.output is None:
        raise CommandError("--json needs -o FILE here: the output is the program's")
    if program:
        from .launch import launch

        return launch(program, options)
    if files:
        from .files import judge

        return judge(options)
    from .processes import list_processes, pid_of

    if not running:
        return list_processes(options)
    if options.instance is not None:
        options.pid = pid_of(options.instance)
    from .ask import inspect

    return inspect(options, options.timeout or _TIMEOUT)
