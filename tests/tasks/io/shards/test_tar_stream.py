"""Members of tars from outside: every dialect is read, nothing hostile is followed or held."""

import io
import random
import tarfile
import tracemalloc

import pytest

from tasks.io.errors import TarDamaged
from tasks.io.shards.tar_headers import LARGEST_HEADER
from tasks.io.shards.tar_stream import TarBlocks

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
END = bytes(1024)


class Promise(io.RawIOBase):
    """A stream of some bytes and then of as many zeros as are asked for, never at once."""

    def __init__(self, head, zeros):
        self._head, self._zeros = head, zeros

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size], self._head = self._head[:size], self._head[size:]
            return size
        size = min(len(buffer), self._zeros)
        buffer[:size] = bytes(size)
        self._zeros -= size
        return size


def header(name, size=0, flag=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, flag
    for field, value in fields.items():
        setattr(info, field, value)
    return bytearray(info.tobuf(tarfile.USTAR_FORMAT))


def sealed(block):
    """The header with the checksum that its bytes need."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def extended(flag, payload, size=None):
    return bytes(header("extended", len(payload) if size is None else size, flag)) + padded(payload)


def record(keyword, value):
    body = b" %s=%s\n" % (keyword, value)
    length = len(body) + 1
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def members(data):
    """Name, kind and bytes of the members, and the damage that ended them."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    blocks, found = TarBlocks(stream), []
    try:
        for entry in blocks:
            data = blocks.read(entry) if entry.kind == "file" else b""
            found.append((entry.name, entry.kind, data))
    except TarDamaged as damage:
        return found, str(damage)
    return found, None


def written(format_, files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(data), 1.5, "söme öne"
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_as_pythons_tarfile_reads_it(name):
    rng = random.Random(1)
    names = ["a.jpg", "é/日本.png", "folder/" + "n" * 92, "d" * 90 + "/" + "b" * 90, "e" * 100]
    names += [] if name == "ustar" else ["x" * 300, "ü" * 400 + "/" + "k" * 1000]
    files = {name: rng.randbytes(rng.choice([0, 1, 511, 512, 513, 5000])) for name in names}
    data = written(FORMATS[name], files)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
        expected = [(i.name, "file", archive.extractfile(i).read()) for i in archive]
    assert members(data) == (expected, None)
    assert [name for name, _, _ in expected] == list(files)


def test_only_the_bytes_that_are_asked_for_need_be_read():
    data = written(tarfile.PAX_FORMAT, {"a": b"1" * 3000, "b": b"2" * 10})
    blocks = TarBlocks(io.BytesIO(data))
    assert [blocks.read(entry) for entry in blocks if entry.name == "b"] == [b"2" * 10]


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "fifo"),
        (tarfile.DIRTYPE, "folder"),
        (b"Z", "unknown kind"),
        (b"\xff", "unknown kind"),
    ],
)
def test_what_is_no_file_is_named_by_its_kind_and_the_next_member_is_found(flag, kind):
    info = tarfile.TarInfo("a.jpg")
    info.type, info.linkname = flag, "/etc/passwd"
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(header("b.jpg", 3)) + padded(b"123") + END
    name = "a.jpg/" if kind == "folder" else "a.jpg"
    assert members(data) == ([(name, kind, b""), ("b.jpg", "file", b"123")], None)


def test_a_member_of_an_unknown_kind_is_skipped_with_its_bytes():
    data = bytes(header("a", 600, b"Q")) + padded(b"x" * 600) + bytes(header("b", 1)) + padded(b"y")
    assert members(data + END)[0] == [("a", "unknown kind", b""), ("b", "file", b"y")]


def test_a_sparse_file_of_gnu_is_skipped_with_its_map_however_long_it_is():
    block = header("a.jpg", 1000)
    block[156:157], block[482] = tarfile.GNUTYPE_SPARSE, 1
    maps = (b"\x31" * 504 + b"\x01" + bytes(7)) * 2000 + bytes(512)
    data = sealed(block) + maps + padded(b"x" * 1000) + bytes(header("b", 1)) + padded(b"y") + END
    assert members(data) == ([("a.jpg", "sparse file", b""), ("b", "file", b"y")], None)


@pytest.mark.parametrize("keyword", [b"GNU.sparse.major", b"GNU.sparse.map", b"SCHILY.realsize"])
def test_a_sparse_file_of_pax_is_told(keyword):
    data = extended(b"x", record(keyword, b"1")) + bytes(header("a.jpg", 2)) + padded(b"zz") + END
    assert members(data) == ([("a.jpg", "sparse file", b"")], None)


def test_extended_headers_set_name_and_size_of_the_next_member_only():
    payload = (
        record(b"path", "é/名.jpg".encode()) + record(b"size", b"4") + record(b"mtime", b"1.5")
    )
    data = extended(b"x", payload) + bytes(header("short", 0)) + padded(b"1234")
    data += bytes(header("b", 1)) + padded(b"y") + END
    assert members(data) == ([("é/名.jpg", "file", b"1234"), ("b", "file", b"y")], None)


def test_a_global_header_changes_nothing():
    payload = record(b"path", b"/everything") + record(b"comment", b"a commit")
    data = extended(b"g", payload) + bytes(header("a", 1)) + padded(b"y") + END
    assert members(data) == ([("a", "file", b"y")], None)


def test_a_name_that_is_no_utf_8_keeps_its_bytes_as_surrogates():
    block = header("a", 0)
    block[:6] = b"b\xff.jpg"
    assert members(sealed(block) + END)[0] == [("b\udcff.jpg", "file", b"")]


def test_an_old_tar_without_a_magic_word_is_read():
    block = header("folder/", 0, b"\0")
    block[257:265] = bytes(8)
    data = sealed(block) + bytes(header("folder/a", 2)) + padded(b"xx") + END
    assert members(data) == ([("folder/", "folder", b""), ("folder/a", "file", b"xx")], None)


def test_a_checksum_of_signed_bytes_is_taken():
    block = header("a", 0)
    block[:2] = b"\xff\xfe"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in block)
    assert members(bytes(block) + END)[0] == [("\udcff\udcfe", "file", b"")]


def test_a_size_beyond_octal_digits_is_read():
    block = header("a", 0)
    block[124:136] = b"\x80" + (9 << 30).to_bytes(11, "big")
    entry = next(iter(TarBlocks(Promise(sealed(block), 0))))
    assert entry.size == 9 << 30


def bad(block, start, field):
    block[start : start + len(field)] = field
    return sealed(block)


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (b"", "empty file"),
        (b"short", "no mark of its end: it may be cut short"),
        (b"\x1f\x8b" + bytes(600), "compressed with gzip; decompress it first"),
        (b"BZh9" + bytes(600), "compressed with bzip2; decompress it first"),
        (b"\xfd7zXZ\0" + bytes(600), "compressed with xz; decompress it first"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed with zstd; decompress it first"),
        (b"PK\x03\x04" + bytes(600), "compressed with zip; decompress it first"),
        (b"no tar at all" * 100, "bad header: no number where one belongs"),
        (bytes(header("a"))[:-1] + b"\1" + END, "bad header: its checksum is wrong"),
        (bad(header("a"), 124, b"0_0"), "bad header: no number where one belongs"),
        (bad(header("a"), 124, b"-7"), "bad header: no number where one belongs"),
        (bad(header("a"), 124, b"\xff" * 12), "bad header: no number where one belongs"),
        (bytes(header("a", 1)) + b"x", "cut short within a member"),
        (bytes(header("a", 600)) + bytes(600), "cut short within a member"),
        (bytes(header("a")), "no mark of its end: it may be cut short"),
        (bytes(512) + b"x" * 512, "something that is no tar follows its end, and is left out"),
        (bytes(1024) + b"x", "something that is no tar follows its end, and is left out"),
        (extended(b"x", b"no records"), "bad header: no number where one belongs"),
        (extended(b"x", b"99 path=a\n"), "bad header: its records are no lines"),
        (extended(b"x", b"0 path=a\n"), "bad header: its records are no lines"),
        (extended(b"x", b"9" * 600), "bad header: no number where one belongs"),
        (extended(b"x", record(b"size", b"-1")), "bad header: no number where one belongs"),
        (extended(b"x", record(b"size", b"9" * 5000)), "bad header: no number where one belongs"),
    ],
)
def test_damage_ends_the_members_and_is_told(data, damage):
    assert members(data)[1] == damage


def test_a_number_in_hex_is_not_taken_for_one():
    block = header("a")
    block[148:156] = b"0x%04x\0 " % sum(sealed(block)[:148] + b" " * 8 + block[156:])
    assert members(bytes(block))[1] == "bad header: no number where one belongs"


def test_an_end_of_one_block_of_zeros_is_an_end():
    data = bytes(header("a", 1)) + padded(b"y") + bytes(512)
    assert members(data) == ([("a", "file", b"y")], None)


@pytest.mark.parametrize("end", [END, bytes(512), bytes(10240)])
def test_archives_that_follow_one_another_are_read_as_one(end):
    one = bytes(header("a", 1)) + padded(b"y") + end
    two = extended(b"x", record(b"path", b"long")) + bytes(header("b", 1)) + padded(b"z") + end
    found = [("a", "file", b"y"), ("long", "file", b"z"), ("a", "file", b"y")]
    assert members(one + two + one) == (found, None)
    assert members(END + one) == ([("a", "file", b"y")], None)


def test_what_an_archive_says_of_a_member_that_it_lacks_is_not_said_of_the_next_ones():
    data = extended(b"x", record(b"path", b"none")) + END + bytes(header("a", 1)) + padded(b"y")
    assert members(data + END) == ([("a", "file", b"y")], None)


def test_members_before_something_that_is_no_tar_are_read():
    data = bytes(header("a", 1)) + padded(b"y") + END + b"PK\x03\x04" + bytes(900)
    told = "something that is no tar follows its end, and is left out"
    assert members(data) == ([("a", "file", b"y")], told)


def test_the_list_of_a_folder_in_an_incremental_archive_is_skipped():
    data = bytes(header("folder/", 600, b"D")) + bytes(1024) + bytes(header("a", 1)) + padded(b"y")
    assert members(data + END)[0][-1] == ("a", "file", b"y")


@pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K", b"X"])
def test_an_extended_header_that_promises_gigabytes_is_skipped_and_not_held(flag):
    size = 1 << 30
    head = bytes(header("extended", size, flag))
    stream = io.BufferedReader(Promise(head, 100 << 20))
    tracemalloc.start()
    found, damage = members(stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found, damage) == ([], "cut short within a member")
    assert peak < 8 << 20


def test_the_member_after_a_header_that_is_too_large_tells_of_it():
    size = LARGEST_HEADER + 1
    data = bytes(header("extended", size, b"x")) + bytes(size + -size % 512)
    data += (
        bytes(header("a.jpg", 1)) + padded(b"y") + bytes(header("b.jpg", 1)) + padded(b"z") + END
    )
    entries = [(e.name, e.complaint) for e in TarBlocks(io.BytesIO(data))]
    assert entries == [
        ("a.jpg", f"header too large: {size} bytes, limit {LARGEST_HEADER}"),
        ("b.jpg", None),
    ]


def test_a_size_that_nothing_stands_behind_takes_no_memory():
    block = header("a.jpg", 0)
    block[124:136] = b"\x80" + (1 << 50).to_bytes(11, "big")
    tracemalloc.start()
    found, damage = members(Promise(sealed(block), 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found, damage) == ([], "cut short within a member")
    assert peak < 4 << 20


def test_a_long_chain_of_extended_headers_is_followed_without_depth():
    chain = extended(b"x", record(b"path", b"a.jpg")) * 5000
    data = chain + bytes(header("short", 1)) + padded(b"y") + END
    assert members(data) == ([("a.jpg", "file", b"y")], None)


def test_a_header_full_of_digits_takes_no_time():
    data = extended(b"x", b"9" * 1_000_000)  # tarfile searches it in quadratic time
    assert members(data)[1] == "bad header: no number where one belongs"
