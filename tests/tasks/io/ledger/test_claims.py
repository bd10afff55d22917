"""Of two runs one does the work, and the work of a dead run does not stay undone."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import count

import fsspec
import pytest
from servers.s3_server import unconditional, unnamed, well

from tasks.io.ledger import Claims, owner
from tasks.io.ledger import claims as claims_module
from tasks.io.ledger.owner import release_all
from tasks.io.machine.processes import place
from tasks.io.store import Store

NAME = "datasets/x/shard-000000"
PATH = f"claims/{NAME}.json"


@pytest.fixture(autouse=True)
def owners(monkeypatch):
    """An owner that is not in the middle of an earlier test's heartbeat."""
    monkeypatch.setattr(owner, "_owners", {})


@pytest.fixture(params=["local", "memory", "s3", "unnamed", "unconditional"])
def store(request, tmp_path):
    if request.param == "local":
        yield Store(str(tmp_path / "root"))
    elif request.param != "memory":
        bucket, proxy = map(request.getfixturevalue, ("bucket", "proxy"))
        proxy.edit = unnamed if request.param == "unnamed" else bytes
        proxy.choose = unconditional if request.param == "unconditional" else well
        yield Store(f"{bucket.url}/root")
    else:
        yield Store(f"memory://{tmp_path.name}/root")
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def claims(store, monkeypatch):
    monkeypatch.setattr(claims_module, "_POLL_S", 0.01)
    yield Claims(store)
    release_all()


def of_another_run(store, *, process=None, where="elsewhere", beat=1):
    said = {"place": where, "process": process or os.getpid(), "owner": "x", "beat": beat}
    store.write(PATH, json.dumps(said).encode())


@contextmanager
def touched(store):
    """Another run goes on touching its claim."""
    ended = threading.Event()

    def touch():
        for beat in count(2):
            if ended.wait(0.1):
                return
            of_another_run(store, beat=beat)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_claim_is_ours_while_the_work_lasts_and_gone_afterwards(claims):
    with claims.held(NAME) as ours:
        assert ours
        said = json.loads(claims.store.read(PATH))
        assert (said["place"], said["process"]) == (place(), os.getpid())
    assert list(claims.store.names("claims")) == []


def test_work_that_fails_lets_its_claim_go(claims):
    def fail():
        with claims.held(NAME):
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert list(claims.store.names("claims")) == []


def test_what_is_claimed_is_not_ours_and_stays_claimed(claims):
    with claims.held(NAME), claims.held(NAME) as ours:
        assert not ours
    of_another_run(claims.store)
    with claims.held(NAME) as ours:
        assert not ours
    assert list(claims.store.names("claims")) == [PATH]


def test_other_work_can_be_claimed_meanwhile(claims):
    with claims.held(NAME) as one, claims.held("datasets/x/shard-000001") as other:
        assert (one, other) == (True, True)


def test_the_patient_wait_until_the_work_is_let_go(claims):
    order = []

    def wait():
        with claims.held(NAME, patient=True) as ours:
            order.append(("second", ours))

    with claims.held(NAME):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append(("first", True))
    thread.join()
    assert order == [("first", True), ("second", True)]


def test_of_many_that_want_the_same_work_one_has_it(claims):
    start, leave, got = threading.Barrier(6), threading.Barrier(6), []

    def want():
        start.wait()
        with claims.held(NAME) as ours:
            got.append(ours)
            leave.wait()

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 5 + [True]


def test_the_claim_of_a_process_that_died_here_is_broken_at_once(claims):
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    ended = int(subprocess.run(command, capture_output=True, check=True).stdout)
    of_another_run(claims.store, process=ended, where=place())
    with claims.held(NAME) as ours:
        assert ours
    assert list(claims.store.names("claims")) == []


def test_the_claim_of_a_silent_run_elsewhere_is_broken_after_a_while(claims, monkeypatch):
    of_another_run(claims.store)
    monkeypatch.setattr(owner, "EXPIRY_S", 0.2)
    started = time.monotonic()
    with claims.held(NAME, patient=True) as ours:
        assert ours
    assert time.monotonic() - started > 0.2


def test_the_claim_of_a_run_that_goes_on_is_kept_however_long(claims, monkeypatch):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.1)
    for beat in range(6):
        of_another_run(claims.store, beat=beat)
        with claims.held(NAME) as ours:
            assert not ours
        time.sleep(0.05)


def test_a_claim_that_says_nothing_sensible_fades_like_others(claims, monkeypatch):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.1)
    for words in (b"", b"[]", b'{"place": 1}', b"\xff"):
        claims.store.write(PATH, words)
        with claims.held(NAME) as ours:
            assert not ours
        with claims.held(NAME, patient=True) as ours:
            assert ours


def test_clocks_do_not_matter(claims, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    of_another_run(claims.store)
    with claims.held(NAME) as ours:
        assert not ours
    claims.store.remove(PATH)
    with claims.held(NAME) as ours:
        assert ours


def test_a_claim_whose_answer_got_lost_is_known_as_ours(bucket, proxy):
    proxy.choose = lambda request: "lost" if request.number == 1 else None
    claims = Claims(Store(bucket.url))
    with claims.held(NAME) as ours:
        assert ours
    assert bucket.keys() == []


def test_a_live_claim_that_was_taken_for_dead_comes_back_with_the_next_beat(claims, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.01)
    with claims.held(NAME):
        claims.store.remove(PATH)
        deadline = time.monotonic() + 10
        while not claims.store.exists(PATH) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert json.loads(claims.store.read(PATH))["process"] == os.getpid()
    time.sleep(0.05)
    assert list(claims.store.names("claims")) == []


def test_a_claim_that_cannot_be_removed_does_not_hide_how_the_work_ended(bucket, proxy):
    claims = Claims(Store(bucket.url))

    def work():
        with claims.held(NAME):
            proxy.choose = lambda request: "denied" if request.writes else None
            raise RuntimeError("the work's own error")

    with pytest.raises(RuntimeError, match="the work's own error"):
        work()


def test_a_claim_that_could_not_be_removed_does_not_keep_its_own_process_waiting(bucket, proxy):
    claims = Claims(Store(bucket.url))
    with claims.held(NAME):
        proxy.choose = lambda request: "denied" if request.method == "DELETE" else None
    assert bucket.keys() == [PATH]
    proxy.choose = lambda _: None
    with claims.held(NAME) as ours:
        assert ours
    assert bucket.keys() == []


def test_a_run_that_ends_lets_everything_go(claims):
    held = claims.held(NAME)
    assert held.__enter__()
    release_all()
    assert list(claims.store.names("claims")) == []


def test_a_claim_that_another_run_took_over_is_neither_touched_nor_removed(claims, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.01)
    with claims.held(NAME):
        of_another_run(claims.store)
        time.sleep(0.1)  # a beat that was under way may overwrite it: claims save work only
        of_another_run(claims.store)
        theirs = claims.store.read(PATH)
        time.sleep(0.2)
        assert claims.store.read(PATH) == theirs
    assert claims.store.read(PATH) == theirs


def test_a_touch_whose_answer_got_lost_leaves_the_claim_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.01)
    write, touched = Store.write, threading.Event()

    def lost(store, path, data):
        write(store, path, data)
        touched.set()
        raise OSError("no answer")

    claims = Claims(Store(str(tmp_path)))
    with claims.held(NAME):
        monkeypatch.setattr(Store, "write", lost)
        assert touched.wait(10)
    assert not claims.store.exists(PATH)


def test_a_slow_upload_keeps_no_other_claim_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "HEARTBEAT_S", 0.01)
    write, stuck, go_on = Store.write, threading.Event(), threading.Event()

    def slow(store, path, data):
        if path == PATH:
            stuck.set()
            go_on.wait(30)
        write(store, path, data)

    monkeypatch.setattr(Store, "write", slow)
    claims = Claims(Store(str(tmp_path)))
    with claims.held(NAME):
        assert stuck.wait(10)
        started = time.monotonic()
        with claims.held("other") as ours:
            assert ours
            first = claims.store.read("claims/other.json")
            while claims.store.read("claims/other.json") == first:
                time.sleep(0.01)
        assert time.monotonic() - started < 10
        go_on.set()
    assert list(claims.store.names("claims")) == []


def test_claims_of_this_place_are_known_to_be_alive_at_once(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "_POLL_S", 60)
    assert claims.alive() == []
    with claims.held(NAME), claims.held("runs/x"):
        assert claims.alive() == [NAME, "runs/x"]


def test_claims_of_runs_that_died_elsewhere_are_removed_after_a_while(claims, monkeypatch):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.2)
    of_another_run(claims.store)
    claims.store.write("claims/odd.json", b"[]")
    started = time.monotonic()
    with claims.held("ours"):
        assert claims.alive() == ["ours"]
    assert time.monotonic() - started > 0.2
    assert list(claims.store.names("claims")) == []


def test_a_claim_from_elsewhere_that_is_renewed_is_alive(claims, monkeypatch):
    monkeypatch.setattr(owner, "EXPIRY_S", 30)
    of_another_run(claims.store)
    with touched(claims.store):
        assert claims.alive() == [NAME]
    assert list(claims.store.names("claims")) == [PATH]


def test_work_that_nobody_has_claimed_is_silent_and_nobody_is_at_it(claims):
    assert claims.is_silent(NAME)
    assert not claims.is_alive(NAME)


def test_work_that_somebody_of_this_place_is_at_is_alive_and_not_silent(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "_POLL_S", 60)
    with claims.held(NAME):
        assert claims.is_alive(NAME)
        assert not claims.is_silent(NAME)
        assert not claims.is_alive("datasets/x/shard-000001")
    assert claims.is_silent(NAME)


def test_the_claim_of_a_process_that_died_here_is_silent_at_once_and_removed(claims):
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    ended = int(subprocess.run(command, capture_output=True, check=True).stdout)
    for ask, answer in ((claims.is_silent, True), (claims.is_alive, False)):
        of_another_run(claims.store, process=ended, where=place())
        assert ask(NAME) is answer
        assert list(claims.store.names("claims")) == []


def test_a_claim_from_elsewhere_is_silent_when_it_has_not_been_touched_for_a_while(
    claims, monkeypatch
):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.2)
    of_another_run(claims.store, beat=1)
    assert not claims.is_silent(NAME)
    of_another_run(claims.store, beat=2)
    assert not claims.is_silent(NAME)
    time.sleep(0.25)
    assert claims.is_silent(NAME)
    assert list(claims.store.names("claims")) == []


def test_asking_whether_a_claim_is_silent_never_waits(claims, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    of_another_run(claims.store)
    assert not claims.is_silent(NAME)
    assert claims.store.exists(PATH)


def test_whether_somebody_elsewhere_is_at_work_is_seen_by_waiting(claims, monkeypatch):
    monkeypatch.setattr(owner, "EXPIRY_S", 0.2)
    of_another_run(claims.store)
    assert not claims.is_alive(NAME)
    assert list(claims.store.names("claims")) == []
    monkeypatch.setattr(owner, "EXPIRY_S", 30)
    of_another_run(claims.store)
    with touched(claims.store):
        assert claims.is_alive(NAME)
    assert list(claims.store.names("claims")) == [PATH]


def test_asking_for_one_claim_looks_at_no_other(claims, monkeypatch):
    monkeypatch.setattr(claims_module, "_POLL_S", 60)
    claims.store.write("claims/conductors/other.json", b"[]")
    with claims.held(NAME):
        assert claims.is_alive(NAME)  # the other would be watched for a minute
