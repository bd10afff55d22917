"""What is digested of a part, and of what it must know of others: what ever was, whatever comes."""

from typing import NamedTuple

import pytest

from tasks.io.ledger import with_fields
from tasks.io.shards.cuts.parts import Across, Part, SideElsewhere, read_across, write_parts
from tasks.io.store import Store

SIDES = (
    SideElsewhere(b"m" * 16, "txt", 512, 7),
    SideElsewhere(b"n" * 16, "json", 9, 8, "too 'large'"),
)
FULL = Across((b"t" * 16,), (b"r" * 16, b"s" * 16), (b"\xff" * 16,), SIDES)
PART = Part(3, 1024, 9000, 5, 12, 1, False, "ab" * 16)


@pytest.mark.parametrize(
    ("across", "digest"),
    [
        (Across(), "03c56a747aadf9024cd74aa1b0767c34"),
        (FULL, "577754850a69026d7eac78af11686a5c"),
    ],
)
def test_digests_are_those_of_the_first_version_that_cut_tars(across, digest):
    assert across.digest == digest


@pytest.mark.parametrize("name", Across._fields)
def test_all_that_a_part_must_know_decides_its_digest(name):
    assert FULL._replace(**{name: ()}).digest != FULL.digest


def test_a_new_field_of_a_class_changes_no_digest_before_it_is_told():
    class Before(NamedTuple):
        a: int = 1

    class After(NamedTuple):
        a: int = 1
        b: int = 2

    assert with_fields("It", After(), ["a"]) == with_fields("It", Before(), ["a"]) == "It(a=1)"
    assert with_fields("It", After(), ["a", "b"]) == "It(a=1, b=2)"


def test_fingerprints_hold_all_fields_of_a_part():
    assert PART.in_fingerprints == tuple(PART)


def test_what_is_written_of_a_part_is_read_again_and_of_no_other(tmp_path):
    write_parts([(PART._replace(number=0), FULL)], tmp_path / "parts.parquet")
    store = Store(str(tmp_path))
    assert read_across(store, "parts.parquet", PART._replace(number=0)) == FULL
    assert read_across(store, "parts.parquet", PART._replace(number=0, end=9001)) is None
    assert read_across(store, "parts.parquet", PART._replace(number=64)) is None
