"""What is looked at is the same wherever it lies: on a disk, in a bucket, in tars or in files."""

from pathlib import Path

import pytest

from tasks.view.pictures import find_member, picture
from tasks.view.query import PageAsked, Question
from tasks.view.sheet import Sheet
from tasks.view.trials import Trials
from tasks.view.viewed import Viewed
from tasks.view.votes import Votes


@pytest.fixture(params=["a bucket", "files of their own"])
def elsewhere(request, finished, photographs, steps, tmp_path):
    """The same images and numbers as those of the finished run, laid down otherwise."""
    if request.param == "a bucket":
        url = request.getfixturevalue("bucket").upload(Path(finished.config.workspace), "copy")
        return Viewed.of(finished.config.model_copy(update={"workspace": url}))
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    enhance = {"alphas": [0, 0.5, 1], "outputs": "files"}
    run = steps(tmp_path / "workspace", corpora, enhance=enhance)
    run.run()
    assert not any(path.endswith(".tar") for path in run.workspace.store.names("enhanced"))
    return Viewed.of(run.config)


def shown(viewed):
    """All rows, and all pictures of the first."""
    question = Question(at="+0.00", against="input", sort="psnr_change")
    page = Sheet(viewed).page(PageAsked(question=question))
    place = page.rows[0]["shard"], page.rows[0]["key"]
    found = {
        name: picture(viewed, find_member(viewed, version, *place)).data
        for name, version in viewed.versions.items()
    }
    return page, found


def test_rows_and_pictures_do_not_depend_on_where_they_lie(viewed, elsewhere):
    assert shown(elsewhere) == shown(viewed)
    votes = Votes(elsewhere.workspace.store, "run", elsewhere.run.operator.name)
    trials = Trials(elsewhere, Sheet(elsewhere), votes)
    trial = trials.draw("Ada", ["+0.00", "input"])
    assert trials.take(trial.id, "left", 1.0) == 1
    assert [vote.id for vote in votes.all()] == [trial.id]
