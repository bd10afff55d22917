"""Latents that were kept of a fit: found by key and bytes, and no others held."""

import torch

from tasks.io.ledger import Ledger
from tasks.io.shards import Member
from tasks.io.store import Store
from tasks.io.workspace.kept_latents import KeptLatents


def member(key, sha256):
    return Member(key, "shard-000000.tar", 0, 1, sha256=sha256, width=8, height=8)


def keep(store, artifact, *members, encoding="e"):
    """Keeps latents of images, each of them its number."""
    kept = KeptLatents(encoding)
    for number, each in enumerate(members):
        kept.add(each, torch.full((1, 4, 1, 1), float(number)))
    with Ledger(store).publishing(artifact, "f" * 32) as publication:
        kept.write(publication)


def test_latents_are_found_beside_any_moments_of_the_shard_and_no_others_are_held(tmp_path):
    store = Store(str(tmp_path))
    a, b, other = member("a", "1"), member("b", "2"), member("other", "3")
    keep(store, "moments/x/m/few/shard-000000", other, a)
    keep(store, "moments/x/m/many/shard-000000", member("b", "changed"), other)
    keep(store, "moments/x/m/more/shard-000000", b)
    choices = ("few", "many", "gone", "more")
    found = KeptLatents.read(store, [f"moments/x/m/{c}/shard-000000" for c in choices], [a, b], "e")
    assert float(found.of(a).mean()) == 1.0
    assert float(found.of(b).mean()) == 0.0
    assert found.of(member("a", "changed")) is None
    assert found._latents.keys() == {"a", "b"}
