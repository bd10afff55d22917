"""Alarms: each is registered once, and tells a webhook without its address being shown."""

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client

from flows.service import alarms
from tasks.io.errors import ConfigurationError, DotpipeError

NAMES = [one.name for one in alarms._defined()]
SECRET = "T0/B0/a-secret"


class Receiver(NamedTuple):
    """A webhook on this machine, and the messages that it was sent."""

    address: str
    messages: list[dict[str, str]]


@pytest.fixture
def receiver():
    """Takes messages at every path but those below /gone, as a chat does."""
    messages = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_gone = self.path.startswith("/gone")
            if not is_gone:
                assert self.headers["Content-Type"] == "application/json"
                messages.append(json.loads(body))
            self.send_response(404 if is_gone else 200)
            self.end_headers()
            self.wfile.write(b"no_team" if is_gone else b"ok")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield Receiver(f"http://127.0.0.1:{listening.server_port}", messages)
        listening.shutdown()


@pytest.fixture
def client(server):
    """Of a server that has no alarms before or after."""
    with get_client(sync_client=True) as client:
        yield client
        for one in client.read_automations():
            client.delete_automation(one.id)


def named(client):
    return {one.name: one for one in client.read_automations()}


def blocks_of(automation):
    return [
        action.block_document_id
        for action in automation.actions
        if hasattr(action, "block_document_id")
    ]


def test_every_alarm_is_there_once_however_often_it_is_registered(client):
    assert [alarm.name for alarm in alarms.register_alarms(None)] == NAMES
    for one in alarms._defined():  # as `prefect automation create` would a second time
        client.create_automation(one)
    assert [alarm.blocks for alarm in alarms.register_alarms(None)] == [0] * len(NAMES)
    assert sorted(one.name for one in client.read_automations()) == sorted(NAMES)


def test_a_dead_run_is_still_marked_when_somebody_is_told(client, receiver):
    alarms.register_alarms(alarms.webhook(receiver.address))
    (dead,) = [one for name, one in named(client).items() if "sign of life" in name]
    assert [action.type for action in dead.actions] == ["change-flow-run-state", "call-webhook"]
    stalled = named(client)["dotpipe run stalled"]
    assert [action.type for action in stalled.actions] == ["call-webhook"]


def test_whom_alarms_tell_stays_until_it_is_said_otherwise(client, receiver):
    alarms.register_alarms(alarms.webhook(receiver.address))
    before = {name: blocks_of(one) for name, one in named(client).items()}
    assert all(before.values())
    alarms.register_alarms(None)
    assert {name: blocks_of(one) for name, one in named(client).items()} == before
    alarms.register_alarms(alarms.nobody())
    assert not any(blocks_of(one) for one in named(client).values())


def test_an_alarm_that_a_person_has_disabled_stays_so(client):
    alarms.register_alarms(None)
    stalled = named(client)["dotpipe run stalled"]
    client.pause_automation(stalled.id)
    alarms.register_alarms(None)
    assert named(client)["dotpipe run stalled"].enabled is False
    assert named(client)["dotpipe nightly run failed"].enabled is True


def test_a_failed_night_reaches_a_webhook_and_its_address_reaches_nobody(client, receiver):
    alarms.register_alarms(alarms.webhook(f"{receiver.address}/services/{SECRET}"))
    alarms.try_out()
    (trial,) = receiver.messages
    assert trial["text"].startswith("dotpipe alarms are tried: ")
    event = {
        "id": str(uuid.uuid4()),
        "event": "dotpipe.run.stalled",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": "dotpipe.run.faces"},
        "payload": {"note": 'blocks of "faces" wait'},
    }
    client.request("POST", "/events", json=[event])
    assert next(_wait_for(client, event["id"]))["status_code"] == 200
    assert receiver.messages[1]["text"].startswith(
        'dotpipe run stalled: dotpipe.run.faces {"note": "blocks of \\"faces\\" wait"}'
    )
    shown = [client.read_events(limit=50).model_dump_json()]
    shown += [one.model_dump_json() for one in client.read_automations()]
    document = client.read_block_document_by_name(alarms.BLOCK, "webhook", include_secrets=False)
    shown.append(document.model_dump_json())
    assert not any(SECRET in text for text in shown)


def _wait_for(client, event):
    while True:
        yield from alarms._outcomes(client, event)


@pytest.mark.parametrize(
    ("place", "said"),
    [("/gone", "404 no_team"), (":1", "connection attempts failed")],
)
def test_a_webhook_that_takes_no_message_is_told_at_once(client, receiver, place, said):
    address = receiver.address if place.startswith("/") else "http://127.0.0.1"
    alarms.register_alarms(alarms.webhook(f"{address}{place}/{SECRET}"))
    with pytest.raises(DotpipeError, match=said) as raised:
        alarms.try_out()
    assert SECRET not in str(raised.value)


def test_a_notification_block_of_the_server_is_told(client, receiver):
    chat = CustomWebhookNotificationBlock(
        name="chat", url=receiver.address, json_data={"both": "{{subject}}: {{body}}"}
    )
    chat.save("on-call", overwrite=True)
    alarms.register_alarms(alarms.block("custom-webhook/on-call"))
    alarms.try_out()
    assert receiver.messages[0]["both"].startswith("dotpipe alarms are tried: dotpipe alarms")


@pytest.mark.parametrize("name", ["slack-webhook/nobody-made-it", "on-call", ""])
def test_a_block_that_is_not_there_is_one_sentence(client, name):
    with pytest.raises(ConfigurationError, match="which it does not have; make it on") as raised:
        alarms.block(name)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("address", ["", "hooks.example.org/secret", "ftp://x/secret", "https://"])
def test_what_is_no_address_of_the_web_is_refused_unshown(client, address):
    with pytest.raises(ConfigurationError, match=f"got {len(address)} characters") as raised:
        alarms.webhook(address)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("https://discord.com/api/webhooks/1/a", "content"),
        ("https://hooks.slack.com/services/a", "text"),
        ("https://chat.mine.org/hooks/a", "text"),
    ],
)
def test_a_message_has_the_field_that_its_service_reads(client, address, field):
    (action,) = alarms.webhook(address).actions
    assert f'{{"{field}": ' in action["payload"]
