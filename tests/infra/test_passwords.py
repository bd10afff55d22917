"""Passwords: made up once, readable by their owner, none twice."""

import re
import subprocess
import sys

import pytest

from infra.passwords import files, main


def test_every_file_is_written_for_its_owner_only_but_prometheus_own(tmp_path):
    folder = tmp_path / "secrets"
    assert main(folder) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes) == set(files())
    assert modes.pop("prometheus-password") == 0o644
    assert set(modes.values()) == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_there_stays(tmp_path):
    assert main(tmp_path) == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(tmp_path) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_a_folder_with_some_of_the_files_is_refused(tmp_path, capsys):
    assert main(tmp_path) == 0
    (tmp_path / "redis.env").unlink()
    assert main(tmp_path) == 1
    assert "must hold all files or none, lacks redis.env" in capsys.readouterr().err
    assert not (tmp_path / "redis.env").exists()


def test_no_password_is_used_for_two_things_or_made_twice():
    first, second = passwords(), passwords()
    assert len(first) == len(second) == 5
    assert not first & second


def passwords():
    """All that are in a fresh set of files."""
    text = "\n".join(files().values())
    return set(re.findall(r"(?:^|[:=])([\w-]{32})(?=@|$)", text, re.MULTILINE))


def test_passwords_match_where_two_parts_share_them():
    made = files()
    shared = dict(re.findall(r"^(\w+)=(.*)$", "\n".join(made.values()), re.MULTILINE))
    assert shared["PREFECT_API_AUTH_STRING"] == shared["PREFECT_SERVER_API_AUTH_STRING"]
    assert shared["PREFECT_API_AUTH_STRING"] == f"admin:{made['prometheus-password']}"
    assert shared["AWS_SECRET_ACCESS_KEY"] == shared["MINIO_ROOT_PASSWORD"]
    assert f":{shared['POSTGRES_PASSWORD']}@" in shared["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    for name in ("MESSAGING_URL", "WORKER_CLEANUP_QUEUE_URL"):
        assert f":{shared['REDIS_PASSWORD']}@" in shared[f"PREFECT_REDIS_{name}"]
    assert f":{shared['REDIS_PASSWORD']}@" in shared["PREFECT_SERVER_DOCKET_URL"]


@pytest.mark.parametrize("words", [[], ["one", "two"]])
def test_the_command_says_how_it_is_used(words):
    command = [sys.executable, "-m", "infra.passwords", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "usage: python -m infra.passwords FOLDER")
