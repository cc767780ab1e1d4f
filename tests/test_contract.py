"""The contract inside a model file: what goes in comes out, and what is damaged is refused in one line."""

import hashlib
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import UserError
from edge.model.contract import ModelSpec, append_files, read_model

GRAPH = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 40
SPEC = ModelSpec(("horses", "humans"), (224, 224), mean=(127.0,) * 3, std=(128.0,) * 3)

specs = st.builds(
    ModelSpec,
    labels=st.lists(
        st.text(st.characters(exclude_categories=("C", "Z"), codec="utf-8"), min_size=1),
        min_size=1,
        max_size=9,
        unique=True,
    ),
    size=st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    resize=st.sampled_from(["stretch", "crop", "pad"]),
    mean=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    std=st.tuples(*[st.floats(1e-3, 1e3)] * 3),
    output=st.sampled_from(["probabilities", "logits"]),
    temperature=st.floats(0.01, 100),
    threshold=st.floats(0, 1),
    provenance=st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=3),
)


def write(path: Path, spec: ModelSpec = SPEC) -> Path:
    path.write_bytes(append_files(GRAPH, replace(spec, graph_sha256=hashlib.sha256(GRAPH).hexdigest())))
    return path


@given(spec=specs)
def test_json_round_trip(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_the_file_gives_back_graph_and_contract(tmp_path: Path) -> None:
    file = read_model(write(tmp_path / "m.tflite"))
    assert file.graph == GRAPH
    assert file.spec is not None
    assert replace(file.spec, graph_sha256="") == SPEC


def test_any_zip_program_reads_the_associated_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(write(tmp_path / "m.tflite")) as archive:
        assert archive.read("labels.txt").decode().split() == ["horses", "humans"]
        assert json.loads(archive.read("frostlite.json"))["size"] == [224, 224]
        assert archive.testzip() is None


def test_newer_files_may_say_more() -> None:
    text = json.dumps({**asdict(SPEC), "invented_later": 1})
    assert ModelSpec.from_json(text) == SPEC


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "[1e400, 1]"),  # infinite, as JSON reads it
        ("mean", f"[{10**400}, 0, 0]"),  # whole, and more than a float can hold
        ("temperature", f"{10**400}"),
        ("threshold", f"{10**400}"),
        ("size", "null"),
    ],
)
def test_numbers_beyond_a_float_are_refused(name: str, value: str) -> None:
    text = json.dumps({**asdict(SPEC), name: "HERE"}).replace('"HERE"', value)
    with pytest.raises(ValueError, match=r"."):
        ModelSpec.from_json(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": ()}, "labels"),  # none
        ({"labels": ("a", "a")}, "labels"),  # twice the same
        ({"labels": ("a", "b\n")}, "labels"),  # would break labels.txt
        ({"size": (0, 10)}, "size"),  # empty
        ({"size": (10, 5000)}, "size"),  # more than any camera model takes
        ({"resize": "squash"}, "resize"),  # unknown mode
        ({"mean": (0.0, 0.0)}, "mean"),  # two channels
        ({"mean": (0.0, 0.0, float("nan"))}, "mean"),  # not a number
        ({"std": (1.0, 1.0, 0.0)}, "std"),  # division by zero
        ({"output": "boxes"}, "output"),  # no classifier
        ({"temperature": 0.0}, "temperature"),  # division by zero
        ({"threshold": 1.5}, "threshold"),  # never reached
    ],
)
def test_values_out_of_range_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}: expected"):
        replace(SPEC, **values)


@pytest.mark.parametrize(
    ("label", "fits"),
    [
        ("👨\u200d👩\u200d👧", True),  # joined by U+200D
        ("\u0645\u06cc\u200c\u062e\u0648\u0631\u0645", True),  # Persian, with U+200C
        ("❤\ufe0f", True),
        ("Weiße\u00a0Maus", True),  # a space that does not break
        ("a\nb", False),
        ("a\u2028b", False),  # ends a line in some programs
        ("a\x1b[31mb", False),  # colours a terminal
        ("a\u202eb", False),  # turns what follows around
        ("\u00a0", False),  # nothing to see
    ],
)
def test_which_names_a_label_may_have(label: str, fits: bool) -> None:
    if fits:
        assert ModelSpec.from_json(replace(SPEC, labels=(label, "b")).to_json()).labels[0] == label
    else:
        with pytest.raises(ValueError, match="printable names"):
            replace(SPEC, labels=(label, "b"))


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: flip(data, 500), "damaged or changed"),  # one bit in the graph
        (lambda data: flip(data, len(GRAPH) - 1), "damaged or changed"),  # its last byte
        (lambda data: data[:4] + b"XXXX" + data[8:], "expected a TFLite model"),  # another kind of file
        (lambda data: data[:2000], "contract|labels|damaged"),  # cut: the contract is gone
        (lambda data: data.replace(b'"horses"', b'"hOrses"'), "cannot be read"),  # the CRC of the archive
        (lambda data: b"", "expected a TFLite model"),  # empty
        (lambda data: b"hello", "expected a TFLite model"),  # text
    ],
)
def test_damaged_files_are_one_line(damage: object, message: str, tmp_path: Path) -> None:
    from edge.model.classifier import Classifier

    path = write(tmp_path / "m.tflite")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)
    assert "m.tflite" in str(caught.value)


def test_missing_files_and_folders_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(UserError, match=r"expected a \.tflite model"):
            read_model(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/proc/self/mem", "Input/output error"), ("x" * 5000, "File name too long")],  # whoever reads them
)
def test_what_cannot_be_read_is_one_line(path: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^{path}: .*{reason}$"):
        read_model(path)
