"""Decoding by children: the same answers, and none that a bad image can take away."""

import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import (
    Limits,
    Wanted,
    answers,
    decoder,
    decoder_pool,
    decoder_process,
    decoding,
)
from tasks.io.images.decoder_pool import Pool
from tests.support.colour_profiles import display_p3
from tests.support.pictures import decode, encode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 21)

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tasks.io.images import decoder
from tasks.io.errors import ImageRefused

real = decoder.decode

def decode(data, limits, wanted):
    if data.startswith(b"bad"):
        {deed}
    return real(data, limits, wanted)

decoder.decode = decode
decoder.main()
"""
"""A decoder with a flaw: what it does to a file that begins with the word."""


@pytest.fixture
def make_pool():
    """Makes pools of decoders, with a flaw or of another command; they end with the test."""
    with_children = []

    def make(deed="pass", size=1, time_limit_s=60.0, command=None):
        command = command or (sys.executable, "-c", SCRIPT.format(deed=deed))
        with_children.append(Pool(command, size, time_limit_s))
        return with_children[-1]

    yield make
    for pool in with_children:
        pool.close()


@pytest.fixture
def image(pixels):
    return encode(pixels(0), "png")


def refusal(decode, data, limits=LIMITS):
    with pytest.raises(ImageRefused) as caught:
        decode(data, limits)
    return str(caught.value)


def children():
    """Running child processes of this one."""
    return {child.pid for child in psutil.Process().children()}


@pytest.mark.parametrize("file_format", ["webp", "png", "jpeg"])
def test_children_give_the_pixels_of_this_process(pixels, file_format):
    for shape in ((8, 8), (37, 51), (700, 900)):
        data = encode(pixels(1, *shape), file_format)
        found = decoder_pool.decode(data, LIMITS)
        assert found.depth == np.uint8
        np.testing.assert_array_equal(found.pixels, decoding.decode(data, LIMITS).pixels)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"a text", id="no image"),
        pytest.param(lambda data: data[:-40], id="cut"),
        pytest.param(lambda data: data + bytes(1 << 21), id="too many bytes"),
        pytest.param(lambda data: encode(np.zeros((7, 9, 3), np.uint8), "png"), id="too small"),
        pytest.param(
            lambda data: encode(np.zeros((1024, 1025, 3), np.uint8), "png"), id="too many pixels"
        ),
    ],
)
def test_children_refuse_for_the_reasons_of_this_process(image, spoil):
    data = spoil(image)
    assert refusal(decoder_pool.decode, data) == refusal(decoding.decode, data)


def test_any_number_of_threads_gets_its_own_answers_from_a_few_children(make_pool, pixels):
    encoded = [encode(pixels(seed, 20 + seed, 30), "png") for seed in range(24)]
    pool, before = make_pool(size=2), children()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: pool.decode(data, LIMITS), encoded * 3))
    for index, image in enumerate(found):
        np.testing.assert_array_equal(
            image.pixels, decoding.decode(encoded[index % 24], LIMITS).pixels
        )
    assert 1 <= len(children() - before) <= 2


def test_children_are_started_when_needed_and_kept(make_pool, image):
    pool, before = make_pool(size=3), children()
    assert children() == before
    pool.decode(image, LIMITS)
    started = children() - before
    assert len(started) == 1
    for _ in range(3):
        pool.decode(image, LIMITS)
    assert children() - before == started
    pool.close()
    assert children() == before
    pool.decode(image, LIMITS)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed its decoder: SIGSEGV"),
        ("os.abort()", "killed its decoder: SIGABRT"),
        ("os._exit(3)", "killed its decoder: exit status 3"),
        ("os.kill(os.getpid(), 40)", "killed its decoder: signal 40"),
        ("bytearray(1 << 31)", "out of memory while decoding"),
        ("os.write(0, b'x' * 64)", "harmed its decoder: it answers nonsense"),
    ],
)
def test_an_image_that_ends_its_decoder_is_refused_with_what_became_of_it(
    make_pool, image, deed, reason
):
    pool = make_pool(deed)
    assert refusal(pool.decode, b"bad") == reason
    np.testing.assert_array_equal(pool.decode(image, LIMITS).pixels, decode(image, LIMITS))


def test_decoders_that_are_killed_from_outside_are_no_fault_of_an_image(make_pool, image):
    pool = make_pool("os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(OSError, match=r"must not be killed from outside.*memory ends"):
        pool.decode(b"bad", LIMITS)
    np.testing.assert_array_equal(pool.decode(image, LIMITS).pixels, decode(image, LIMITS))


def test_an_image_is_refused_whose_decoder_closes_its_line_and_goes_on(make_pool, monkeypatch):
    monkeypatch.setattr(decoder_process, "_EXIT_LIMIT_S", 0.2)
    pool = make_pool("os.closerange(0, 64); time.sleep(60)")
    assert refusal(pool.decode, b"bad") == "killed its decoder: SIGKILL"


def test_an_image_that_takes_too_long_is_refused_and_its_decoder_ended(make_pool, image):
    pool, before = make_pool("time.sleep(60)", time_limit_s=0.3), children()
    begun = time.monotonic()
    assert refusal(pool.decode, b"bad") == "took its decoder more than 0.3 s"
    assert time.monotonic() - begun < 30
    assert children() == before


def test_an_image_that_takes_too_long_is_not_tried_again(make_pool, tmp_path):
    mark = tmp_path / "mark"
    pool = make_pool(f"Path({str(mark)!r}).open('a').write('x'); time.sleep(60)", time_limit_s=0.5)
    assert refusal(pool.decode, b"bad").startswith("took its decoder more than")
    assert mark.read_text() == "x"


def test_an_image_that_is_not_even_taken_is_refused_in_time(make_pool):
    stopped = "import os, signal, sys; os.write(1, b'1'); os.kill(os.getpid(), signal.SIGSTOP)"
    pool = make_pool(command=(sys.executable, "-c", stopped), time_limit_s=0.3)
    large = Limits(max_pixels=1, max_bytes=1 << 25)
    assert refusal(pool.decode, bytes(1 << 25), large).startswith("took its decoder more than")


def test_an_image_is_tried_once_more_by_a_new_decoder(make_pool, tmp_path):
    mark = tmp_path / "mark"
    deed = f"""
        if Path({str(mark)!r}).exists():
            raise ImageRefused(Path({str(mark)!r}).read_text() + " " + str(os.getpid()))
        Path({str(mark)!r}).write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)"""
    first, second = refusal(make_pool(deed).decode, b"bad").split()
    assert first != second


def test_bad_images_harm_no_others_that_are_decoded_beside_them(make_pool, image):
    pool = make_pool("os.kill(os.getpid(), signal.SIGBUS)", size=2)

    def outcome(data):
        try:
            return pool.decode(data, LIMITS).pixels.shape
        except ImageRefused as refused:
            return str(refused)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(outcome, [image, b"bad", image, image] * 3))
    assert found == [(24, 32, 3), "killed its decoder: SIGBUS", (24, 32, 3), (24, 32, 3)] * 3


def test_a_file_that_asks_for_more_memory_than_its_pixels_need_is_refused(make_pool):
    memory = "decoder.memory_for = lambda limits, claimed: 1 << 24\ndecoder.main()"
    command = (sys.executable, "-c", f"from tasks.io.images import decoder\n{memory}")
    assert refusal(make_pool(command=command).decode, b"no image").startswith("no image in one")
    flat = encode(np.zeros((3000, 3000, 3), np.uint8), "png")
    limits = Limits(max_pixels=1 << 24, max_bytes=1 << 24)
    assert (
        refusal(make_pool(command=command).decode, flat, limits) == "out of memory while decoding"
    )


@pytest.mark.parametrize("file_format", ["png", "webp", "bmp", "jpeg", "tiff"])
@pytest.mark.parametrize("quality", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}])
def test_memory_is_granted_for_the_pixels_that_a_file_says_it_has(file_format, quality):
    out = io.BytesIO()
    options = quality if file_format == "webp" else {}
    Image.new("RGB", (123, 45)).save(out, file_format, **options)
    claimed = decoder.claimed_pixels(out.getvalue())
    assert claimed == (None if file_format == "tiff" else 123 * 45)
    limits = Limits(max_pixels=1 << 29, max_bytes=1 << 20)
    most = decoder.memory_for(limits, None)
    assert decoder.memory_for(limits, 1 << 40) == most > 1 << 34
    assert decoder.memory_for(limits, 123 * 45) < 1 << 28


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"RIFF....WEBPVP8L", b"BM", b"\xff\xd8\xff"])
def test_a_file_that_ends_early_says_no_number_of_pixels(data):
    assert decoder.claimed_pixels(data) in (None, 1)


def wide_png(side):
    """A PNG of four channels of 16 bits, white and opaque."""

    def chunk(kind, content):
        size, checksum = struct.pack(">I", len(content)), zlib.crc32(kind + content)
        return size + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff" * 8 * side) * side, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


@pytest.mark.parametrize("mode", ["RGB", "I;16", "RGBA;16"])
def test_the_largest_image_of_the_limits_has_memory_enough(mode):
    side = 4096
    out = io.BytesIO()
    if mode == "RGB":
        Image.new(mode, (side, side)).save(out, "WEBP", lossless=True, quality=0, method=0)
    elif mode == "RGBA;16":
        out.write(wide_png(side))
    else:
        Image.fromarray(np.zeros((side, side), np.uint16)).save(out, "PNG")
    limits = Limits(max_pixels=side * side, max_bytes=len(out.getvalue()))
    assert decoder_pool.decode(out.getvalue(), limits).pixels.shape == (side, side, 3)


def test_a_decoder_that_cannot_start_is_no_fault_of_an_image(make_pool, image):
    pool = make_pool(command=(sys.executable, "-c", "import sys; sys.exit(5)"))
    with pytest.raises(OSError, match=r"-c .* must start, got exit status 5"):
        pool.decode(image, LIMITS)
    with pytest.raises(FileNotFoundError):
        make_pool(command=("/absent/command",)).decode(image, LIMITS)


def test_an_answer_that_finds_no_room_here_is_not_taken_for_the_next(
    make_pool, pixels, image, monkeypatch
):
    def no_room(*_):
        raise MemoryError

    pool, large = make_pool(), encode(pixels(1, 300, 400), "png")
    with monkeypatch.context() as patch:
        patch.setattr(answers.np, "empty", no_room)
        with pytest.raises(MemoryError):
            pool.decode(large, LIMITS)
    np.testing.assert_array_equal(pool.decode(image, LIMITS).pixels, decode(image, LIMITS))


def test_a_child_has_no_file_of_its_parent(make_pool, tmp_path):
    with (tmp_path / "secret").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        listed = "raise ImageRefused(' '.join(os.readlink(p) for p in Path('/proc/self/fd')"
        listed += ".iterdir() if p.exists()))"
        found = refusal(make_pool(listed).decode, b"bad").split()
    assert {name.partition(":")[0] for name in found} <= {"socket", "/dev/null"}


PARENT = """
import os, sys, threading
from pathlib import Path

import psutil
from tasks.io.images.decoder_pool import decode
from tasks.io.images.limits import Limits

data = Path(sys.argv[1]).read_bytes()
limits = Limits(max_pixels=1 << 20, max_bytes=1 << 20)

def decoded():
    return decode(data, limits).pixels.shape == (24, 32, 3)

def children():
    return {child.pid for child in psutil.Process().children()}
"""


def run(body, path, **options):
    command = [sys.executable, "-W", "error", "-c", PARENT + body, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


@pytest.fixture
def file(tmp_path, image):
    path = tmp_path / "image.png"
    path.write_bytes(image)
    return path


def gone(process, within_s=10):
    """Whether the process ends in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_children_end_when_their_parent_is_killed(file):
    body = "assert decoded(); print(*children(), flush=True); sys.stdin.read()"
    with run(body, file, stdin=subprocess.PIPE) as parent:
        started = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(started) == 1
    assert all(map(gone, started))


def test_a_parent_that_ends_leaves_no_child_and_says_nothing(file):
    with run("assert decoded(); print(*children())", file, stderr=subprocess.PIPE) as parent:
        out, errors = parent.communicate(timeout=60)
    assert (parent.returncode, errors) == (0, "")
    assert all(gone(int(word)) for word in out.split())


def test_a_fork_has_children_of_its_own_and_leaves_those_of_its_parent(file):
    body = """
assert decoded()
ours = children()
if (fork := os.fork()) == 0:
    answers = []
    thread = threading.Thread(target=lambda: answers.append(decoded()))
    thread.start()
    thread.join()
    ok = answers == [True] and len(children()) == 1 and not children() & ours
    sys.exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
assert decoded() and children() == ours
"""
    with run(body, file) as parent:
        parent.communicate(timeout=60)
    assert parent.returncode == 0


def deep_file(file_format, colour):
    """A file of a format for which a child needs libraries of its own."""
    wide, out = colour.astype(np.uint16) * 257, io.BytesIO()
    match file_format:
        case "tiff":
            options = {"photometric": "rgb", "compression": "zstd", "iccprofile": display_p3()}
            tifffile.imwrite(out, wide, **options)
        case "avif":
            out.write(imagecodecs.avif_encode(wide >> 6, bitspersample=10, speed=10))
        case "jxl":
            out.write(imagecodecs.jpegxl_encode(wide, lossless=True))
        case "heic":
            pillow_heif = pytest.importorskip("pillow_heif")
            pillow_heif.from_pillow(Image.fromarray(colour)).save(out, quality=90)
    return out.getvalue()


@pytest.mark.parametrize("file_format", ["tiff", "avif", "jxl", "heic"])
def test_a_child_has_room_for_every_format_and_says_what_this_process_would(
    make_pool, pixels, file_format
):
    data = deep_file(file_format, pixels(1, 700, 900))
    limits = Limits(max_pixels=1 << 20, max_bytes=1 << 23)
    wanted = Wanted(srgb=True)
    found, here = make_pool().decode(data, limits, wanted), decoding.decode(data, limits, wanted)
    np.testing.assert_array_equal(found.pixels, here.pixels)
    assert (found.metadata, found.bits, found.file_format) == (
        here.metadata,
        here.bits,
        file_format,
    )
    assert found.remark == here.remark
