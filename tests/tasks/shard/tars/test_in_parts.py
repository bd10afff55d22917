"""What comes out of a tar that is read in parts: what comes out of it as one, sides included."""

import io
import random
import tarfile

import numpy as np
import pytest
from PIL import Image
from tars.odd_tars import LARGEST, odd_tar, tar_of

from tasks.config.corpora import Corpus
from tasks.io.images import Limits
from tasks.io.shards.cuts.scan import PartSize, Source, scan
from tasks.io.shards.keys import key_mark
from tasks.io.store import Store
from tasks.shard.image_files import SourceFile
from tasks.shard.tars.intake import Section, accept_tar

LIMITS = Limits(max_pixels=1000, max_bytes=LARGEST)


def picture(draw):
    """Bytes of a small PNG, or now and then of none."""
    if draw.random() < 0.1:
        return b"no image" * draw.randrange(2 * LARGEST // 8)
    out = io.BytesIO()
    seed = np.random.default_rng(draw.randrange(1 << 30))
    Image.fromarray(seed.integers(0, 256, (9, 10, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


SMALL = picture(random.Random(1))


class Tar:
    """A tar in a folder, and what comes out of it, as one and in parts of so many samples."""

    def __init__(self, folder, data, **options):
        path = folder / "a.tar"
        path.write_bytes(data)
        self.store, self.data = Store(str(folder)), data
        self.corpus = Corpus(path=str(path), **options)
        self.file = SourceFile("a", "a.tar", len(data), "1")

    def as_one(self, forgotten=()):
        return list(accept_tar(self.store, self.file, self.corpus, LIMITS, forgotten))

    def cut(self, samples, size_bytes=1 << 40):
        source = Source("a.tar", lambda start, end: self.data[start:end], len(self.data))
        renamed = self.corpus.renamed if self.corpus.renames else None
        size = PartSize(samples, size_bytes)
        return scan(source, LIMITS, self.corpus.side_kinds, size, renamed)

    def of_part(self, part, across, forgotten=()):
        section = Section(part, across)
        return list(accept_tar(self.store, self.file, self.corpus, LIMITS, forgotten, section))

    def in_parts(self, samples, forgotten=()):
        parts = self.cut(samples)
        found = [image for part in parts for image in self.of_part(*part, forgotten)]
        return sorted(found, key=lambda image: (image.key, image.source))


@pytest.fixture
def tar(tmp_path):
    return lambda data, **options: Tar(tmp_path, data, **options)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "options",
    [{}, {"strip": "1"}, {"match": {"from": "a/", "to": ""}, "beside": ["txt", "cls"]}],
    ids=["as it is", "stripped", "replaced"],
)
def test_an_odd_tar_gives_in_parts_what_it_gives_as_one(tar, seed, options):
    odd = tar(odd_tar(seed + 500, picture), **options)
    expected = odd.as_one()
    for samples in (1, 4):
        assert odd.in_parts(samples) == expected


@pytest.mark.parametrize("seed", range(15))
def test_sides_of_every_kind_far_before_and_behind_their_image_are_those_of_the_whole(tar, seed):
    draw = random.Random(seed)
    members = [(f"{key}.png", SMALL) for key in "abcdef"]
    for _ in range(draw.randint(4, 20)):
        ending = draw.choice(["txt", "json", "cls"])
        data = draw.choice([b"1", b"2", b"{", b"", b"x" * (1 << 20) + b"x"])
        members.insert(
            draw.randrange(len(members) + 1), (f"{draw.choice('abcdefg')}.{ending}", data)
        )
    far = tar(tar_of(members))
    for samples in (1, 2, 3):
        assert far.in_parts(samples) == far.as_one()


def test_one_key_that_two_ways_of_writing_share_changes_the_parts_that_hold_it_alone(tar):
    decomposed, composed, kelvin = "e\u0301", "\u00e9", "\u212a"
    first = [(f"{key}.png", SMALL) for key in ("a", decomposed, "b", kelvin, "o\u0308", "c")]
    before = [across.digest for _, across in tar(tar_of(first)).cut(1)]
    later = [("d.png", SMALL), (f"{composed}.png", SMALL)]
    after = [across for _, across in tar(tar_of(first + later)).cut(1)]
    assert [across.digest == old for across, old in zip(after, before, strict=False)] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]
    assert [list(across.ambiguous) for across in after[6:]] == [[], []]
    assert after[1].ambiguous == (key_mark(composed),)


def test_a_key_keeps_its_letters_where_a_refused_member_has_them_composed(tar):
    members = [("\u212a.png", SMALL), ("b.png", SMALL), ("c.png", SMALL)]
    link = tarfile.TarInfo("K.jpg")
    link.type = tarfile.SYMTYPE
    odd = tar(tar_of(members) + link.tobuf() + bytes(1024))
    expected = odd.as_one()
    assert {image.key for image in expected} == {"\u212a", "b", "c", "K"}
    assert odd.in_parts(1) == expected


def refused_alone(count):
    return tar_of([(f"../{number}.jpg", b"1" * 600) for number in range(count)])


def test_a_tar_of_refused_members_alone_is_cut_too(tar):
    refused = tar(refused_alone(10))
    assert [part.samples for part, _ in refused.cut(4)] == [4, 4, 2]
    assert [part.samples for part, _ in refused.cut(100, 4000)] == [3, 3, 3, 1]
    assert refused.in_parts(4) == refused.as_one()
    mixed = tar(refused_alone(10) + tar_of([("a.png", SMALL), ("b.png", SMALL)]))
    assert [part.samples for part, _ in mixed.cut(4)] == [4, 4, 4]
    assert mixed.in_parts(4) == mixed.as_one()


def test_no_cut_parts_members_of_one_key_at_a_refused_member_between_them(tar):
    between = [("a.png", SMALL), *((f"../{n}.jpg", b"") for n in range(5)), ("a.txt", b"cap")]
    whole = tar(tar_of([*between, ("b.png", SMALL)]))
    assert [part.samples for part, _ in whole.cut(2)] == [6, 1]
    (image, *_) = (each for each in whole.in_parts(2) if each.key == "a")
    assert image.sides == {"txt": b"cap"}
    assert whole.in_parts(2) == whole.as_one()
