"""The page on security says what the code does, and the audit covers every pin."""

import re
import subprocess
from pathlib import Path

import pytest

from flows.view.server import serve
from infra.job_template import with_defaults
from tasks.config.compute import Shards
from tasks.io.errors import ConfigurationError
from tasks.io.images.decoder import memory_for
from tasks.io.images.decoder_process import TIME_LIMIT_S
from tasks.io.images.limits import Limits
from tasks.io.images.opening import MOST_PIXELS
from tasks.io.shards.foreign_tars import MOST_REFUSED
from tasks.io.shards.keys import LONGEST_NAME
from tasks.io.shards.sides import LARGEST_SIDE

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "infra" / "docs" / "security.md").read_text("utf-8")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def limit(what):
    """The number in the second column of the row on a limit."""
    (said,) = re.findall(rf"^\| {what} \| ([^|]*) \|", PAGE, re.MULTILINE)
    if power := re.fullmatch(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", said.strip()):
        return 2 ** int(power[1].translate(SUPERSCRIPTS))
    return int(re.match(r"[\d,]+", said)[0].replace(",", ""))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("pixels of an image", Shards().max_pixels),
        ("bytes of a file", Shards().max_bytes),
        ("seconds for an image", TIME_LIMIT_S),
        ("bytes of a caption", LARGEST_SIDE),
        ("bytes of a name in a tar", LONGEST_NAME),
        ("refused members of a tar that get a row each", MOST_REFUSED),
        ("share of refused images above which a run stops", 100 * Shards().max_bad_fraction),
    ],
)
def test_the_limits_are_those_of_the_code(what, value):
    assert limit(what) == value


def test_the_memory_of_a_decoder_is_what_the_page_says():
    limits = Limits(max_pixels=1000, max_bytes=7)
    assert memory_for(limits, 100) == 32 * 100 + 2 * 7 + 128 * 2**20
    assert MOST_PIXELS == 2**31


def test_the_token_of_a_page_has_as_many_random_bits_as_it_says(monkeypatch):
    asked = []
    monkeypatch.setattr("flows.view.server.secrets.token_urlsafe", asked.append)

    def taken(port):
        raise ConfigurationError("taken")

    monkeypatch.setattr("flows.view.server.listening", taken)
    with pytest.raises(ConfigurationError, match="taken"):
        serve(None, 0, print)
    assert {8 * size for size in asked} == {int(re.search(r"(\d+) random bits", PAGE)[1])}


def test_jobs_have_no_token_of_their_account():
    pod = with_defaults([])["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == int(re.search(r"user (\d{5})", PAGE)[1])


def test_the_audit_covers_every_pin_and_fails_where_it_cannot_look():
    done = subprocess.run(
        ["make", "--dry-run", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    words = done.stdout.split()
    assert {"--strict", "--no-deps", "--disable-pip"} <= set(words)
    assert words[words.index("--requirement") + 1] == "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!+-]+", pin)] == []
