"""`dotpipe study FILE`: points run, shared, added to, and told."""

import pytest
import yaml

from tasks.io.errors import ConfigurationError
from tasks.report.study.ownership import require_own_page, take_page
from tasks.study.study_file import load_study


@pytest.fixture
def study(project):
    """Writes a study over the project, and returns its file."""

    def written(**grid):
        file = project.folder / "grid.yaml"
        section = {"name": "grid", "base": project.name, "grid": grid}
        file.write_text(yaml.safe_dump({"study": section}, sort_keys=False))
        return file

    return written


def test_a_study_is_told_run_added_to_and_opened(dotpipe, project, study, server):
    file = study(**{"fit.ridge": [0.001, 0.1]})
    code, out, err = dotpipe("study", file, "--dry-run")
    assert code == 0, err
    assert "│ restore grid " in out
    assert "2 points; what they share is counted once" in " ".join(out.split())
    assert not project.workspace.exists()

    code, out, err = dotpipe("study", file)
    assert code == 0, err
    assert "point 2 of 2: fit.ridge 0.1" in err
    assert "Differences are to fit.ridge 0.001, over 8 images" in " ".join(out.split())
    page = project.workspace / "reports/studies/grid/study.html"
    assert f"study: {page}" in out
    operators = list((project.workspace / "operators/grid").glob("*.safetensors"))
    assert len(operators) == 2

    before = project.versions()
    code, _, err = dotpipe("study", study(**{"fit.ridge": [0.001, 0.1, 0.5]}))
    assert code == 0, err
    assert "point 3 of 3: fit.ridge 0.5" in err
    assert "point 2 of 3" not in err
    after = project.versions()
    kept = ("datasets/", "moments/", "operators/", "enhanced/", "metrics/")
    changed = [name for name in before if name.startswith(kept) and after[name] != before[name]]
    assert changed == []

    code, out, _ = dotpipe("study", file, "--dry-run")
    assert "nothing to do: every point is done" in out
    code, out, err = dotpipe("status", file)
    assert code == 0, err
    assert "fit.ridge 0.1" in out
    assert "all done" in out
    code, _, err = dotpipe("gc", project.file, "--yes")
    assert code == 0, err
    assert page.exists()


def test_two_files_with_a_study_of_one_name_are_told_apart(project, study):
    file = study(**{"fit.ridge": [0.001]})
    wanted = load_study(file)
    assert take_page(wanted, file) == take_page(wanted, file) == ""
    second = file.with_name("second.yaml")
    second.write_bytes(file.read_bytes())
    with pytest.raises(ConfigurationError, match="must have names of their own, got 'grid'"):
        require_own_page(load_study(second), second)
    third = file.with_name("third.yaml")
    third.write_text(file.read_text().replace("name: grid", "name: other"))
    require_own_page(load_study(third), third)
    file.unlink()  # or renamed, so that the second is all that is left
    told = take_page(load_study(second), second)
    assert "was run from" in told
    assert take_page(load_study(second), second) == ""


def test_a_study_without_its_base_is_told(dotpipe, project, study):
    file = study(**{"fit.ridge": [0.001]})
    project.file.unlink()
    code, _, err = dotpipe("study", file)
    assert code == 1
    assert "configuration must be a readable file, got" in err
    assert "dashboard" not in err
