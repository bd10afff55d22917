"""Several processes that share each batch train what one does, to rounding."""

import pytest
import torch
from workspaces.trained import losses_of, train, weights_of

from tasks.io.errors import CorpusError


def test_two_processes_train_what_one_does(run):
    quick = {"steps": 4, "segment": 4, "map_steps": 2, "rate": 1e-3}
    alone, together = run("w1", train=quick), run("w2", train=quick | {"processes": 2})
    train(alone)
    train(together)
    one, two = weights_of(alone), weights_of(together)
    assert one.keys() == two.keys()
    for name, weights in one.items():
        # Adam divides by gradients that may be as small as their rounding
        torch.testing.assert_close(two[name], weights, rtol=1e-3, atol=1e-5)
    for row, other in zip(losses_of(alone), losses_of(together), strict=True):
        known = {name: value for name, value in row.items() if value is not None}
        assert {name: other[name] for name in known} == pytest.approx(known, rel=1e-4)
        assert [name for name in other if other[name] is not None] == list(known)


def test_what_a_process_cannot_do_is_told_as_by_one(run):
    with pytest.raises(CorpusError, match="must hold images to train on"):
        train(run(train={"crop": 40, "processes": 2}))
