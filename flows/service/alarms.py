"""Alarms: the automations of ``infra/automations.yaml`` on the Prefect server, and whom they tell.

They tell a block of the server: a webhook, or one of Prefect's notification blocks. The server
keeps the address in the block encrypted; automations, events and logs name the block alone.
"""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventRelatedFilter,
)
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from pydantic import SecretStr

from tasks.io.errors import ConfigurationError, DotpipeError

BLOCK = "dotpipe-alarms"
"""Name of the block that keeps the address of a webhook."""

NOBODY = "nobody"
"""Whom to name to have alarms only on the dashboard."""

TRIED = "dotpipe.alarms.tried"
"""The event by which alarms are tried out; the last automation of the file waits for it."""

_PATIENCE_S = 60.0
"""Seconds until the server must have told somebody of it."""

_TEXT = (
    "{{ automation.name }}"
    "{% if flow_run %}: {{ flow_run.name }}"
    "{% if flow_run.state %}, {{ flow_run.state.name }} {{ flow_run.state.message or '' }}"
    "{% endif %}"
    " {{ flow_run | ui_url or '' }}"
    "{% elif work_pool %}: {{ work_pool.name }} {{ work_pool | ui_url or '' }}"
    "{% elif event %}: {{ event.resource.id }} {{ event.payload | tojson }}{% endif %}"
    " (what to do: infra/docs/operations.md, Alarms)"
)
"""What somebody is told: the alarm, and the run or pool that it is about."""

_FIELDS = {"discord.com": "content", "discordapp.com": "content"}
"""The field of a message that holds its text, by host; others call it ``text``, as Slack,
Mattermost, Rocket.Chat and Google Chat do."""


class Recipient(NamedTuple):
    """Whom alarms tell: its name to a reader, and the actions that tell it."""

    name: str
    actions: tuple[dict[str, Any], ...]


class Registered(NamedTuple):
    """An alarm that is on the server, and how many blocks it tells."""

    name: str
    blocks: int


def register_alarms(whom: Recipient | None) -> list[Registered]:
    """Register all alarms, or update those that are there; each is there once afterwards.

    An alarm that a person has disabled stays so.

    Args:
        whom: who is told; None leaves those who are.
    """
    with get_client(sync_client=True) as api:
        return [_register(api, entry, whom) for entry in _defined()]


def webhook(address: str) -> Recipient:
    """Keep the address of a webhook on the server, and return it as a recipient.

    Args:
        address: an address that takes a JSON message by POST. It is a secret: whoever knows
            it can write there.

    Raises:
        ConfigurationError: it is no such address; the text does not show it.
    """
    host = _host(address)
    if host is None:
        raise ConfigurationError(
            f"the address that alarms are sent to must begin with https:// or http:// and name a "
            f"host, got {len(address)} characters that do not"
        )
    block = Webhook(
        url=SecretStr(address), headers=SecretDict({"Content-Type": "application/json"})
    )
    identity = block.save(BLOCK, overwrite=True)
    return Recipient(host, (_call(str(identity), _field(host)),))


def block(name: str) -> Recipient:
    """Return a block of the server as a recipient.

    Args:
        name: its type and its own name, as in ``slack-webhook/on-call``.

    Raises:
        ConfigurationError: there is none of this name.
    """
    kind, _, own = name.partition("/")
    try:
        with get_client(sync_client=True) as api:
            found: BlockDocument = api.read_block_document_by_name(own, kind)
    except ObjectNotFound as error:
        raise ConfigurationError(
            f"alarms must be told to a block of the Prefect server, as in 'slack-webhook/on-call', "
            f"got {name!r}, which it does not have; make it on the dashboard, under Blocks"
        ) from error
    if kind == "webhook":
        return Recipient(name, (_call(str(found.id), "text"),))
    told = {"subject": "{{ automation.name }}", "body": _TEXT}
    return Recipient(
        name, ({"type": "send-notification", "block_document_id": str(found.id)} | told,)
    )


def nobody() -> Recipient:
    """The recipient that is told nothing."""
    return Recipient(NOBODY, ())


def try_out() -> None:
    """Have the server tell those who are told of alarms that this is a trial, and wait for it.

    Raises:
        DotpipeError: the message could not be sent, or not in time.
    """
    event = str(uuid.uuid4())
    told = {
        "id": event,
        "occurred": datetime.now(UTC).isoformat(),
        "event": TRIED,
        "resource": {"prefect.resource.id": TRIED},
        "payload": {"note": "a trial, nothing is wrong"},
    }
    deadline = time.monotonic() + _PATIENCE_S
    with get_client(sync_client=True) as api:
        api.request("POST", "/events", json=[told])
        while (outcome := next(_outcomes(api, event), None)) is None:
            if time.monotonic() > deadline:
                raise DotpipeError(
                    f"the Prefect server must send the trial of the alarms within "
                    f"{_PATIENCE_S:.0f} s, but has not; look whether its services run"
                )
            time.sleep(0.5)
    status = outcome.get("status_code", 200)
    if "reason" in outcome or status >= 400:
        said = outcome.get("reason") or f"{status} {outcome.get('response_body', '')}".strip()
        raise DotpipeError(
            f"whom alarms are told to must take messages from the Prefect server, got {said!r}; "
            "the alarms are registered: correct the address or the block, and try again"
        )


def _outcomes(api: SyncPrefectClient, event: str) -> Iterator[dict[str, Any]]:
    """What came of telling somebody of an event, by each action that was taken."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # whatever the server's clock says
    ended = ["prefect.automation.action.executed", "prefect.automation.action.failed"]
    wanted = EventFilter(
        occurred=EventOccurredFilter.model_validate({"until": tomorrow}),
        event=EventNameFilter(name=ended),
        related=EventRelatedFilter(id=[f"prefect.event.{event}"]),
    )
    for found in api.read_events(wanted, limit=10).events:
        yield dict(found.payload)


def _defined() -> list[AutomationCore]:
    text = (files("infra") / "automations.yaml").read_text("utf-8")
    return [AutomationCore.model_validate(one) for one in yaml.safe_load(text)["automations"]]


def _register(api: SyncPrefectClient, entry: AutomationCore, whom: Recipient | None) -> Registered:
    """Make an automation, or bring the one of its name up to date, and remove any double."""
    known = api.read_automations_by_name(entry.name)
    actions = _actions(entry, known[0] if known else None, whom)
    wanted = AutomationCore.model_validate(
        entry.model_dump(mode="json", exclude_unset=True) | {"actions": actions}
    )
    if known:
        wanted.enabled = known[0].enabled
        api.update_automation(known[0].id, wanted)
    else:
        api.create_automation(wanted)
    for double in known[1:]:
        api.delete_automation(double.id)
    return Registered(entry.name, sum("block_document_id" in action for action in actions))


def _actions(
    entry: AutomationCore, known: Automation | None, whom: Recipient | None
) -> list[dict[str, Any]]:
    """The actions of an alarm: its own, and those that tell somebody."""
    if whom is not None:
        telling = list(whom.actions)
    else:
        telling = [] if known is None else [one for one in _dumped(known) if _tells(one)]
    own = [one for one in _dumped(entry) if not _tells(one) and one["type"] != "do-nothing"]
    return [*own, *telling] or [{"type": "do-nothing"}]


def _dumped(automation: AutomationCore) -> list[dict[str, Any]]:
    return [action.model_dump(mode="json") for action in automation.actions]


def _tells(action: dict[str, Any]) -> bool:
    return "block_document_id" in action


def _call(identity: str, field: str) -> dict[str, Any]:
    """The action that posts the text to the webhook in a block."""
    payload = f'{{% set said %}}{_TEXT}{{% endset %}}{{"{field}": {{{{ said | tojson }}}} }}'
    return {"type": "call-webhook", "block_document_id": identity, "payload": payload}


def _host(address: str) -> str | None:
    """The host of an address of the web, or None where it is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in {"https", "http"} else None


def _field(host: str) -> str:
    known = (name for place, name in _FIELDS.items() if host.removeprefix("www.") == place)
    return next(known, "text")
