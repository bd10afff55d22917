"""Large data sets whose networks of features are not on this machine: nothing is added up."""

from tasks.evaluate.sums import leaves
from tasks.pipeline import is_finished
from tasks.upkeep.status import status_of_steps


def test_a_run_without_weights_ends_without_features(steps, photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr(leaves, "IMAGES", 4)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora, evaluate={"features": "squeezenet"})
    (row, *_) = run.run()
    assert row["featured"] == 0
    assert is_finished(run.config)
    assert "add up features" not in {step.name for step in status_of_steps(run.config)}
