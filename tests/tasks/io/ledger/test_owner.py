"""What a process holds is renewed while it is held, and stays gone afterwards."""

import time

from tasks.io.ledger import owner
from tasks.io.ledger.owner import Owner
from tasks.io.store import Store


def test_claims_are_touched_while_they_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.01)
    store, us = Store(str(tmp_path)), Owner("me")
    store.write("claims/a.json", first := us.new_content())
    us.hold(store, "claims/a.json", first)
    deadline = time.monotonic() + 10
    while store.read("claims/a.json") == first and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.read("claims/a.json") != first
    us.release(store, "claims/a.json")
    time.sleep(0.1)
    assert not store.exists("claims/a.json")


def test_a_claim_let_go_while_it_is_touched_does_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.0)
    store, us = Store(str(tmp_path)), Owner("me")
    for number in range(50):
        path = f"claims/{number}.json"
        store.write(path, content := us.new_content())
        us.hold(store, path, content)
        time.sleep(0.002)
        us.release(store, path)
    assert list(store.names("claims")) == []
