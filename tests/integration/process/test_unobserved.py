"""Libraries that no adapter observes: replacements of urllib3, and clients of their own."""

import json

import pytest

from support.programs import run_code

REPORT = """
    import json, logging, os, sys
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    sys.path.insert(0, os.environ["LIBRARIES"])
    reader = InMemoryMetricReader()
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=MeterProvider([reader]))
    for name in os.environ["NAMES"].split():
        __import__(name)
    for _ in range(2):
        reader.get_metrics_data()
    process = snapshot().process
    print(json.dumps([process.libraries_observed, process.libraries_unobserved]))
    print(json.dumps(process.missing_hooks))
"""


def report(folder, names):
    done = run_code(REPORT, LIBRARIES=str(folder), NAMES=names)
    *log, libraries, missing = done.stdout.splitlines()
    return log, json.loads(libraries), json.loads(missing)


def test_replacement_of_urllib3_is_named_once_and_no_hook_is_missing(tmp_path):
    """niquests requires urllib3-future, which installs itself as urllib3."""
    (tmp_path / "urllib3").mkdir()
    (tmp_path / "urllib3" / "__init__.py").write_text("__version__ = '2.25.904'")
    info = tmp_path / "urllib3_future-2.25.904.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: urllib3-future\nVersion: 2.25.904\n")
    log, (observed, unobserved), missing = report(tmp_path, "urllib3 httpcore")
    (line,) = log
    assert line == (
        "urllib3-future 2.25.904 is installed over urllib3: no request through urllib3 is "
        "observed. Requests are not affected."
    )
    assert "httpx" in observed
    assert "urllib3" not in observed
    assert missing == []
    assert unobserved == ["urllib3 (replaced by urllib3-future 2.25.904)"]


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ("dspy", ["dspy"]),
        ("curl_cffi niquests", ["curl_cffi", "niquests"]),
        ("openai websockets.sync.client", ["websockets (openai's realtime API)"]),
        ("websockets.sync.client", []),
        ("openai websockets.server", []),
    ],
)
def test_clients_that_no_adapter_sees_are_named(tmp_path, names, named):
    """websockets counts with openai only: programs use it for other servers as well."""
    for name in names.split():
        module = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        module.parent.mkdir(parents=True, exist_ok=True)
        if name != "openai":
            module.touch()
    log, (_, unobserved), _ = report(tmp_path, names)
    assert unobserved == named
    assert log == [
        f"{name} is imported: its requests and calls are not observed." for name in named
    ]
