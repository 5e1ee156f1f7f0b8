"""Applications that repeat what a provider refuses: a fifth of the attempts gets a 429."""

from functools import partial
from typing import Any

from .harness import MESSAGES, Case, anthropic_url, openai_url
from .llm_frameworks import ANTHROPIC_MODEL, OPENAI, OPENAI_MODEL

_CALLS = 50
_REFUSED = 12
"""Of 62 attempts, with which 50 succeed."""


def _litellm(model: str, url: Any, port: int) -> Any:
    import litellm

    asked = {"model": model, "api_base": url(port), "api_key": "any", "messages": MESSAGES}
    answers = [litellm.completion(**asked, num_retries=3) for _ in range(_CALLS)]
    return [answer.choices[0].message.content for answer in answers]


def _tenacity(port: int) -> Any:
    import httpx
    import tenacity

    with httpx.Client() as client:

        @tenacity.retry(stop=tenacity.stop_after_attempt(3))
        def ask() -> Any:
            asked = {"model": OPENAI_MODEL, "messages": MESSAGES}
            answer = client.post(f"{openai_url(port)}/chat/completions", json=asked)
            return answer.raise_for_status().json()["choices"][0]["message"]["content"]

        return [ask() for _ in range(_CALLS)]


def _tenacity_and_openai(port: int) -> Any:
    import tenacity
    from openai import OpenAI

    with OpenAI(base_url=openai_url(port), api_key="any") as client:
        create = client.chat.completions.create
        ask = tenacity.retry(stop=tenacity.stop_after_attempt(3))(create)
        answers = [ask(model=OPENAI_MODEL, messages=MESSAGES) for _ in range(_CALLS)]
        return [answer.choices[0].message.content for answer in answers]


_LITELLM_OPENAI = partial(_litellm, f"openai/{OPENAI_MODEL}", openai_url)
_LITELLM_ANTHROPIC = partial(_litellm, f"anthropic/{ANTHROPIC_MODEL}", anthropic_url)
CASES = tuple(
    Case(f"429: {name}", run, calls, package=package, others=others, every_refused=5)
    for name, run, calls, package, others in (
        ("litellm, openai", _LITELLM_OPENAI, OPENAI, "litellm", _REFUSED),
        ("litellm, anthropic", _LITELLM_ANTHROPIC, "http:anthropic", "litellm", 0),
        ("tenacity, httpx", _tenacity, "http:openai", "tenacity", 0),
        ("tenacity, openai", _tenacity_and_openai, OPENAI, "tenacity", _REFUSED),
    )
)
