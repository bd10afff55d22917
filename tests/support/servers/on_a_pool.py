"""What tests ask of a service whose workers do runs, and of commands that wait for these."""

import time


def wait_for(claim, patience_s=180):
    deadline = time.monotonic() + patience_s
    while not (found := claim()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.2)
    return found


def runs_of(service, flow, *states):
    """The flow runs of a flow, oldest first, in these states or in any."""
    asked = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    if states:
        asked["flow_runs"] = {"state": {"name": {"any_": list(states)}}}
    return service.ask("flow_runs/filter", **asked)


def require_success(process):
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said
