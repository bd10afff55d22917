"""Fingerprints of shards of tars and files: those of former versions, so what is done stays."""

from tasks.config.corpora import Corpus
from tasks.io.shards.cuts.parts import Part
from tasks.jobs import Recipe
from tasks.shard.image_files import SourceFile, SourceSide
from tasks.shard.inputs import own_inputs

TAR = SourceFile("日本", "日本.tar", 9000, "v1")
FILE = SourceFile("k", "k.png", 3, "v", "name is absolute", (SourceSide("txt", "k.txt", 4, "w"),))
PART = Part(3, 1024, 9000, 5, 12, 1, False, "ab" * 16)
TARS, FOLDER = Corpus(path="/in/a.tar"), Corpus(path="/in")
RECIPE = Recipe("shard", {"path": "/in/"})


def test_a_part_of_a_tar_has_the_fingerprint_that_it_had():
    own = own_inputs((TAR,), TARS, {}, PART)
    assert RECIPE.mark(**own) == "d40a8dec7f628ee0cd197c6841d4e56c"
    forgetting = own_inputs((TAR,), TARS, {"d": ["日本.tar#3"]}, PART)
    assert RECIPE.mark(**forgetting) == "37f90ac094f4750642db206544800fc3"


def test_files_have_the_fingerprint_that_they_had():
    assert repr(TAR) == (
        "SourceFile(key='日本', path='日本.tar', size=9000, version='v1', refusal='')"
    )
    assert RECIPE.mark(**own_inputs((FILE,), FOLDER, {})) == "d58bdc5b9fbfbbdfe0a217ebdb3f7467"
