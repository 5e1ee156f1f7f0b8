"""Sessions of botocore, which build clients and managers long after an any-llm call built them.

any-llm's bedrock provider has one client for each timeout that it is called with. botocore has one
manager for each proxy, built with the first request. Both are built in a thread that does not have
the call in its context.
"""

from __future__ import annotations

import sys
from typing import Any

from ..marks import OWNER
from ..scope import Scope
from .clients import urllib3_pools


def is_shared(session: Any) -> bool:
    """Whether a session is boto3's default one, which the whole process shares.

    any-llm's sagemaker provider may be the first to use it, but the application's own clients come
    from it as well.
    """
    default = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    return default is not None and getattr(default, "_session", None) is session


class SessionHooks:
    """Replacements for methods of a session and of its HTTP session."""

    def __init__(self, scope: Scope) -> None:
        self._registry = scope.registry

    def create_client(self, original: Any) -> Any:
        """Give a client's pools the owner of its session, unless they have one already."""

        def create_client(self_: Any, *args: Any, **kwargs: Any) -> Any:
            client = original(self_, *args, **kwargs)
            if not is_shared(self_):
                self._inherit(self_, client)
            return client

        return create_client

    def proxy_manager(self, original: Any) -> Any:
        """Give a proxy's pools the owner of their HTTP session, which builds them later."""

        def _get_proxy_manager(self_: Any, *args: Any, **kwargs: Any) -> Any:
            manager = original(self_, *args, **kwargs)
            self._inherit(self_, manager)
            return manager

        return _get_proxy_manager

    def _inherit(self, session: Any, built: Any) -> None:
        owner = session._gluellm_owner
        if owner is None or not self._registry.open:
            return
        try:
            for pool in urllib3_pools(built):
                if getattr(pool, OWNER, None) is None:
                    setattr(pool, OWNER, owner)
        except Exception as error:
            self._registry.failures.caught("urllib3.claim", error)
