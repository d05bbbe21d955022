"""What is slow the first time has happened before the service says it is ready."""

import subprocess
import sys

HEAVY = ("pyarrow.parquet", "polars", "opentelemetry.proto.collector.trace.v1.trace_service_pb2")


def test_nothing_heavy_is_left_to_import_for_the_first_body() -> None:
    code = (
        "import sys; from datetime import datetime, UTC; from observe.app.warming import warm; warm(datetime.now(UTC)); "
        "print([m for m in sys.argv[1:] if m not in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
