"""The YAML of a configuration: nothing in it is lost, or taken for something else."""

import pytest

from tasks.config import load_config
from tasks.config.yaml_file import read_sections
from tasks.io.errors import ConfigurationError

LEAST = "workspace: w\ncorpora:\n  restored: {path: r}\n  natural: {path: n}\n"


@pytest.fixture
def read(tmp_path):
    """Reads sections from a text, or from bytes."""

    def read(text):
        path = tmp_path / "run.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_sections(path)

    return read


@pytest.fixture
def load(tmp_path):
    """Loads the least configuration with more lines."""

    def load(lines):
        path = tmp_path / "run.yaml"
        path.write_text(LEAST + lines, "utf-8")
        return load_config(path)

    return load


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: 'a' must be given once, but is in line 1 al"),
        ("c:\n  n: {p: x}\n  r: {p: y}\n  n: {p: z}\n", "line 4, column 3: 'n' must be given once"),
        ("c: {path: x, path: y}\n", "line 1, column 14: 'path' must be given once"),
        ("a: &x {p: 1}\nb:\n  <<: *x\n  <<: *x\n", "line 4, column 3: '<<' must be given once"),
        ("? [a]\n: 1\n", "in line 1, column 3: found unhashable key"),
        ("l:\n  - {k: 1, k: 2}\n", "line 2, column 12: 'k' must be given once"),
        ("a: 1\ncurve:\n  # start: 0\nb: 2\n", "line 2, column 1: 'curve' must have a value"),
        ("path: {0..9}.tar\n", "line 1, column 8: '0..9' must have a value"),
        ("a:\n\tb: 1\n", "in line 2, column 1: a tab, where only spaces may indent"),
        ("a: 1\n---\nb: 2\n", "in line 2, column 1: but found another document"),
        ("a: [1\nb: 2\n", "in line 2, column 2: expected ',' or ']'"),
        ("a: *x\n", "in line 1, column 4: found undefined alias 'x'"),
        ("a: {{workspace}}\n", "line 1, column 6: 'workspace' must have a value"),
        ("a: !x 1\n", "in line 1, column 4: could not determine a constructor for the tag '!x'"),
        ("a: @x\n", "in line 1, column 4: found character '@' that cannot start any token"),
        (b"a: 1\nb: caf\xe9\n", "a byte of another encoding in line 2, column 7"),
        (b"a: 1\nb: \x00\n", "unacceptable character #x0000"),
        ("", "must hold sections, got nothing"),
        ("# all of it a comment\n", "must hold sections, got nothing"),
        ("--- \n...\n", "must hold sections, got nothing"),
        ("- a\n", "must hold sections, got list"),
        ("a: " + "9" * 5000, "integer string conversion"),
        ("a: " + "[" * 600, "got brackets or indents nested too deeply"),
    ],
)
def test_what_other_loaders_swallow_is_told_in_one_line_with_its_place(read, text, sentence):
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E3", 1000.0),
        ("1.e3", 1000.0),
        ("+.5", 0.5),
        ("-.inf", float("-inf")),
        ("-7", -7),
        ("0", 0),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0x1f", "0x1f"),
        ("no", "no"),
        ("on", "on"),
        ("true", "true"),
        ("2024-01-01", "2024-01-01"),
        ("null", None),
        ("~", None),
        ('""', ""),
        ("'1e-5'", "1e-5"),
        ("=", "="),
    ],
)
def test_words_and_numbers_are_those_of_yaml_1_2(read, text, value):
    found = read(f"a: {text}\n")["a"]
    assert (found, type(found)) == (value, type(value))


def test_a_byte_order_mark_and_lines_of_windows_are_no_fault(read):
    assert read(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n") == {"a": 1, "b": {"c": 2}}


def test_anchors_and_merges_mean_what_they_say(read):
    text = "a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\n"
    assert read(text) == {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2}, "c": {"p": 1, "q": 3}}


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ("fit: {ridge: 1e-5}", 1e-5),
        ("fit: {images: 1e3}", 1000),
        ("fit: {images: 010}", 10),
        ("fit: {images: 1_000}", 1000),
        ("evaluate: {controls: no}", False),
        ("evaluate: {controls: off}", False),
        ("evaluate: {controls: True}", True),
        ("name: no", "no"),
        ("name: on", "on"),
        ("name: 007", "007"),
        ("name: 2024-01-01", "2024-01-01"),
    ],
)
def test_a_field_gets_what_its_user_means(load, lines, value):
    config = load(lines)
    found = [config.fit.ridge, config.fit.images, config.evaluate.controls, config.name]
    assert any(each == value and type(each) is type(value) for each in found)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("fit: {images: true}", "fit.images: Input should be a valid integer"),
        ("fit: {images: yes}", "fit.images: Input should be a valid integer"),
        ("fit: {ridge: on}", "fit.ridge: Input should be a valid number"),
        ("fit: {images: 1:30}", "fit.images: Input should be a valid integer"),
        ("name: 2024", "name: must be text, so put it in quotes, got 2024"),
        ("name: 1.10", "name: must be text, so put it in quotes, got 1.1"),
        ("corpora: {natural: {path: x}}", "line 5, column 1: 'corpora' must be given once"),
    ],
)
def test_what_a_field_cannot_take_is_told(load, lines, sentence):
    with pytest.raises(ConfigurationError) as caught:
        load(lines)
    assert sentence in str(caught.value)


def test_a_section_that_holds_itself_is_told(load):
    with pytest.raises(ConfigurationError, match=r"fit\.images: Input should be a valid integer"):
        load("fit: &f {images: *f}")


def test_a_folder_whose_name_is_not_utf_8_is_told(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    (folder / "run.yaml").write_text(LEAST, "utf-8")
    with pytest.raises(ConfigurationError, match="names of folders must be UTF-8"):
        load_config(folder / "run.yaml")


def test_paths_given_in_full_may_be_named_by_a_file_in_any_folder(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    text = f"workspace: {tmp_path}/w\ncorpora: {{natural: {{path: /n}}, restored: {{path: /r}}}}\n"
    (folder / "run.yaml").write_text(text, "utf-8")
    assert load_config(folder / "run.yaml").workspace == f"{tmp_path}/w"
