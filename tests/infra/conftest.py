"""What tests of the definitions compare with."""

import json
from pathlib import Path
from typing import Any

import prefect.server.api
import pytest


@pytest.fixture(scope="session")
def kubernetes_template() -> dict[str, Any]:
    """The base job template that the installed Prefect knows for pools of Kubernetes."""
    views = Path(prefect.server.api.__file__).parent / "collections_data" / "views"
    known = json.loads((views / "aggregate-worker-metadata.json").read_text("utf-8"))
    found: dict[str, Any] = known["prefect-kubernetes"]["kubernetes"]
    return found["default_base_job_configuration"]
