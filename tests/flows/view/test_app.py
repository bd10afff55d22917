"""The application: who may ask, what is answered, and that nothing but votes is written."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from flows.view.answers import Answers
from flows.view.app import application
from tasks.io.errors import StoreRefused
from tasks.view.sheet import Page, Sheet
from tasks.view.viewed import Viewed
from tasks.view.votes import Votes

TOKEN = "right"
PAGES = ("", "view.css", "main.js", "logic.js", "parts.js", "pane.js", "browse.js", "image.js")
PAGES += ("vote.js", "result.js")


@pytest.fixture(scope="module")
def client(viewed):
    return TestClient(application(viewed, TOKEN), base_url="http://127.0.0.1:8000/right/")


def ask(**question):
    return {"ask": json.dumps({"question": {"at": "+0.00", **question}})}


def first_image(client):
    row = client.get("rows", params=ask()).json()["rows"][0]
    return {"shard": row["shard"], "key": row["key"]}


def first_key_in(tar):
    return pq.read_table(tar.with_suffix(".parquet"), columns=["key"])["key"][0].as_py()


def files_of(viewed):
    root = Path(viewed.workspace.url)
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize("path", ["facts", "", "picture?shard=a", "result", "nothing"])
@pytest.mark.parametrize("token", ["wrong", "righ", "right2", "%00", ""])
def test_nobody_gets_anything_without_the_token(client, path, token):
    answer = client.get(f"http://127.0.0.1:8000/{token}/{path}")
    assert (answer.status_code, answer.text) == (
        (404, "open the address that `dotpipe view` has printed")
    )


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1]:8000"]
)
def test_a_name_that_leads_here_from_elsewhere_is_refused(client, host):
    assert client.get("facts", headers={"Host": host}).status_code == 421


def test_a_ticket_leads_to_the_page_once_and_from_this_machine_alone(viewed):
    app = application(viewed, TOKEN, "ticket")
    browser = TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False)
    assert browser.get("/ticket", headers={"Host": "evil.example"}).status_code == 421
    answer = browser.get("/ticket")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/{TOKEN}/")
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.get("/ticket").status_code == 404
    assert browser.get("/").status_code == 404
    assert browser.get(f"/{TOKEN}/").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "localhost"])
def test_a_tunnel_may_have_another_port(client, host):
    assert client.get("facts", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9000"])
def test_other_pages_may_not_ask(client, origin):
    for method in ("get", "post", "options"):
        answer = getattr(client, method)("trials", headers={"Origin": origin})
        assert answer.status_code == 403
        assert not any(name.startswith("access-control") for name in answer.headers)
    own = {"Origin": "http://127.0.0.1:8000"}
    assert client.get("facts", headers=own).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "facts", "nothing"])
def test_every_answer_forbids_the_page_what_it_does_not_need(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_the_page_is_there_and_names_nothing_outside(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    kind = {"": "html", "css": "css", "js": "javascript"}[path.rpartition(".")[2]]
    assert answer.headers["content-type"] == f"text/{kind}; charset=utf-8"
    assert "http:" not in answer.text
    assert "https:" not in answer.text


def test_rows_are_those_that_are_asked_for(client):
    found = client.get("rows", params=ask(sort="psnr", against="input", descending=True)).json()
    values = [row["psnr"] for row in found["rows"]]
    assert found["total"] == 8
    assert values == sorted(values, reverse=True)
    assert all("psnr_change" in row for row in found["rows"])


def test_numbers_that_json_lacks_are_texts(viewed, monkeypatch):
    rows = [{"psnr": float("inf"), "ssim": float("nan"), "lpips": None, "mse": 0.5, "width": 3}]
    monkeypatch.setattr(Sheet, "page", lambda *_: Page(0, 1, rows))
    found = Answers(viewed).rows(ask()["ask"])
    expected = {"psnr": "inf", "ssim": "nan", "lpips": None, "mse": 0.5, "width": 3}
    assert found["rows"] == [expected]


def test_an_image_has_its_numbers_and_pictures_at_every_version(client):
    place = first_image(client)
    found = client.get("image", params=place).json()
    names = [version["name"] for version in found["versions"]]
    assert names == ["+0.00", "+0.50", "+1.00", "input", "reference"]
    for name in names:
        picture = client.get("picture", params={**place, "version": name})
        small = client.get("picture", params={**place, "version": name, "small": "1"})
        assert {picture.status_code, small.status_code} == {200}
        assert picture.headers["content-type"].startswith("image/")
        assert picture.headers["cache-control"] == "private, max-age=3600"


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("rows", {"ask": "{"}, "a question must be one that the page asks"),
        ("rows", ask(sort="colour"), "a column must be one of"),
        ("image", {"shard": "../..", "key": "a"}, "a shard must be one of the finished ones"),
        ("picture", {"shard": "shard-000000", "key": "a", "version": "+0.00"}, "must be one that"),
        ("picture", {"version": "../x"}, "a version must be one of"),
        ("trials/unknown/left", {}, "take a new one"),
    ],
)
def test_what_is_not_there_is_a_sentence(client, path, params, said):
    answer = client.get(path, params=params)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_what_has_been_removed_meanwhile_is_told_with_what_helps(own_config):
    served = TestClient(application(Viewed.of(own_config), TOKEN))
    ours = Path(own_config.workspace) / "datasets/run/shard-000000.tar"
    aside = ours.rename(ours.with_name("aside"))
    try:
        place = {"shard": "shard-000000", "version": "input", "key": first_key_in(ours)}
        answer = served.get(f"http://127.0.0.1:8000/{TOKEN}/picture", params=place)
    finally:
        aside.rename(ours)
    assert answer.status_code == 409
    assert answer.json()["error"].endswith("start `dotpipe view` again")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"voter": 1}', b'{"voter": "Ada", "versions": ["input"]}'],
)
def test_what_is_sent_must_be_what_the_page_sends(client, body):
    answer = client.post("trials", content=body)
    assert answer.status_code == 400
    assert "must be" in answer.json()["error"]


def test_what_is_sent_is_short(client):
    assert client.post("trials", content=b" " * 20000).status_code == 413
    pieces = (b" " * 100 for _ in range(3))
    assert client.post("trials", content=pieces).status_code == 413


def test_nothing_of_a_comparison_tells_which_side_is_which(client):
    sent = client.post("trials", json={"voter": "Ada", "versions": ["+0.00", "reference"]})
    trial = sent.json()
    assert trial.keys() == {"id", "cast", "width", "height"}
    assert len(trial["id"]) == 32
    left, right = (client.get(f"trials/{trial['id']}/{side}") for side in ("left", "right"))
    assert left.content != right.content
    assert left.headers.keys() == right.headers.keys()
    assert "x-note" not in left.headers


def test_votes_are_counted_and_nothing_else_is_written(client, viewed):
    before = files_of(viewed)
    cast = [("Ada", "left"), ("Ada", "same"), ("Emmy", "right")]
    for number, (voter, choice) in enumerate(cast, start=1):
        trial = client.post("trials", json={"voter": voter, "versions": ["+0.00", "input"]}).json()
        client.get(f"trials/{trial['id']}/left")
        body = {"choice": choice, "seconds": 1.25}
        for _ in range(2):  # the second as where the answer was lost
            assert client.post(f"trials/{trial['id']}", json=body).status_code == 200
        assert client.get("result").json()["votes"] == number
    found = client.get("result").json()
    assert (found["voters"], found["pairs"][0]["same"]) == (2, 1)
    assert [pair["first"] for pair in found["pairs"]] == ["+0.00"]
    assert {strength["name"] for strength in found["strengths"]} == {"+0.00", "input"}
    first_image(client)
    after = files_of(viewed)
    changed = {path for path in after if before.get(path) != after[path]}
    assert {path.split("/")[0] for path in changed} == {"votes"}
    assert before.keys() <= after.keys()


@pytest.mark.parametrize("choice", ["", "neither", None, 1])
def test_a_vote_is_for_a_side_or_for_neither(client, choice):
    trial = client.post("trials", json={"voter": "Ada", "versions": ["+0.50", "input"]}).json()
    answer = client.post(f"trials/{trial['id']}", json={"choice": choice})
    assert answer.status_code == 400


def test_a_store_that_refuses_is_told_and_the_vote_can_be_sent_again(client, monkeypatch):
    trial = client.post("trials", json={"voter": "Ada", "versions": ["+0.50", "input"]}).json()
    body = {"choice": "left", "seconds": None}
    with monkeypatch.context() as patch:

        def refuse(*_):
            raise StoreRefused("the disk is full; make room")

        patch.setattr(Votes, "add", refuse)
        answer = client.post(f"trials/{trial['id']}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (503, "the disk is full; make room")
    assert client.post(f"trials/{trial['id']}", json=body).status_code == 200


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_other_methods_are_refused(client, method):
    assert getattr(client, method)("facts").status_code == 405
