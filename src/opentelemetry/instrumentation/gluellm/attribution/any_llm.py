"""Attribution of requests and pools to any-llm calls, by wrapping any-llm's methods.

Each wrapper sets a `Call` (provider, model, operation) in a context variable. Verified with
any-llm-sdk 1.40.2. Wrapped are:

- the constructors of `AnyLLM` and its subclasses: pools that are built in them belong to the
  provider;
- `AnyLLM.create`, where any-llm's module functions begin to build the client of a call;
- the public coroutines of `AnyLLM` and its file mix-in, and overrides in subclasses;
- the sync methods, which run these on a loop in another thread, with the caller's context. Their
  streams are read ahead there, so only these methods' results show what the application has read;
- overrides of the sync methods in subclasses, which call none of the coroutines, and methods that
  they pass to threads (see `_Carried`);
- ``_aembedding`` and ``_amoderation`` of every subclass, which any-llm's module functions call
  directly. Subclasses that inherit them are wrapped as well, because GlueLLM replaces
  ``BaseOpenAIProvider._aembedding`` at its first call, possibly after this module has patched it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import Any

from ..patching import USUAL_MARK, Hooks, ModulePatches, version_of
from ..pool.call import Call, LiveCalls
from .calls import CallScope, OnError, operation_name
from .context import CallVariable
from .streams import current

_DIRECT = ("_aembedding", "_amoderation")
_THREADED = "_completion"
"""Method that providers run in threads, besides overrides of the base class's sync methods."""

LOST: Mapping[str, str] = {
    "any_llm.init": "the provider of pools that any-llm's constructors build",
    "any_llm.calls": "provider, model and operation of requests, and calls of any-llm",
    "any_llm.create": "the time in which any-llm's module functions build the client of a call",
    "any_llm.sync": "when the application has read a stream of a synchronous call",
    "any_llm.embedding": "whose requests any-llm's module functions for embeddings send",
    "any_llm.moderation": "whose requests any-llm's module functions for moderation send",
    "any_llm.subclasses": "what providers make of any-llm's calls on their own",
}
"""Each hook, with what is not observed without it (text for a warning)."""
_NOT_PROBED = Hooks("any_llm", "")


class AnyLLMAttribution(ModulePatches):
    """Wrappers of any-llm's methods, applied as soon as any-llm is imported.

    ``on_error`` is called with the kind (``attribution.install``, ``attribution.call``,
    ``attribution.stream`` or ``attribution.place``) and the exception of each caught failure of the
    instrumentation; the application's call continues without attribution. ``on_hooks`` is called
    with the hooks each time that any-llm is patched. ``whole_stacks`` records the whole stack of
    each call site. ``calls`` counts calls. ``make_scope`` and ``mark`` are for ``limits``, which
    wraps the same calls with patches of its own.
    """

    MODULES = ("any_llm",)

    def __init__(
        self,
        on_error: OnError,
        on_hooks: Callable[[Hooks], None] | None = None,
        *,
        whole_stacks: bool = False,
        calls: LiveCalls | None = None,
        make_scope: Callable[[], CallScope] | None = None,
        mark: str = USUAL_MARK,
    ) -> None:
        super().__init__(mark)
        self.hooks = _NOT_PROBED
        """The hooks of any-llm. None are found until it is imported."""
        self._on_hooks = on_hooks
        self._make_scope = make_scope or (
            lambda: CallScope(on_error, whole_stacks=whole_stacks, calls=calls)
        )
        self._scope: CallScope | None = None
        self._base: type = object
        self._coroutines: dict[str, str] = {}
        self._sync_twins: dict[str, str] = {}

    def install(self) -> None:
        """Wrap any-llm now, or as soon as it is imported. A second call has no effect."""
        if self._scope is None:
            self._scope = self._make_scope()
        super().install()

    def uninstall(self) -> None:
        """Restore the identical functions. Calls and streams in flight continue."""
        if self._scope is not None:
            self._scope.on = False
        super().uninstall()
        self.hooks = _NOT_PROBED
        # Cleared last: if a signal handler raises above, the next call finishes the work.
        self._scope = None

    def _patch(self, module: Any) -> None:
        scope = self._scope
        if scope is None:
            return
        found = dict.fromkeys(LOST, False)
        self.hooks = Hooks("any_llm", version_of("any-llm-sdk"), found, signals=dict(LOST))
        base = getattr(module, "AnyLLM", None)
        if isinstance(base, type):
            self._try(self._patch_class, base, scope)
        if self._on_hooks is not None:
            self._on_hooks(self.hooks)

    def _patch_class(self, base: type, scope: CallScope) -> None:
        found = self.hooks.found
        self._base = base
        self._coroutines = dict(_public_coroutines(base))
        self._sync_twins = {
            twin: operation
            for name, operation in self._coroutines.items()
            for twin in (name.removeprefix("a"), "_" + name.removeprefix("a"))
            if name.startswith("a") and hasattr(base, twin)
        }
        found["any_llm.init"] = self._try(self._wrap_init, base, scope)
        found["any_llm.create"] = self._try(self._wrap_create, base, scope)
        sync = {n: op for n, op in self._sync_twins.items() if not n.startswith("_")}
        done = {n for n, op in sync.items() if self._try(self._wrap_sync, base, scope, n, op)}
        found["any_llm.sync"] = done >= {"completion"} | set(sync)
        wrapped = {n for n in self._coroutines if self._try(self._wrap_call, base, scope, n)}
        found["any_llm.calls"] = wrapped >= {"acompletion"} | set(self._coroutines)
        found["any_llm.embedding"] = callable(getattr(base, "_aembedding", None))
        found["any_llm.moderation"] = callable(getattr(base, "_amoderation", None))
        found["any_llm.subclasses"] = self._try(self._follow_subclasses, base, scope)

    def _try(self, step: Callable[..., None], base: type, scope: CallScope, *args: Any) -> bool:
        try:
            step(base, scope, *args)
        except Exception as error:
            scope.failed("attribution.install", error)
            return False
        return True

    def _wrap_init(self, owner: type, scope: CallScope) -> None:
        if not inspect.isfunction(owner.__dict__.get("__init__")):
            raise TypeError(f"{owner.__name__} has no constructor of its own")
        self._patches.wrap(owner, "__init__", scope.around_init)

    def _wrap_create(self, owner: type, scope: CallScope) -> None:
        if not isinstance(owner.__dict__.get("create"), classmethod):
            raise TypeError(f"{owner.__name__}.create is no class method")
        self._patches.wrap(owner, "create", scope.around_create)

    def _wrap_call(self, owner: type, scope: CallScope, name: str) -> None:
        operation = self._coroutines[name]
        self._patches.wrap(owner, name, lambda original: scope.around(original, operation))

    def _follow_subclasses(self, base: type[Any], scope: CallScope) -> None:
        def follow(cls: type) -> None:
            if scope.on:
                self._try(self._cover, cls, scope)

        self._patches.follow_subclasses(base, follow)

    def _cover(self, cls: type, scope: CallScope) -> None:
        """Wrap the methods that a provider class or one of its mix-ins defines itself."""
        for owner in cls.__mro__:
            if owner not in self._base.__mro__:
                self._cover_own(owner, scope)
        for name in _DIRECT:
            if callable(getattr(cls, name, None)):
                self._wrap_direct(cls, scope, name)

    def _cover_own(self, owner: type, scope: CallScope) -> None:
        own = owner.__dict__
        if issubclass(owner, self._base) and inspect.isfunction(own.get("__init__")):
            self._wrap_init(owner, scope)
        for name in self._coroutines:
            if inspect.isfunction(own.get(name)):
                self._wrap_call(owner, scope, name)
        for name, operation in self._sync_twins.items():
            if inspect.isfunction(own.get(name)):
                self._wrap_sync(owner, scope, name, operation)
        if inspect.isfunction(own.get(_THREADED)):
            self._patches.wrap(owner, _THREADED, lambda original: _Carried(original, scope))

    def _wrap_sync(self, cls: type, scope: CallScope, name: str, operation: str) -> None:
        def around(original: Any) -> Any:
            function = scope.around_function(original, operation)
            return _Carried(function, scope) if name.startswith("_") else function

        self._patches.wrap(cls, name, around)

    def _wrap_direct(self, cls: type, scope: CallScope, name: str) -> None:
        operation = operation_name(name)
        inherited = name not in cls.__dict__

        def around(original: Any) -> Any:
            return scope.around(_late(cls, name, original) if inherited else original, operation)

        self._patches.wrap(cls, name, around)


def supported_providers() -> frozenset[str]:
    """Return the keys of all providers of the installed any-llm. Imports any-llm."""
    base: Any = importlib.import_module("any_llm").AnyLLM
    return frozenset(base.get_supported_providers())


def _public_coroutines(base: type) -> Iterator[tuple[str, str]]:
    """Yield name and operation of each public coroutine and async generator function.

    ``adownload_file`` is an async generator function, decorated as a context manager that sends its
    request on entry.
    """
    for name in dir(base):
        if name.startswith("_"):
            continue
        attribute = inspect.getattr_static(base, name)
        if not inspect.isfunction(attribute):
            continue
        written = inspect.unwrap(attribute)  # inside decorators of any-llm and of third parties
        if inspect.iscoroutinefunction(written) or inspect.isasyncgenfunction(written):
            yield name, operation_name(name)


def _late(cls: type, name: str, original: Any) -> Any:
    """Return a coroutine function that looks up the inherited one at each call.

    ``original``, the function inherited at patch time, is used if the first argument is not an
    instance of ``cls``.
    """

    async def inherited(instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(instance, cls):
            return await getattr(super(cls, instance), name)(*args, **kwargs)
        return await original(instance, *args, **kwargs)

    inherited.__wrapped__ = original  # type: ignore[attr-defined]
    return inherited


class _Carried:
    """A method that runs in the call in which it was looked up, in any thread.

    For providers whose SDK blocks: any-llm runs their method with ``run_in_executor``, which
    doesn't copy the context. But the method is looked up in the calling thread
    (``functools.partial(self._completion, ...)``), so the look-up returns a function that carries
    the call.
    """

    def __init__(self, function: Callable[..., Any], scope: CallScope) -> None:
        self._function = function
        self._scope = scope

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        method = MethodType(self._function, instance)
        scope = self._scope
        call = scope.variable.get() if scope.on else None
        if call is None or call.ended:
            return method
        return functools.partial(_carry, scope.variable, call, method)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function through the class, with the instance as first argument."""
        return self._function(*args, **kwargs)


def _carry(
    variable: CallVariable, call: Call, method: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    with current(variable, call):
        return method(*args, **kwargs)
