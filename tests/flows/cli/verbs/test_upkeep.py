"""Commands that look after a workspace, as a user runs them."""

import json

import pytest

from tasks.upkeep.refused import LostImage

pytestmark = pytest.mark.usefixtures("server")


def enhanced_tar(project):
    return next(project.workspace.glob("enhanced/*/*/alpha=+0.00/shard-000001.tar"))


def test_verify_names_the_damage_and_repair_mends_it(complete, undisturbed, dotpipe):
    code, out, _ = dotpipe("verify", complete.file)
    assert (code, "all as they were written" in out) == (0, True)
    tar = enhanced_tar(complete)
    tar.write_bytes(tar.read_bytes()[:-1])
    code, out, _ = dotpipe("verify", complete.file)
    assert code == 1
    assert f"{tar.relative_to(complete.workspace)}: " in out
    assert "1 damaged" in out
    assert f"`dotpipe repair {complete.file}` makes the shards that hold these again" in out
    code, out, _ = dotpipe("repair", complete.file)
    assert code == 0
    assert complete.lasting() == undisturbed


def test_repair_says_what_another_configuration_must_make_again(complete, dotpipe):
    other = complete.file.with_name("other.yaml")
    text = complete.file.read_text("utf-8").replace("name: tiny", "name: other")
    other.write_text(text, "utf-8")
    assert dotpipe("run", other)[0] == 0
    tar = next(complete.workspace.glob("enhanced/other/*/alpha=+0.00/shard-000001.tar"))
    tar.write_bytes(b"")
    code, out, _ = dotpipe("repair", complete.file)
    assert code == 0
    artifact = tar.relative_to(complete.workspace).with_suffix("")
    assert "1 of the damaged artifacts are of no step of 'tiny' and are not there now" in out
    assert f"as {artifact}; run the one that makes them: other" in out.replace("\n", " ")
    assert dotpipe("repair", other)[0] == 0
    assert dotpipe("verify", complete.file)[0] == 0


def test_retry_without_refused_images_says_so(complete, dotpipe):
    code, out, _ = dotpipe("retry", complete.file, "--reason", "unreadable")
    assert (code, out) == (0, "nothing to try again: no image was refused for 'unreadable'\n")


def test_a_run_tells_what_it_refused_and_what_to_do(project, dotpipe):
    for name in ("b/8.png", "b/9.png"):
        (project.folder / "reference" / name).write_bytes(b"no image")
    project.configure(shards={"max_bad_fraction": 0.5})
    code, out, _ = dotpipe("run", project.file)
    assert code == 0
    assert "refused: 2 × no image in one of the formats" in out
    assert "b/8.png (no image in one of the formats" in out
    assert f"`dotpipe refused {project.file}` names all" in out
    assert "`dotpipe retry` tries the others again" in out


def test_refused_shows_a_table_or_json(project, dotpipe, monkeypatch):
    found = [LostImage("b/8.png", "reference", "shard-000000", "refused", "empty file")]
    monkeypatch.setattr("tasks.upkeep.refused.list_refused", lambda _: iter(found))
    code, out, _ = dotpipe("refused", project.file)
    assert code == 0
    assert "b/8.png" in out
    assert "empty file" in out
    _, out, _ = dotpipe("refused", project.file, "--json")
    assert json.loads(out)["images"] == [found[0]._asdict()]
    monkeypatch.setattr("tasks.upkeep.refused.list_refused", lambda _: iter([]))
    _, out, _ = dotpipe("refused", project.file)
    assert "no image was refused" in out


def test_a_corpus_that_is_not_there_is_told_before_anything_starts(project, dotpipe):
    project.configure(corpora={"natural": {"path": "phots"}})
    code, _, err = dotpipe("run", project.file)
    assert code == 1
    assert "a corpus must be a folder, or a prefix of a bucket with objects below it, got " in err
    assert "dashboard" not in err
    assert not project.workspace.exists()


def test_check_says_all_and_makes_nothing(project, dotpipe):
    code, out, err = dotpipe("check", project.file)
    assert (code, "error:" in out) == (0, False)
    assert "ok: images of reference: 8 images, of 17×21, 32×24 pixels" in out
    assert out.endswith(f"`dotpipe run {project.file}` has what it needs\n")
    assert err == "checking\n"
    assert not project.workspace.exists()
    project.configure(corpora={"natural": {"path": "phots"}})
    code, out, _ = dotpipe("check", project.file)
    assert code == 1
    assert "error: images of natural: a corpus must be a folder" in out
    assert "ok: images of reference" in out
