"""`dotpipe export CONFIG DEST`: files of a finished run."""

import inspect

from flows.cli.one_line import DEFAULT_ALPHA
from flows.cli.verbs.files import apply
from tasks.config.sections import Enhance


def test_files_are_written_once_and_named_by_the_input(dotpipe, complete, tmp_path):
    out = tmp_path / "out"
    code, told, _ = dotpipe("export", complete.file, out, "--alpha", "0.5")
    assert (code, told) == (0, f"wrote 8 images at alpha 0.5 to {out}\n")
    given = {path.relative_to(complete.folder / "reference") for path in pictures(complete)}
    written = {path.relative_to(out) for path in out.rglob("*.webp")}
    assert {path.with_suffix("") for path in written} == {path.with_suffix("") for path in given}
    code, told, err = dotpipe("export", complete.file, out, "--alpha", "0.5")
    assert (code, err) == (0, "")
    assert told == f"nothing to write: the images at alpha 0.5 are in {out}\n"


def pictures(project):
    return [path for path in (project.folder / "reference").rglob("*") if path.is_file()]


def test_an_alpha_must_be_named_where_there_are_several(dotpipe, complete, tmp_path):
    code, _, err = dotpipe("export", complete.file, tmp_path / "out")
    assert code == 1
    assert "one alpha must be exported, got none of 0, 0.5; give --alpha" in err


def test_before_a_run_it_says_what_to_run(dotpipe, project, tmp_path):
    code, _, err = dotpipe("export", project.file, tmp_path / "out", "--alpha", "0")
    assert code == 1
    assert "run `dotpipe shard CONFIG` first" in err


def test_a_destination_among_the_images_is_refused_before_any_work(dotpipe, complete):
    code, _, err = dotpipe("export", complete.file, complete.folder / "natural", "--alpha", "0")
    assert code == 1
    assert "must lie apart from the images that are read" in err
    assert "dashboard" not in err


def test_an_operator_is_applied_by_one_line(dotpipe, finished, photographs, tmp_path):
    operator = finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")
    out = tmp_path / "out"
    code, told, _ = dotpipe("apply", operator, photographs["restored"], out, "--alpha", "0.5")
    assert (code, told) == (0, f"wrote 8 of 8 images at alpha 0.5 to {out}\n")
    code, told, _ = dotpipe("apply", operator, photographs["restored"], tmp_path / "other")
    assert told == f"wrote 8 of 8 images at alpha {DEFAULT_ALPHA} to {tmp_path / 'other'}\n"
    code, _, err = dotpipe("apply", operator, out)
    assert code == 1
    assert "what to enhance and OUT must be given" in err
    code, _, err = dotpipe("apply", operator, photographs["restored"], out, "--low-share", "2")
    assert (code, "low_share: Input should be less than or equal to 1" in err) == (1, True)


def test_dials_of_one_line_are_by_default_those_of_a_configuration():
    words, options = inspect.signature(apply).parameters, Enhance()
    assert words["low_share"].default == options.share_of_low_frequencies
    assert words["low_sigma"].default == options.low_sigma


def test_files_are_written_in_the_format_that_is_asked_for(dotpipe, complete, tmp_path):
    out = tmp_path / "out"
    words = ("export", complete.file, out, "--alpha", "0.5", "--format")
    code, told, _ = dotpipe(*words, "tiff")
    assert (code, told) == (0, f"wrote 8 images at alpha 0.5 to {out}\n")
    assert {path.suffix for path in pictures_in(out)} == {".tif"}
    code, told, _ = dotpipe(*words, "tiff")
    assert told == f"nothing to write: the images at alpha 0.5 are in {out}\n"
    code, told, _ = dotpipe(*words, "keep")
    given = {path.relative_to(complete.folder / "reference") for path in pictures(complete)}
    assert {path.relative_to(out) for path in pictures_in(out)} == given


def pictures_in(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if ".dotpipe-export" not in path.parts]


def test_a_format_must_be_one_that_is_written(dotpipe, complete, tmp_path):
    code, _, err = dotpipe(
        "export", complete.file, tmp_path / "o", "--alpha", "0", "--format", "gif"
    )
    assert code == 1
    assert "--format must be one of webp, png, jpeg, tiff, avif, jxl, keep, or plug-in:NAME" in err
