"""Samples of tars from outside: as WebDataset has them, and a reason for all else."""

import io
import json
import os
import pickle
import subprocess
import tarfile
import time
import tracemalloc

import pytest

from tasks.io.images import Limits
from tasks.io.shards.foreign_tars import LONGEST_SHOWN, MOST_REFUSED, read_samples
from tasks.io.shards.samples import LooseSide, Sample
from tasks.io.shards.sides import LARGEST_SIDE

LIMITS = Limits(max_pixels=10_000, max_bytes=100_000)
SIDE = b'{"caption": "a cat"}'


def info_of(name, size=0, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def tar_of(*members):
    """A tar of names with bytes, and of TarInfo for members without."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                archive.addfile(info_of(member[0], len(member[1])), io.BytesIO(member[1]))
    return out.getvalue()


def samples(data, limits=LIMITS, source="folder/part-0.tar"):
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    return list(read_samples(stream, limits, source))


def kept(data):
    return {s.key: s.image for s in images_of(data) if s.image is not None}


def refused(data):
    return {s.key: s.reason for s in images_of(data) if s.image is None}


def images_of(data):
    return [sample for sample in samples(data) if isinstance(sample, Sample)]


def test_a_sample_has_its_image_and_what_is_known_of_it_in_any_order():
    data = tar_of(("a.jpg", b"1"), ("a.json", SIDE), ("b/c.json", b"[]"), ("b/c.PNG", b"2"))
    assert samples(data) == [
        Sample("a", "folder/part-0.tar/a.jpg", b"1", None, {"json": SIDE}),
        Sample("b/c", "folder/part-0.tar/b/c.PNG", b"2", None, {"json": b"[]"}),
    ]


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_keys_and_images_are_those_that_webdataset_reads(tmp_path):
    import webdataset

    names = ["a.jpg", "a.b/c.jpg", "a.b/c.json", "é/日本.webp", "x" * 300 + ".png", "k 1/%2E.bmp"]
    data = tar_of(*((name, SIDE if name.endswith("json") else name.encode()) for name in names))
    (tmp_path / "a.tar").write_bytes(data)
    read = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    images = {"jpg", "png", "webp", "bmp"}
    expected = {s["__key__"]: next(s[end] for end in images if end in s) for s in read}
    assert kept(data) == expected
    assert [s.sides.get("json") for s in samples(data)] == [s.get("json") for s in read]


def test_members_of_other_kinds_folders_and_hidden_members_are_left_alone():
    data = tar_of(
        info_of("folder", kind=tarfile.DIRTYPE),
        ("folder/a.jpg", b"1"),
        ("folder/a.txt", b"a caption"),
        ("folder/a.cls", b"7"),
        ("folder/a.pkl", pickle.dumps(print)),
        ("folder/._a.jpg", b"what macOS adds"),
        (".trash/b.jpg", b"2"),
        ("README", b"text"),
        info_of("a label of the volume", kind=b"V"),
    )
    place, sides = "folder/part-0.tar/folder/a.jpg", {"txt": b"a caption", "cls": b"7"}
    assert samples(data) == [Sample("folder/a", place, b"1", None, sides)]


def test_of_tars_in_a_row_all_images_are_taken(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
        options = ["--label", "a label", "-cf", f"{name}.tar", f"{name}.jpg"]
        subprocess.run(["tar", "-C", tmp_path, *options], cwd=tmp_path, check=True)
    both = (tmp_path / "a.tar").read_bytes() + (tmp_path / "b.tar").read_bytes()
    assert kept(both) == {"a": b"a", "b": b"b"}
    assert refused(both) == {}


def test_a_part_of_a_file_that_began_in_another_volume_is_refused_as_such():
    data = tar_of(info_of("a.jpg", kind=b"M"), ("b.jpg", b"1"))
    assert refused(data) == {"a": "not a file: continuation from another volume"}


def test_names_that_begin_at_the_folder_where_tar_ran_are_keys_without_it(tmp_path):
    for name in ("a.jpg", "b/c.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"1")
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "-C", tmp_path / "in", "."], check=True)
    assert kept((tmp_path / "a.tar").read_bytes()) == {"a": b"1", "b/c": b"1"}


def test_members_that_are_no_files_are_refused_by_their_kind():
    data = tar_of(
        info_of("link.jpg", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        info_of("hard.jpg", kind=tarfile.LNKTYPE, link="good.jpg"),
        info_of("device.jpg", kind=tarfile.CHRTYPE),
        info_of("disk", kind=tarfile.BLKTYPE),
        info_of("fifo.png", kind=tarfile.FIFOTYPE),
        ("good.jpg", b"1"),
    )
    assert kept(data) == {"good": b"1"}
    assert refused(data) == {
        "link": "not a file: link",
        "hard": "not a file: link",
        "device": "not a file: device",
        "disk": "not a file: device",
        "fifo": "not a file: fifo",
    }


def test_a_sparse_member_of_gnu_tar_is_refused(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as stream:
        stream.truncate(1 << 20)
        stream.seek(1 << 19)
        stream.write(b"x")
    (tmp_path / "b.jpg").write_bytes(b"1")
    for options in (["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"]):
        made = subprocess.run(
            ["tar", "-S", *options, "-C", tmp_path, "-cf", "-", "a.jpg", "b.jpg"],
            capture_output=True,
            check=True,
        ).stdout
        assert kept(made) == {"b": b"1"}
        assert set(refused(made).values()) == {"not a file: sparse file"}


@pytest.mark.parametrize(
    ("name", "key", "reason"),
    [
        ("/etc/passwd.jpg", "/etc/passwd", "name is absolute: rename the file"),
        ("../../etc/passwd", "../../etc/passwd", "name leads outside: a part of it is `..`"),
        ("a/../../b.jpg", "a/../../b", "name leads outside: a part of it is `..`"),
        ("..\\..\\b.jpg", "..\\..\\b.jpg", "name leads outside: a part of it is `..`"),
        ("a//b.jpg", "a//b", "name has an empty part: rename the file"),
        ("a/./b.jpg", "a/./b", "name has a part that is `.`: rename the file"),
        ("a\nb.jpg", "a\\x0ab", "name holds control characters: rename the file"),
        ("a\x1b[2Jb.jpg", "a\\x1b[2Jb", "name holds control characters: rename the file"),
        ("a\x7fb.jpg", "a\\x7fb", "name holds control characters: rename the file"),
        ("a\x85b.jpg", "a\\x85b", "name holds control characters: rename the file"),
        ("a\u2028b.jpg", "a\\u2028b", "name holds control characters: rename the file"),
        ("b\udcff.jpg", "b\\xff", "name is not UTF-8: rename the file"),
        ("C:evil.jpg", "C:evil", "name is absolute: rename the file"),
        ("a\u202egpj.exe.jpg", "a\\u202egpj", "name holds control characters: rename the file"),
    ],
)
def test_a_name_that_can_be_no_key_is_refused_and_the_next_member_read(name, key, reason):
    data = tar_of((name, b"0"), ("good.jpg", b"1"))
    assert kept(data) == {"good": b"1"}
    ((found, said),) = refused(data).items()
    assert (found.removesuffix(".jpg"), said) == (key.removesuffix(".jpg"), reason)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("./" * 2000 + "a.jpg", "a"),
        ("./" + "/" * 4000 + "b.jpg", "b"),
        (".//./" * 800 + "c/d.jpg", "c/d"),
    ],
)
def test_a_name_is_a_key_without_all_that_says_here_before_it(name, key):
    assert kept(tar_of((name, b"1"))) == {key: b"1"}


@pytest.mark.parametrize(
    "name", ["./" * 520_000 + "é.jpg", "./" + "/" * 1_040_000 + "é.jpg", "a/" * 520_000 + "é"]
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_name_of_a_mebibyte_takes_no_time(name, kind):
    data = tar_of(info_of(name, kind=kind), ("good.jpg", b"1"))
    start = time.process_time()
    assert kept(data) == {"good": b"1"}
    assert time.process_time() - start < 1


@pytest.mark.parametrize("name", ["n" * 5000, "./a/" * 1025, "/\x01" * 5000])
@pytest.mark.parametrize("ending", [".jpg", "", ".txt"])
def test_a_name_that_is_too_long_is_refused_before_anything_else_and_shown_short(name, ending):
    data = tar_of((f"{name}a{ending}", b"1"), (f"{name}b{ending}", b"2"), ("good.jpg", b"3"))
    assert kept(data) == {"good": b"3"}
    rows = [sample for sample in samples(data) if sample.image is None]
    assert [row.reason for row in rows] == ["name too long: more than 4096 bytes"] * 2
    assert len({row.key for row in rows}) == len({row.source for row in rows}) == 2
    assert {len(text) for row in rows for text in row[:2]} == {LONGEST_SHOWN}


def links(count):
    """The headers of so many links, of 512 bytes each."""
    return b"".join(
        info_of(f"{number:06d}.jpg", kind=tarfile.SYMTYPE).tobuf(tarfile.USTAR_FORMAT)
        for number in range(count)
    )


def test_of_endlessly_many_refused_members_the_rest_is_counted_and_every_image_read():
    many = MOST_REFUSED + 1234
    found = samples(links(many) + tar_of(("a.jpg", b"1"), ("a.jpg", b"2"), ("b.jpg", b"3")))
    assert [s.key for s in found if s.image is not None] == ["a", "b"]
    *rows, last = (s for s in found if s.image is None)
    assert [row.key for row in rows] == [f"{number:06d}" for number in range(MOST_REFUSED)]
    assert found[-1] == last
    assert last == Sample(
        "folder/part-0",
        "folder/part-0.tar",
        None,
        "more members refused: 1,235 after the first 10,000",
    )


def test_as_many_refused_members_as_may_have_rows_have_them():
    found = samples(links(MOST_REFUSED) + bytes(1024))
    assert [s.key for s in found] == [f"{number:06d}" for number in range(MOST_REFUSED)]


def test_the_damage_of_a_tar_is_told_however_many_members_were_refused_before():
    data = links(MOST_REFUSED + 1) + tar_of(("a.jpg", b"1" * 100_001))[:-10_240]
    *_, more, damage = samples(data)
    assert more.reason == "more members refused: 2 after the first 10,000"
    assert damage.key == more.key == "folder/part-0"
    assert (
        damage.reason == f"tar damaged after {MOST_REFUSED + 2} members: cut short within a member"
    )


def test_endlessly_many_refused_members_take_little_memory():
    data = links(1000) * 30
    tracemalloc.start()
    found = samples(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == MOST_REFUSED + 2
    assert peak < 8 << 20


def test_a_member_without_a_name_is_refused_by_its_number():
    out = io.BytesIO()
    for name in ("", "b.jpg"):
        out.write(info_of(name, 1).tobuf(tarfile.USTAR_FORMAT) + b"x".ljust(512, b"\0"))
    data = out.getvalue() + bytes(1024)
    assert refused(data) == {"folder/part-0/1": "name has an empty part: rename the file"}
    assert kept(data) == {"b": b"x"}


@pytest.mark.parametrize(
    "names",
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "a.png"),
        ("a.jpg", "./a.jpg"),
        ("a.jpg", "b.jpg", "a.jpg"),
        ("a.jpg", "b.jpg", "a.webp"),
    ],
)
def test_of_two_images_of_one_key_the_second_is_refused(names):
    data = tar_of(*((name, str(number).encode()) for number, name in enumerate(names)))
    assert kept(data)["a"] == b"0"
    assert refused(data) == {"a": "key taken: another member has it; rename one"}


def test_a_key_of_a_refused_image_is_taken_too():
    data = tar_of(("a.jpg", b"x" * 100_001), ("a.png", b"1"))
    reasons = [sample.reason.partition(":")[0] for sample in samples(data)]
    assert sorted(reasons) == ["file too large", "key taken"]


def test_json_that_stands_apart_from_its_image_is_told_by_itself():
    data = tar_of(("b.json", b"[]"), ("a.jpg", b"1"), ("b.jpg", b"2"), ("a.json", b"{"))
    assert samples(data) == [
        LooseSide("b", "json", b"[]"),
        Sample("a", "folder/part-0.tar/a.jpg", b"1"),
        Sample("b", "folder/part-0.tar/b.jpg", b"2"),
        LooseSide("a", "json", None, "side left out: no valid JSON"),
    ]


def test_json_beside_an_image_whose_key_is_taken_is_not_told_of_the_first():
    data = tar_of(("a.jpg", b"1"), ("b.jpg", b"2"), ("a.png", b"3"), ("a.json", SIDE))
    assert not any(isinstance(sample, LooseSide) for sample in samples(data))


def test_an_image_of_several_endings_is_another_field_of_its_sample():
    data = tar_of(("a.jpg", b"1"), ("a.mask.png", b"2"), ("photo.2020.jpg", b"3"))
    assert kept(data) == {"a": b"1"}
    reason = "several endings: WebDataset takes '2020.jpg' for its kind; rename it"
    assert refused(data) == {"photo.2020": reason}


def test_each_image_of_several_endings_has_a_row_under_its_own_name():
    data = tar_of(("x/a.left.png", b"1"), ("x/a.right.PNG", b"2"), ("x/a.json", SIDE))
    ending = "several endings: WebDataset takes {} for its kind; rename it"
    assert samples(data) == [
        Sample("x/a.left", "folder/part-0.tar/x/a.left.png", None, ending.format("'left.png'")),
        Sample("x/a.right", "folder/part-0.tar/x/a.right.PNG", None, ending.format("'right.PNG'")),
    ]


def test_a_sample_whose_only_picture_is_of_a_format_that_is_not_read_has_a_row():
    data = tar_of(
        ("a.GIF", b"1"), ("a.json", SIDE), ("b.jpg", b"2"), ("b.gif", b"3"), ("c.npy", b"")
    )
    assert kept(data) == {"b": b"2"}
    assert refused(data) == {"a": "of a format that is not read (.GIF); convert it to PNG"}


class Huge(io.RawIOBase):
    """The head of a tar, and then as many zeros as were promised, made as they are read."""

    def __init__(self, head, zeros, tail):
        self._parts = [head, zeros, tail]

    def readable(self):
        return True

    def readinto(self, buffer):
        for number, part in enumerate(self._parts):
            left = part if isinstance(part, int) else len(part)
            if left:
                size = min(left, len(buffer))
                buffer[:size] = bytes(size) if isinstance(part, int) else part[:size]
                self._parts[number] = part - size if isinstance(part, int) else part[size:]
                return size
        return 0


def test_an_image_of_too_many_bytes_is_refused_and_not_held():
    size = 200 << 20
    stream = Huge(info_of("a.jpg", size).tobuf(), size, tar_of(("b.jpg", b"1")))
    tracemalloc.start()
    found = samples(io.BufferedReader(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(s.key, s.image, s.reason) for s in found] == [
        ("a", None, f"file too large: {size} bytes, limit 100000"),
        ("b", b"1", None),
    ]
    assert peak < 8 << 20


def test_one_sample_is_in_memory_at_a_time():
    image = os.urandom(1 << 20)
    data = tar_of(*((f"{number}.jpg", image) for number in range(50)))
    limits = Limits(max_pixels=1, max_bytes=2 << 20)
    stream = io.BytesIO(data)
    tracemalloc.start()
    count = sum(len(s.image) == len(image) for s in read_samples(stream, limits, "a.tar"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50
    assert peak < 6 << 20


class Forward(io.RawIOBase):
    """A stream that only goes forward, in small pieces."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self._data.read(min(len(buffer), 100))
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, *_):
        raise AssertionError("a stream must not seek")


def test_the_stream_is_read_once_forward_in_pieces_of_any_size():
    data = tar_of(("a.jpg", b"1" * 700), ("a.json", SIDE), ("b.txt", b"2" * 5000), ("c.png", b"3"))
    assert samples(Forward(data)) == samples(data)
    assert [sample.key for sample in samples(data)] == ["a", "b", "c"]
    assert [len(sample.image) for sample in images_of(data)] == [700, 1]


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (b"", "side left out: no valid JSON"),
        (b"{'a': 1}", "side left out: no valid JSON"),
        (b'{"a": NaN}', "side left out: no valid JSON"),
        (b"[" * 100_000, "side left out: no valid JSON"),
        (b"9" * 10_000, "side left out: no valid JSON"),
        (b'{"a": "\\ud800"}', "side left out: no valid JSON"),
        (b'{"\\udfff": 1}', "side left out: no valid JSON"),
        (b'["\\udc00\\ud800"]', "side left out: no valid JSON"),
        (b"[1e999]", "side left out: no valid JSON"),
        (str(1 << 64).encode(), "side left out: no valid JSON"),
        (f'{{"a": [{-(1 << 63) - 1}]}}'.encode(), "side left out: no valid JSON"),
        (b"\xff\xfe{\0}\0", "side left out: no valid JSON"),
        (b"\xef\xbb\xbf{}", "side left out: no valid JSON"),
        (pickle.dumps({"a": 1}), "side left out: no valid JSON"),
        (
            json.dumps("x" * LARGEST_SIDE).encode(),
            f"side left out: JSON of {LARGEST_SIDE + 2} bytes, limit {LARGEST_SIDE}",
        ),
    ],
)
def test_json_that_is_none_or_too_long_is_left_out_and_its_image_kept(side, reason):
    data = tar_of(("a.jpg", b"1"), ("a.json", side), ("b.json", side), ("b.jpg", b"2"))
    assert [(s.image, s.reason, s.sides, s.left_out) for s in samples(data)] == [
        (b"1", None, {}, {"json": reason}),
        (b"2", None, {}, {"json": reason}),
    ]


def test_json_of_a_mebibyte_is_kept():
    side = json.dumps("x" * (LARGEST_SIDE - 2)).encode()
    assert samples(tar_of(("a.jpg", b"1"), ("a.json", side)))[0].sides == {"json": side}


@pytest.mark.parametrize(
    "side",
    [
        b'{"a": "\\ud83d\\ude00", "\\u00e9": "\xf0\x9f\x98\x80"}',
        f'{{"least": {-(1 << 63)}, "most": {(1 << 64) - 1}, "large": 1e300}}'.encode(),
        b"-0",
        b'"' + b"9" * 1000 + b'"',
    ],
)
def test_json_of_whole_letters_and_numbers_of_64_bits_is_kept(side):
    assert samples(tar_of(("a.jpg", b"1"), ("a.json", side)))[0][3:] == (None, {"json": side}, {})


def test_a_caption_and_a_class_are_kept_as_they_are_and_left_out_for_size_or_number_only():
    caption, long = b"Latin-1: \xe9\0\r\n ", b"x" * (LARGEST_SIDE + 1)
    members = [("a.jpg", b"1"), ("a.TXT", caption), ("a.cls", b"a cat"), ("a.caption.txt", b"no")]
    members += [("b.jpg", b"2"), ("b.txt", long), ("b.cls", b"1"), ("b.cls", b"1")]
    first, second = images_of(tar_of(*members))
    assert (first.sides, first.left_out) == ({"txt": caption, "cls": b"a cat"}, {})
    assert (second.sides, second.left_out) == (
        {},
        {
            "txt": f"side left out: .txt of {LARGEST_SIDE + 1} bytes, limit {LARGEST_SIDE}",
            "cls": "side left out: the sample has several .cls members",
        },
    )


def test_kinds_that_are_not_asked_for_are_left_alone():
    data = tar_of(("a.jpg", b"1"), ("a.txt", b"2"), ("a.json", SIDE), ("b.txt", b"3"))
    (sample,) = read_samples(io.BytesIO(data), LIMITS, "x.tar", ["json"])
    assert (sample.sides, sample.left_out) == ({"json": SIDE}, {})


def test_two_json_members_of_one_key_are_both_left_out():
    (sample,) = samples(tar_of(("a.jpg", b"1"), ("a.json", SIDE), ("a.JSON", SIDE)))
    reason = "side left out: the sample has several JSON members"
    assert sample[2:] == (b"1", None, {}, {"json": reason})


@pytest.mark.parametrize("command", ["gzip", "bzip2", "xz"])
def test_a_compressed_tar_is_refused_with_the_remedy(command):
    import bz2
    import gzip
    import lzma

    compress = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}[command]
    (sample,) = samples(compress(tar_of(("a.jpg", os.urandom(2000)))))
    assert (sample.key, sample.source, sample.image) == ("folder/part-0", "folder/part-0.tar", None)
    assert sample.reason == (
        f"tar damaged after 0 members: compressed with {command}; decompress it first"
    )


def test_a_tar_cut_short_ends_with_its_own_row_and_keeps_what_came_whole():
    data = tar_of(("a.jpg", b"1"), ("b.jpg", b"2" * 2000))
    for end in (1, 512, 1000, 1024, 2000, 2048, 3000):
        *before, last = samples(data[:end])
        count = (end >= 512) + (end >= 1536)
        assert last.key == "folder/part-0"
        assert last.reason.startswith(f"tar damaged after {count} members: ")
        assert [sample.key for sample in before] == ["a"][: int(end > 512)]
    assert len(samples(data[:1536])) == 2


def test_a_byte_changed_in_a_header_ends_the_tar_with_its_own_row():
    data = bytearray(tar_of(("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")))
    data[1024 + 50] ^= 1
    assert refused(bytes(data)) == {
        "folder/part-0": "tar damaged after 1 members: bad header: its checksum is wrong"
    }
    assert kept(bytes(data)) == {"a": b"1"}


def test_a_disk_error_is_no_damage():
    class Failing(Forward):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        samples(Failing(b""))
