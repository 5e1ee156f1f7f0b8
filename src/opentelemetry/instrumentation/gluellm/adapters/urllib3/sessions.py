"""Sessions of botocore, which build clients and managers long after an any-llm call has built them.

any-llm's bedrock has one client for each timeout that it is called with, and botocore a manager for
each proxy, which comes with its first request. Both happen in a thread that knows nothing of the
call.
"""

from __future__ import annotations

import sys
from typing import Any

from ..admission import Admission
from ..marks import OWNER
from .clients import pools_in


def is_shared(session: Any) -> bool:
    """Whether a session is boto3's default one, which all of the process shares.

    any-llm's sagemaker may be the first to use it; the application's own clients come from it too.
    """
    default = getattr(sys.modules.get("boto3"), "DEFAULT_SESSION", None)
    return default is not None and getattr(default, "_session", None) is session


class SessionHooks:
    """Replacements for methods of a session, and of its HTTP session."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._failures = admission.registry.failures

    def built(self, original: Any) -> Any:
        """Claim a session that is built inside an any-llm call."""
        claim = self._admission.claim

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            claim(self_)

        return __init__

    def create_client(self, original: Any) -> Any:
        """The pools of a client are whose its session is, unless they are somebody's already."""

        def create_client(self_: Any, *args: Any, **kwargs: Any) -> Any:
            client = original(self_, *args, **kwargs)
            if not is_shared(self_):
                self._inherit(self_, client)
            return client

        return create_client

    def proxy_manager(self, original: Any) -> Any:
        """So are those behind a proxy, which an HTTP session finds out with a request."""

        def _get_proxy_manager(self_: Any, *args: Any, **kwargs: Any) -> Any:
            manager = original(self_, *args, **kwargs)
            self._inherit(self_, manager)
            return manager

        return _get_proxy_manager

    def _inherit(self, session: Any, built: Any) -> None:
        owner = session._gluellm_owner
        if owner is None or not self._admission.active:
            return
        try:
            for pool in pools_in(built):
                if getattr(pool, OWNER, None) is None:
                    setattr(pool, OWNER, owner)
        except Exception as error:
            self._failures.caught("urllib3.claim", error)
