"""Applications for uvicorn, gunicorn and Celery."""

import importlib.util


async def asgi(scope, receive, send):
    """Start, and end when asked to."""
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


def wsgi(_environ, start_response):
    start_response("204 No Content", [])
    return []


if importlib.util.find_spec("celery"):
    from celery import Celery

    tasks = Celery("serving", broker="memory://")
