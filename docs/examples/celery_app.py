"""Celery with its prefork pool: `celery --app celery_app worker`."""

from __future__ import annotations

import functools
import os
from typing import Any

import telemetry
from any_llm import AnyLLM
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

app = Celery("answers", broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"))


@worker_process_init.connect
def _begin(**_: Any) -> None:
    telemetry.set_up()


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    # These processes skip Python's exit handlers, in which the SDK would shut down.
    telemetry.shut_down()


@functools.cache
def llm() -> AnyLLM:
    """Return the client of this process, built at its first use: never before the fork."""
    return AnyLLM.create("openai")


@app.task
def answer(question: str) -> str:
    """Ask the model."""
    found = llm().completion(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return str(found.choices[0].message.content)
