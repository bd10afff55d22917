"""A workspace in a bucket, behind an endpoint that fails now and then, is merged as one on disk."""

import pytest
from servers.s3_server import hang_up, sometimes

from tasks.config import Run
from tasks.fit.operators import find_operator
from tasks.io.store import transfers
from tasks.upkeep.verify import verify


@pytest.fixture
def _hasty(monkeypatch):
    """What fails is tried again without the pauses between."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("_hasty")
def test_in_a_bucket_whose_endpoint_fails_every_twentieth_request(tmp_path, grow, bucket, proxy):
    grown = grow(tmp_path, ("da", "fb"), url=f"{bucket.url}/workspace")
    operator, numbers = find_operator(Run.of(grown.config)), grown.numbers()
    proxy.choose = sometimes(0.05, seed=2)
    told = grown.compact()
    assert sum(proxy.faults.values()) > 10
    assert [(each.dataset, each.small, each.merged) for each in told] == [
        ("reference", 2, 1),
        ("run", 2, 1),
    ]
    proxy.choose = lambda request: None
    hang_up()
    assert grown.missing() == []
    assert (find_operator(Run.of(grown.config)), grown.numbers()) == (operator, numbers)
    assert not [each for each in verify(grown.workspace.ledger) if each.damage]
    assert not [name for name in bucket.keys("workspace") if "shard-000001" in name]
    assert bucket.uploads() == []
