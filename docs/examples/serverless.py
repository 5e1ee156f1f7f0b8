"""A function that is frozen between two calls, as on AWS Lambda. The handler is `handler`."""

from __future__ import annotations

from typing import Any

import telemetry
from any_llm import AnyLLM

# Outside the handler: once per instance of the function.
telemetry.set_up()
llm = AnyLLM.create("openai")


def handler(event: dict[str, Any], context: object) -> str:
    """Answer, and export before the instance is frozen, since it may never resume."""
    try:
        answer = llm.completion(
            model="gpt-4o-mini", messages=[{"role": "user", "content": event["question"]}]
        )
        return str(answer.choices[0].message.content)
    finally:
        telemetry.flush()
