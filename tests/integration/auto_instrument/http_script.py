"""A script that knows nothing of telemetry: three requests, one after the other."""

import importlib
import sys

base_url, library = sys.argv[1:]
with importlib.import_module(library).Client() as client:
    for _ in range(3):
        client.get(f"{base_url}/models").raise_for_status()
