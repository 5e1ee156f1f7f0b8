"""The rows of the attribution table, from any-llm's public functions and methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import any_llm

from .recipes import RECIPES, SENDS_NOTHING, Recipe

# Where the client, and with it the pool, comes from.
METHOD_ORIGINS = ("created early", "created late", "at the first call", "handed in")
FUNCTION_ORIGINS = ("per call", "handed in")


@dataclass(frozen=True)
class Row:
    """One public way to send a request."""

    name: str
    recipe: Recipe
    function: bool
    """Of the module; else a method of a provider's instance."""
    provider: str
    streaming: bool
    origin: str

    @property
    def asynchronous(self) -> bool:
        return self.name not in RECIPES

    def __str__(self) -> str:
        level = "any_llm" if self.function else "AnyLLM"
        streaming = "stream" if self.streaming else "whole"
        return f"{level}.{self.name}-{self.provider}-{streaming}-{self.origin.replace(' ', '_')}"


def public_functions() -> set[str]:
    """The callables of ``any_llm.__all__`` that are no classes."""
    return {name for name in any_llm.__all__ if inspect.isroutine(getattr(any_llm, name))}


def public_methods() -> set[str]:
    """The public methods of `AnyLLM`, those of its file mix-in among them."""
    return {
        name
        for name in dir(any_llm.AnyLLM)
        if not name.startswith("_") and inspect.isroutine(getattr(any_llm.AnyLLM, name))
    }


def recipe_of(name: str) -> Recipe | None:
    return RECIPES.get(name) or (RECIPES.get(name[1:]) if name.startswith("a") else None)


def rows() -> Iterator[Row]:
    """Every row: what any-llm has that no recipe knows is left to `unknown`."""
    for function, names, origins in (
        (False, public_methods(), METHOD_ORIGINS),
        (True, public_functions(), FUNCTION_ORIGINS),
    ):
        for name in sorted(names):
            recipe = recipe_of(name)
            if recipe is None:
                continue
            for provider in recipe.providers:
                for streaming in (False, True) if recipe.streams else (False,):
                    for origin in origins:
                        yield Row(name, recipe, function, provider, streaming, origin)


def unknown() -> set[str]:
    """Public names of any-llm that have no row and no reason for having none."""
    return {
        name
        for name in public_functions() | public_methods()
        if recipe_of(name) is None and name not in SENDS_NOTHING
    }
