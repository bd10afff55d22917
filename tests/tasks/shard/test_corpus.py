"""The files of a corpus: which are listed, in which order, and which names are refused."""

import os

import pytest

from tasks.config.corpora import Corpus
from tasks.config.places import apart_from
from tasks.io.errors import CorpusError
from tasks.io.store import Store
from tasks.io.workspace import key_digest
from tasks.jobs.progress import reporting_to
from tasks.shard.corpus import SourceFile, list_files, list_images, require_sources, source_of


@pytest.fixture
def folder(tmp_path):
    """Makes empty files of these names, bytes or text, and gives the folder."""

    def make(*names):
        for name in names:
            path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))  # noqa: PTH118
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            with open(path, "wb"):  # noqa: PTH123
                pass
        return tmp_path

    return make


def listed(folder):
    return list(list_images(Store(str(folder))))


def test_images_come_in_the_order_of_their_keys_over_all_folders(folder):
    names = ["a-.png", "a.png", "a/b.png", "a.b.png", "B.jpg", "é.png", "日/本.png", "𝄞.png"]
    keys = [file.key for file in listed(folder(*names))]
    assert keys == sorted(keys) == ["B", "a", "a-", "a.b", "a/b", "é", "日/本", "𝄞"]


def test_names_in_decomposed_letters_give_keys_in_composed_ones_and_in_their_order(folder):
    names = ["cafe\u0301/u\u0308.png", "cafe\u0301/z.png", "cafz.png", "e\u0301.png", "f.png"]
    files = listed(folder(*names))
    assert [file.key for file in files] == [
        "cafz",
        "caf\u00e9/z",
        "caf\u00e9/\u00fc",
        "f",
        "\u00e9",
    ]
    assert sorted(file.path for file in files) == sorted(names)


@pytest.mark.parametrize("second", ["e\u0301.jpg", "\u00e9/a.png", "\u00e9.json"])
def test_names_that_would_become_equal_stay_as_they_are(folder, second):
    same = {
        "e\u0301.jpg": "\u00e9.png",
        "\u00e9/a.png": "e\u0301/a.png",
        "\u00e9.json": "e\u0301.png",
    }
    files = listed(folder(second, same[second], "z.png"))
    images = sorted(name for name in (second, same[second], "z.png") if "json" not in name)
    assert [file.key for file in files] == [name.rpartition(".")[0] for name in images]
    assert not any(file.refusal for file in files)


@pytest.mark.parametrize("key", ["e\u0301", "\u00e9"])
def test_a_forgotten_key_is_not_listed_in_either_form_of_its_letters(folder, key):
    corpus = Corpus(path=str(folder("e\u0301.png", "f.png")))
    assert [file.key for file in list_files(corpus, {key_digest(key): []})] == ["f"]


def test_files_of_other_endings_and_hidden_ones_are_no_images(folder):
    names = ["a.png", "b.txt", "c", ".d.png", ".e/f.png", "g.json", "h.PNG", "i.tar"]
    assert [file.path for file in listed(folder(*names))] == ["a.png", "h.PNG"]


def test_of_files_with_one_key_the_first_is_taken(folder):
    files = listed(folder("a.jpg", "a.png", "a.webp", "b.png"))
    assert [(file.path, bool(file.refusal)) for file in files] == [
        ("a.jpg", False),
        ("a.png", True),
        ("a.webp", True),
        ("b.png", False),
    ]
    assert files[1].refusal == "key taken: another file differs only in extension; rename one"


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        (b"a\xff.png", "a\\xff.png", "name is not UTF-8: rename the file"),
        (b"a\n.png", "a\\x0a.png", "name holds control characters: rename the file"),
        ("a\u2028.png", "a\\u2028.png", "name holds control characters: rename the file"),
        ("C:\\a.png", "C:\\a.png", "name is absolute: rename the file"),
        ("a\\..\\b.png", "a\\..\\b.png", "name leads outside: a part of it is `..`"),
    ],
)
def test_a_name_that_can_be_no_key_is_refused_and_printable(folder, name, shown, reason):
    (file,) = listed(folder(name))
    assert (file.path, file.refusal) == (shown, reason)
    file.key.encode()


def test_two_bad_names_of_one_key_are_both_printable(folder):
    files = listed(folder(b"a\xff.jpg", b"a\xff.png"))
    assert [file.path for file in files] == ["a\\xff.jpg", "a\\xff.png"]
    assert {file.refusal for file in files} == {"name is not UTF-8: rename the file"}


def test_a_good_name_after_a_bad_one_is_not_refused(folder):
    files = listed(folder(b"a\xff.jpg", "b.png"))
    assert [bool(file.refusal) for file in files] == [True, False]


def test_forgotten_keys_are_not_listed(folder):
    corpus = Corpus(path=str(folder("a.png", "b.png", "c.png")))
    forgotten = {key_digest("b"): []}
    assert [file.key for file in list_files(corpus, forgotten)] == ["a", "c"]


@pytest.fixture
def said():
    """What is said while the test lists."""
    sentences = []
    with reporting_to(lambda _: None, sentences.append):
        yield sentences


def test_pictures_of_formats_that_are_not_read_are_counted_aloud(folder, said):
    root = folder("a.png", "b.GIF", "c/d.gif", "e.tga", "f.txt", ".g.gif", "h.jfif", "i.jpe")
    assert [file.path for file in listed(root)] == ["a.png", "h.jfif", "i.jpe"]
    assert said == [
        f"left out of the corpus {root}: pictures of formats that are not read (2 .gif, 1 .tga); "
        "convert them to PNG"
    ]


def keys(config, role="natural"):
    corpus = getattr(config.corpora, role)
    apart = apart_from(corpus, config.workspace, config.corpora)
    return [file.key for file in list_files(corpus, {}, apart)]


def test_a_workspace_in_the_corpus_is_left_out_and_that_is_said(folder, steps, said):
    root = folder("a.png", "dot/reports/run/curve.png", "dot/x.png", "dots/b.png")
    config = steps(f"{root}/x/../dot", {"restored": "r", "natural": f"{root}/"}).config
    assert keys(config) == ["a", "dots/b"]
    assert said == [f"left out of the corpus {root}/: {root}/dot, which is the workspace"]


def test_a_workspace_around_the_corpus_gives_nothing_through_links(folder, steps, said):
    root = folder("pictures/a.png", "reports/run/curve.png", "more/b.png")
    (root / "pictures/best").symlink_to("../reports/run")
    (root / "pictures/more").symlink_to("../more")
    config = steps(root, {"restored": "r", "natural": root / "pictures"}).config
    assert keys(config) == ["a", "more/b"]
    assert len(said) == 1
    assert said[0].endswith("/best, which is a folder of the workspace")


def test_restored_images_inside_the_natural_ones_are_left_out(folder, steps, said):
    root = folder("a.png", "low/a.png", "good/b.png")
    corpora = {"restored": root / "low", "natural": root, "reference": root / "good"}
    config = steps("/elsewhere", corpora).config
    assert keys(config) == ["a", "good/b"]
    assert keys(config, "restored") == ["a"]
    assert [sentence.rpartition(", ")[2] for sentence in said] == ["which is corpora.restored"]


def test_another_workspace_in_the_corpus_is_known_by_its_mark(folder, steps, said):
    root = folder("a.png", "old/.dotpipe", "old/reports/curve.png", "x/.dotpipe2", "x/b.png")
    assert keys(steps("/elsewhere", {"restored": "r", "natural": root}).config) == ["a", "x/b"]
    assert said == [f"left out of the corpus {root}: {root}/old, which is another workspace"]
    own = steps("/elsewhere", {"restored": "r", "natural": root / "old"}).config
    assert keys(own) == ["reports/curve"]  # named by its own path it is meant


def test_workspaces_in_a_bucket_are_left_out_too(bucket, steps, said):
    for key in ("in/a.png", "in/dot/x.png", "in/old/.dotpipe", "in/old/b/x.png", "in/dots/c.png"):
        bucket.put(key)
    corpora = {"restored": "r", "natural": f"{bucket.url}/in/"}
    config = steps(f"{bucket.url.replace('s3:', 's3a:')}/in/dot/", corpora).config
    assert keys(config) == ["a", "dots/c"]
    assert len(said) == 2


def tars(pattern):
    return [file.path for file in list_files(Corpus(path=str(pattern)), {})]


def test_braces_stand_for_every_number_of_a_range_with_its_zeros(folder):
    root = folder(*(f"part-{number:03d}.tar" for number in range(8, 12)), "part-012.tar")
    found = tars(root / "part-{008..011}.tar")
    assert found == ["part-008.tar", "part-009.tar", "part-010.tar", "part-011.tar"]


def test_braces_may_stand_in_folders_and_more_than_once(folder):
    root = folder("x1/a0.tar", "x1/a1.tar", "x2/a0.tar", "x2/a1.tar")
    found = tars(root / "x{1..2}/a{0..1}.tar")
    assert found == ["x1/a0.tar", "x1/a1.tar", "x2/a0.tar", "x2/a1.tar"]


def test_one_tar_needs_no_braces(folder):
    root = folder("only.tar", "other.tar")
    assert tars(root / "only.tar") == ["only.tar"]


def test_a_tar_has_the_name_that_it_has_in_any_range_of_its_folder(folder):
    root = folder("part-0.tar", "part-1.tar")
    for range_ in ("part-{0..1}.tar", "part-{0..0}.tar", "part-0.tar"):
        corpus = Corpus(path=str(root / range_))
        assert source_of(corpus) == Store(f"{root}/")
        assert next(iter(list_files(corpus, {}))).path == "part-0.tar"


@pytest.mark.parametrize("name", ["a.TAR", "b.Tar"])
def test_the_ending_of_a_tar_may_be_in_capitals(folder, name):
    assert tars(folder(name) / name) == [name]


@pytest.mark.parametrize(
    "name", ["a.tar.gz", "a.tgz", "part-{0..3}.tar.zst", "a.TAR.GZ", "a.tar.xz", "a.zip"]
)
def test_an_archive_that_is_not_read_as_it_is_has_its_own_sentence(folder, name):
    corpus = Corpus(path=str(folder(name) / name))
    with pytest.raises(CorpusError, match=r"must not be compressed, and must end with \.tar, got"):
        require_sources({"natural": corpus})
    with pytest.raises(CorpusError, match="decompress them"):
        list(list_files(corpus, {}))


def test_a_folder_with_the_name_of_an_archive_is_a_folder(folder):
    corpus = Corpus(path=str(folder("a.tar.gz/b.png") / "a.tar.gz"))
    require_sources({"natural": corpus})
    assert [file.key for file in list_files(corpus, {})] == ["b"]


def test_a_tar_that_is_not_there_is_told_with_its_address(folder):
    root = folder("0.tar")
    with pytest.raises(
        CorpusError, match=r"1\.tar is not; correct the path, or what its braces hold"
    ):
        tars(root / "{0..1}.tar")


@pytest.mark.parametrize(
    "pattern",
    ["{x/{0..2},x/{1..3}}.tar", "{x/*,x/{0..1}}.tar", "{x/?,**/3}.tar"],
)
def test_a_tar_that_two_parts_of_a_pattern_name_makes_one_shard(folder, pattern):
    root = folder("x/0.tar", "x/1.tar", "x/2.tar", "x/3.tar")
    assert tars(root / pattern) == [f"x/{number}.tar" for number in range(4)]


def test_a_limit_is_not_for_tars():
    with pytest.raises(ValueError, match="limit counts image files, got tars; give a shorter"):
        Corpus(path="/any/{0..1}.tar", limit=3)


@pytest.mark.parametrize(("count", "listings", "heads"), [(5, 0, 5), (40, 1, 0)])
def test_tars_of_a_bucket_are_listed_once_where_there_are_many(
    bucket, proxy, count, listings, heads
):
    for number in range(count):
        bucket.put(f"in/part-{number:02d}.tar", bytes(number))
    bucket.put("in/deeper/part-00.tar")
    corpus = Corpus(path=f"{bucket.url}/in/part-{{00..{count - 1:02d}}}.tar")
    files = list(list_files(corpus, {}))
    assert [(file.path, file.size) for file in files] == [
        (f"part-{number:02d}.tar", number) for number in range(count)
    ]
    methods = [request.method for request in proxy.requests]
    assert (methods.count("GET"), methods.count("HEAD")) == (listings, heads)


def test_a_listed_tar_is_of_the_version_that_it_has_when_it_is_asked_for(bucket):
    for number in range(10):
        bucket.put(f"in/{number}.tar", bytes(number))
    store = Store(f"{bucket.url}/in/")
    listed = list(list_files(Corpus(path=f"{bucket.url}/in/{{0..9}}.tar"), {}))
    assert listed == [SourceFile(str(n), *store.entry(f"{n}.tar")) for n in range(10)]


def test_tars_of_a_bucket_in_many_folders_cost_a_listing_of_each(bucket, proxy):
    for folder in (1, 2, 3):
        for number in range(10):
            bucket.put(f"in/x{folder}/.{number}.tar")  # hidden, but named
    files = list(list_files(Corpus(path=f"{bucket.url}/in/x{{1..3}}/.{{0..9}}.tar"), {}))
    assert [file.path for file in files[9:11]] == ["x1/.9.tar", "x2/.0.tar"]
    assert [request.method for request in proxy.requests] == ["GET"] * 3


def test_a_tar_that_a_listing_lacks_is_told_as_any(bucket):
    for number in range(10):
        bucket.put(f"in/{number}.tar")
    corpus = Corpus(path=f"{bucket.url}/in/{{0..10}}.tar")
    with pytest.raises(
        CorpusError, match=r"in/10\.tar is not; correct the path, or what its braces hold"
    ):
        list(list_files(corpus, {}))


def test_tars_of_a_bucket_that_may_not_be_listed_are_asked_for_one_by_one(bucket, proxy):
    for number in range(10):
        bucket.put(f"in/{number}.tar")
    proxy.choose = lambda request: "denied" if "list-type" in request.path else None
    assert len(tars(f"{bucket.url}/in/{{0..9}}.tar")) == 10
    assert proxy.faults == {"denied": 1}


def test_a_corpus_that_is_not_there_is_told_with_its_data_set(tmp_path):
    (tmp_path / "there").mkdir()
    there = Corpus(path=str(tmp_path / "there"))
    require_sources({"reference": there, "tars": Corpus(path=f"{tmp_path}/{{0..1}}.tar")})
    absent = Corpus(path=str(tmp_path / "phots"))
    with pytest.raises(CorpusError, match=r"a corpus must be a folder, .*phots'"):
        require_sources({"reference": there, "natural": absent})


def test_stars_choose_images_of_a_folder_and_keys_count_from_before_them(tmp_path):
    for name in ("a/1_sr.png", "a/1_gt.png", "b/c/2_sr.png", "3_sr.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    corpus = Corpus(path=f"{tmp_path}/**/*_sr.png", strip="_sr")
    assert [file.key for file in list_files(corpus, {})] == ["a/1", "b/c/2"]


def test_stars_choose_tars_that_are_there(tmp_path):
    for name in ("1.tar", "2.tar", "x/3.tar", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [f.path for f in list_files(Corpus(path=f"{tmp_path}/*.tar"), {})] == ["1.tar", "2.tar"]
    every = Corpus(path=f"{tmp_path}/{{*,x/*}}.tar")
    assert [f.path for f in list_files(every, {})] == ["1.tar", "2.tar", "x/3.tar"]
