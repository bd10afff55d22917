"""Places that overlap: refused, or the inner one is left out of the outer one."""

import pytest
import yaml

from tasks.config import load_config
from tasks.config.corpora import Corpora, Corpus
from tasks.config.places import Place, apart_from
from tasks.io.errors import ConfigurationError
from tasks.io.store import Access


@pytest.fixture
def load(tmp_path):
    """Loads a configuration of a workspace and corpora, by paths or sections."""

    def loaded(workspace, **corpora):
        sections = {
            role: {"path": corpus} if isinstance(corpus, str) else corpus
            for role, corpus in corpora.items()
        }
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump({"workspace": workspace, "corpora": sections}))
        return load_config(file)

    return loaded


def told(config, role):
    corpora = config.corpora
    return set(apart_from(getattr(corpora, role), config.workspace, corpora).values())


@pytest.mark.parametrize("workspace", ["pictures", "pictures/", "./x/../pictures", "link"])
def test_a_workspace_is_no_folder_of_pictures(load, tmp_path, workspace):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "link").symlink_to("pictures")
    with pytest.raises(ConfigurationError, match=r"own, got .* of corpora\.natural; name one in"):
        load(workspace, restored="restored", natural="pictures")


@pytest.mark.parametrize(
    ("workspace", "path"),
    [
        ("w", "w/reports"),
        ("w", "w/enhanced/run/op/alpha=+0.00/{000000..000003}.tar"),
        ("w", "w/datasets/natural/shard-000000.tar"),
        ("w", "{w/datasets/natural/shard-000000,other/a}.tar"),
        ("w", "w/{enhanced,datasets}/natural/shard-000000.tar"),
        (".", "metrics"),
        ("s3://bucket/w", "s3a://bucket/w/reports/run/"),
    ],
)
def test_what_a_workspace_holds_is_not_its_input(load, workspace, path):
    with pytest.raises(
        ConfigurationError, match=r"corpora\.natural must not be what the workspace"
    ):
        load(workspace, restored="restored", natural=path)


@pytest.mark.parametrize("role", ["natural", "reference"])
@pytest.mark.parametrize("path", ["a", "a/", "./b/../a", "link", "file://{}/a"])
def test_restored_images_are_not_those_that_they_are_compared_with(load, tmp_path, role, path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    corpora = {"restored": "a", "natural": "n", role: path.format(tmp_path)}
    with pytest.raises(
        ConfigurationError, match=rf"restored and corpora\.{role} must be different"
    ):
        load("w", **corpora)


def test_tars_are_not_compared_with_themselves(load):
    with pytest.raises(ConfigurationError, match="must be different images"):
        load("w", restored="a/{0..3}.tar", natural="./a/{0..3}.tar")


@pytest.mark.parametrize("role", ["natural", "reference"])
@pytest.mark.parametrize(
    ("restored", "other", "shared"),
    [
        ("a-{0..5}.tar", "a-{3..9}.tar", "a-3.tar and 2 more"),
        ("a-{0..5}.tar", "./x/../a-2.tar", "a-2.tar"),
        ("a-2.tar", "{a-{00..05},b}.tar", None),
        ("t/{a,b/c}.tar", "t/b/{b,c}.tar", "c.tar"),
        ("a-{0..5}.tar", "link/a-{5..6}.tar", "a-5.tar"),
        ("a-{0..5}.tar", "linked-{0..1}.tar", "a-4.tar"),
        ("a-{0..5}.tar", "file://{}/a-{4..9}.tar", "a-4.tar and 1 more"),
        ("s3://bucket/a-{0..5}.tar", "s3a://bucket/a-{1..2}.tar", "a-1.tar and 1 more"),
        ("s3://bucket/{0..5}.tar", "hf://datasets/org/x/{0..5}.tar", None),
    ],
)
def test_no_tar_is_restored_and_compared_with(load, tmp_path, role, restored, other, shared):
    (tmp_path / "link").symlink_to(".")
    (tmp_path / "linked-1.tar").symlink_to("a-4.tar")
    corpora = {"restored": restored, "natural": "n", role: other.replace("{}", str(tmp_path))}
    if shared is None:
        load("w", **corpora)
        return
    with pytest.raises(ConfigurationError, match=rf"corpora\.{role} must .* got {shared} in both:"):
        load("w", **corpora)


def test_a_range_that_stands_for_nothing_is_told_with_its_place(load):
    with pytest.raises(ConfigurationError, match=r"corpora\.natural\.path: a range of tars must"):
        load("w", restored="a/{0..3}.tar", natural="a/{3..0}.tar")


@pytest.mark.parametrize(
    "other", ["a/{0,1,2,3}.tar", "a/{2..5}.tar", "a/3.tar", "{b,a}/{00..03..3}.tar", "link/0.tar"]
)
def test_no_tar_is_restored_and_compared_with_itself(load, tmp_path, other):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(
        ConfigurationError, match=r"\d+\.tar.* in both: .* correct one of the paths"
    ):
        load("w", restored="a/{0,{1..3},00}.tar", natural="n", reference=other)


def test_no_tar_of_the_workspace_is_its_input(load):
    with pytest.raises(ConfigurationError, match=r"corpora\.natural must not be what the works"):
        load("w", restored="a/0.tar", natural="{a,w/enhanced}/1.tar")


def test_braces_without_a_range_are_told_with_the_field(load):
    with pytest.raises(ConfigurationError, match=r"^corpora\.natural\.path: braces in a tar's"):
        load("w", restored="a/0.tar", natural="b/{0-3}.tar")


@pytest.mark.parametrize(
    "corpora",
    [
        {"restored": "r", "natural": "a", "reference": "a"},
        {"restored": "r", "natural": "a/{0..3}.tar", "reference": "a/{2..5}.tar"},
        {"restored": {"path": "a/{0..3}.tar", "resize": 64}, "natural": "a/{2..5}.tar"},
        {"restored": "a", "natural": "a/{2..5}.tar"},
        {"restored": "r", "natural": "a", "reference": "a/part"},
        {"restored": "a/{0..3}.tar", "natural": "a/{4..7}.tar"},
        {"restored": {"path": "a", "resize": 64}, "natural": "a"},
        {"restored": "a/{0..3}.tar", "natural": "a/{00..03}.tar"},
        {"restored": "{a,b}/0.tar", "natural": "{a,b}/1.tar"},
        {"restored": "a/0.tar", "natural": "a"},
        {"restored": "s3://bucket/a", "natural": "s3://bucket/b"},
        {"restored": "s3://bucket/a", "natural": "hf://datasets/bucket/a"},
        {"restored": "a", "natural": "an"},
    ],
)
def test_what_may_be_meant_is_allowed(load, corpora):
    load("w", **corpora)


def test_a_workspace_may_stand_in_a_corpus_and_around_one(load):
    inside = load("pictures/dot", restored="r", natural="pictures")
    assert told(inside, "natural") == {"the workspace", "corpora.restored"}
    around = load(".", restored="r", natural="pictures")
    assert told(around, "natural") == {"a folder of the workspace", "corpora.restored"}


def test_a_corpus_takes_nothing_of_what_it_is_compared_with(load):
    config = load("w", restored="a/low", natural="a", reference="a/good")
    assert told(config, "natural") == {"the workspace", "corpora.restored"}
    assert told(config, "reference") == {"the workspace", "corpora.restored"}
    assert told(config, "restored") == {"the workspace", "corpora.reference"}  # natural is around


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("s3://bucket/a/", "s3a://bucket/a"),
        ("s3://bucket", "s3://bucket/"),
        ("s3a://bucket/a", "s3://bucket/a//"),
        ("/data/a/", "/data/b/../a"),
        ("file:///data/a", "local:///data/a/"),
    ],
)
def test_a_place_has_one_name(url, other):
    assert Place.of(url) == Place.of(other)


@pytest.mark.parametrize(
    ("outer", "inner", "holds"),
    [
        ("s3://bucket", "s3://bucket/a/b", True),
        ("s3://bucket/a", "s3://bucket/ab", False),
        ("s3://bucket/a", "s3://other/a/b", False),
        ("s3://bucket/a", "/bucket/a/b", False),
        ("/data", "/data/a", True),
        ("/data/a", "/data/ab", False),
        ("/data/a", "/data", False),
    ],
)
def test_a_place_holds_what_lies_below_it(outer, inner, holds):
    assert Place.of(outer).holds(Place.of(inner)) is holds


def test_buckets_of_two_services_are_two_places():
    there = Access(endpoint="https://elsewhere.example")
    corpora = Corpora(
        restored=Corpus(path="s3://bucket/a"), natural=Corpus(path="s3://bucket/a", access=there)
    )
    assert apart_from(Corpus(path="s3://bucket"), "s3://bucket/w", corpora).keys() == {
        Place.of("s3://bucket/w"),
        Place.of("s3://bucket/a"),
    }
