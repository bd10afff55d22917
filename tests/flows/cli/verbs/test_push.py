"""`dotpipe push CONFIG --to hf://datasets/ORG/NAME`: what is said, and what stands there then."""

import pytest

from tasks.io.hub import Repository

ADDRESS = "hf://datasets/org/faces"


@pytest.fixture
def pushed(dotpipe, complete, hub):
    """Pushes the finished run, with these words."""
    return lambda *words: dotpipe("push", complete.file, "--to", ADDRESS, *words)


def test_a_run_is_pushed_once_and_the_second_time_nothing_is(pushed, hub):
    code, told, _ = pushed("--dry-run", "--alpha", "0.5")
    assert code == 0
    assert told.startswith("to push: ")
    assert told.endswith(f" and the card, to {ADDRESS}\n")
    assert hub.repositories == {}
    code, done, _ = pushed("--private", "--alpha", "0.5")
    what, licence = done.splitlines()
    assert (code, what) == (0, told.rstrip().replace("to push: ", "pushed: "))
    assert licence == f"next: fill in the licence of the card, {hub.address}/datasets/org/faces"
    repository = hub.repositories["org/faces"]
    assert repository.private
    assert [commit.title for commit in repository.commits][1:] == ["Push tiny at alpha 0.5"]
    code, told, err = pushed("--alpha", "0.5")
    assert (code, told, err) == (0, f"nothing to push: {ADDRESS} has all of it\n", "")


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_private_is_refused_where_everybody_sees_the_repository(pushed, hub, words):
    Repository.of(ADDRESS).create(private=False)
    code, told, err = pushed("--private", *words)
    assert (code, told) == (1, "")
    assert f"--private must name a repository that is private or not there yet, but {ADDRESS}" in (
        " ".join(err.split())
    )
    assert hub.count("PUT") == 0
    assert len(hub.repositories["org/faces"].commits) == 1


def test_private_is_taken_where_the_repository_is_private_already(pushed, hub):
    Repository.of(ADDRESS).create(private=True)
    code, told, _ = pushed("--private", "--alpha", "0.5")
    assert (code, told.startswith("pushed: ")) == (0, True)
    assert len(hub.repositories["org/faces"].commits) == 2
    code, told, _ = pushed("--private", "--alpha", "0.5")
    assert (code, told.startswith("nothing to push: ")) == (0, True)


def test_a_file_that_was_sent_is_not_sent_again_after_a_refused_commit(pushed, hub):
    hub.choose = lambda asked: "403" if "/commit/" in asked.path else None
    code, _, err = pushed()
    assert code == 1
    assert f"{ADDRESS} was refused: 403 " in err
    assert "set HF_TOKEN to a token that may do this" in err
    sent = hub.count("PUT")
    assert sent > 0
    hub.choose = lambda _: None
    code, told, _ = pushed()
    assert (code, told.startswith("pushed: ")) == (0, True)
    assert hub.count("PUT") == sent
    folders = {path.split("/")[1] for path in hub.repositories["org/faces"].files if "=" in path}
    assert folders == {"alpha=+0.00", "alpha=+0.50"}


def test_mistakes_are_told_before_anything_is_asked(dotpipe, complete, project, hub):
    code, _, err = dotpipe("push", complete.file, "--to", "hf://org/faces")
    assert (code, "must be hf://datasets/ORG/NAME" in err) == (1, True)
    code, _, err = dotpipe("push", complete.file, "--to", ADDRESS, "--alpha", "0.7")
    assert (code, "--alpha must be one of enhance.alphas, got 0.7" in err) == (1, True)
    code, _, err = dotpipe("push", project.file, "--to", ADDRESS)
    assert (code, "CONFIG` first" in err) == (1, True)
    assert hub.asked == []


def test_the_hub_is_no_place_for_a_workspace_or_an_export(dotpipe, complete, tmp_path):
    code, _, err = dotpipe("export", complete.file, f"{ADDRESS}/x", "--alpha", "0.5")
    assert (code, "push it to the Hub afterwards with `dotpipe push" in err) == (1, True)
    text = complete.file.read_text("utf-8").replace("workspace: workspace", f"workspace: {ADDRESS}")
    other = tmp_path / "other.yaml"
    other.write_text(text, "utf-8")
    code, _, err = dotpipe("check", other)
    assert (code, "workspace" in err, "push it to the Hub" in err) == (1, True, True)


@pytest.mark.parametrize("scheme", ["gs", "az", "abfs"])
def test_a_check_says_what_to_do_about_clouds_that_are_not_supported(
    dotpipe, complete, tmp_path, scheme
):
    text = complete.file.read_text("utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("path: natural", f"path: {scheme}://bucket/natural"), "utf-8")
    assert f"{scheme}://" in other.read_text("utf-8")
    code, _, err = dotpipe("check", other)
    assert code == 1
    assert f"{scheme}:// is not supported; mount the bucket as a folder, or copy what it" in err
