"""Batches of degraded images: what one image does to the restorer leaves the others alone."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dot_kernels import SeamError
from dot_kernels.degradations import Downscale
from tasks.io.errors import ImageRefused
from tasks.io.networks.batches import Batches
from tasks.restore.degraded import Degraded
from tasks.restore.restoration import NOT_FINITE, Restoration

pytestmark = pytest.mark.usefixtures("memory_limits")


class Doubling:
    """Doubles every image; ``bad`` says what it does to some, by their keys."""

    takes_batches, scale = True, None

    def __init__(self, bad=None, most=100):
        self.bad, self.most, self.batches = bad or {}, most, []

    def require_fitting(self, degradations):
        pass

    def restore(self, degraded, degradations, keys, hear, sides):
        self.batches.append(list(keys))
        if len(keys) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        made = 2 * degraded
        for number, key in enumerate(keys):
            for name, does in self.bad.items():
                if key == name:
                    made = does(made, number)
        hear(SeamError(1, 4.0, 2.0))
        return made


def nan(made, number):
    made = made.clone()
    made[number, 0, 0, 0] = torch.nan
    return made


def smaller(made, _):
    return made[:, :, 1:]


def fewer(made, _):
    return made[:-1]


def grey(made, _):
    return made[:, :1]


def fails(*_):
    raise RuntimeError("mat1 and mat2 must have the same type\nat a line of C++")


def refuses(*_):
    raise ImageRefused("image must have 256×256 pixels, got 8×9")


def window_of(count, size=(8, 9), **reasons):
    def one(number):
        key, reason = f"k{number}", reasons.get(f"k{number}", "")
        image = None if reason else torch.full((3, *size), (number + 1) / 40)
        member = SimpleNamespace(key=key, width=size[1], height=size[0])
        return Degraded(member, {}, image, size, reason)

    return [one(number) for number in range(count)]


def restoration(restorer, **options):
    settings = {
        "restorer": restorer,
        "degradations": (),
        "batch": 4,
        "batches": Batches("restore", "cpu"),
        "most_pixels": 10_000,
        "pool": ThreadPoolExecutor(2),
    }
    return Restoration(**settings | options)


def shown(made):
    return [one if isinstance(one, str) else int(one.min()) for one in made]


def test_images_of_equal_size_are_restored_in_batches_and_come_back_in_their_order():
    restorer = Doubling()
    window = [x for pair in zip(window_of(6), window_of(6, (9, 8)), strict=True) for x in pair]
    made = restoration(restorer).restore(window)
    assert [len(batch) for batch in restorer.batches] == [4, 2, 4, 2]
    assert [one.shape for one in made] == [(8, 9, 3), (9, 8, 3)] * 6
    assert shown(made)[::2] == [round(255 * 2 * (n + 1) / 40) for n in range(6)]


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (nan, NOT_FINITE),
        (smaller, "restorer fails: its output for 1 image(s) of 8×9 pixels is 1×3×7×9"),
        (fewer, "restorer fails: its output for 1 image(s) of 8×9 pixels is 0×3×8×9"),
        (grey, "restorer fails: its output for 1 image(s) of 8×9 pixels is 1×1×8×9"),
        (fails, "restorer fails: mat1 and mat2 must have the same type"),
    ],
)
def test_an_image_that_the_restorer_cannot_restore_is_a_row_and_the_others_are_as_alone(
    does, reason
):
    window = window_of(7)
    alone = [restoration(Doubling()).restore([one])[0] for one in window]
    made = restoration(Doubling({"k2": does})).restore(window)
    assert made[2] == reason
    for number in (0, 1, 3, 4, 5, 6):
        np.testing.assert_array_equal(made[number], alone[number])


def test_a_size_that_the_restorer_refuses_is_refused_without_trying_one_by_one():
    restorer = Doubling({"k1": refuses})
    made = restoration(restorer).restore(window_of(3))
    assert made == ["image must have 256×256 pixels, got 8×9"] * 3
    assert len(restorer.batches) == 1


def test_images_that_could_not_be_decoded_keep_their_reason():
    made = restoration(Doubling()).restore(window_of(3, k1="damaged: it is cut"))
    assert made[1] == "damaged: it is cut"
    assert not isinstance(made[0], str)
    assert not isinstance(made[2], str)


def test_a_batch_that_does_not_fit_into_memory_is_halved_and_that_is_remarked():
    restorer = Doubling(most=2)
    work = restoration(restorer)
    made = work.restore(window_of(4))
    assert [len(batch) for batch in restorer.batches] == [4, 2, 2]
    assert shown(made) == [round(255 * 2 * (n + 1) / 40) for n in range(4)]
    assert work.batches.remarks == {"batch_reduced_to": 2}


def test_an_image_that_does_not_fit_alone_is_refused_where_smaller_ones_fit():
    class Tight(Doubling):
        def restore(self, degraded, *args):
            if degraded[0].numel() > 300:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().restore(degraded, *args)

    work = restoration(Tight())
    made = work.restore([*window_of(2), *window_of(1, (12, 13))])
    assert made[2] == "out of memory on the device: 13×12"
    work.batches.require_room()


def test_a_device_that_has_failed_is_no_fault_of_an_image():
    def broken(*_):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    with pytest.raises(torch.AcceleratorError):
        restoration(Doubling({"k1": broken})).restore(window_of(2))


def test_a_restored_image_above_the_limit_is_refused_before_it_is_made():
    restorer = Doubling()
    made = restoration(restorer, most_pixels=71).restore(window_of(2))
    assert made == ["too large when restored: 9×8, limit 71 pixels"] * 2
    assert restorer.batches == []


def test_an_image_alone_is_restored_by_a_thread_of_the_pool_where_batches_are_not_taken():
    restorer = Doubling({"k1": fails})
    restorer.takes_batches = False
    made = restoration(restorer).restore(window_of(3))
    assert sorted(restorer.batches) == [["k0"], ["k1"], ["k2"]]
    assert shown(made)[1] == "restorer fails: mat1 and mat2 must have the same type"


def test_the_error_at_seams_is_that_of_all_images():
    work = restoration(Doubling())
    assert work.seams == SeamError()
    work.restore(window_of(6))  # two batches
    assert work.seams == SeamError(2, 8.0, 2.0)


def test_sides_are_enlarged_as_the_degradations_reduced_them_or_as_the_network_says():
    by_four = restoration(Doubling(), degradations=(Downscale(factor=4),))
    assert by_four.enlarged((5, 6)) == (20, 24)
    restorer = Doubling()
    restorer.scale = 2
    assert restoration(restorer).enlarged((5, 6)) == (10, 12)
