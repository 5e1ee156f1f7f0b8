"""CPU time of one ``Histogram.record`` of the OpenTelemetry SDK, for versions named as arguments.

Needs nothing of this repository: ``python record_cost.py 1.44.0 1.45.2``. Each version gets a
virtual environment of its own in a temporary folder. The time is the least of 30 runs.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ATTRIBUTES = (0, 1, 3, 6)
PROGRAM = f"""
import time
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

histogram = MeterProvider([InMemoryMetricReader()]).get_meter("m").create_histogram("h")
for number in {ATTRIBUTES}:
    attributes = {{f"key.number.{{one}}": f"value {{one}}" for one in range(number)}}
    times = []
    for _ in range(30):
        began = time.process_time()
        for _ in range(2000):
            histogram.record(0.5, attributes)
        times.append((time.process_time() - began) / 2000)
    print(min(times) * 1e6)
"""


def measured(version: str, folder: Path) -> list[float]:
    """Microseconds of a record with each number of attributes."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = (python, "-m", "pip", "install", "--quiet", f"opentelemetry-sdk=={version}")
    subprocess.run(install, check=True)
    done = subprocess.run((python, "-c", PROGRAM), check=True, capture_output=True, text=True)
    return list(map(float, done.stdout.split()))


if __name__ == "__main__":
    print("| SDK |", " | ".join(f"{number} attributes" for number in ATTRIBUTES), "|")
    print("|---|" + "---|" * len(ATTRIBUTES))
    for each in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            row = " | ".join(f"{time:.1f} µs" for time in measured(each, Path(place)))
        print(f"| {each} | {row} |", flush=True)
