"""Label files as people have them. Each row: what is in the file, and the labels that it means."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model.labels import read_labels

THREE = ["cat", "dog", "bird"]
ULTRALYTICS = {
    "description": "Ultralytics YOLO11n-cls model trained on data", "author": "Ultralytics", "version": "8.3.0",
    "stride": 1, "task": "classify", "batch": 1, "imgsz": [224, 224], "names": {0: "cat", 1: "dog", 2: "bird"},
}  # fmt: skip
YAML = """description: Ultralytics YOLO11n-cls model
date: '2026-01-01T10:00:00.000000'
task: classify
batch: 1
imgsz:
- 224
- 224
names:
  0: cat
  1: dog
  2: bird
args:
  batch: 1
"""

ROWS = [
    ("cat\ndog\nbird\n", THREE),
    ("cat\r\ndog\r\nbird\r\n\r\n\n", THREE),  # Windows, and blank lines at the end
    ("  cat \n\tdog\nbird", THREE),  # spaces around, no end of the last line
    ("0 cat\n1 dog\n2 bird\n", THREE),  # as Teachable Machine writes them
    ("0: cat\n1: dog\n2: bird", THREE),
    ("0:cat\n1:dog\n2:bird", THREE),
    ("1 cat\n2 dog\n3 bird\n", THREE),
    ("1. cat\n2. dog\n3. bird\n", THREE),
    ("0) cat\n1) dog\n2) bird\n", THREE),
    ("0 - cat\n1 - dog\n2 - bird\n", THREE),
    ("0\tcat\n1\tdog\n2\tbird\n", THREE),
    ("000 cat\n001 dog\n002 bird\n", THREE),
    ("1: dog\n2: bird\n0: cat\n", THREE),  # in any order, where the separator says that it is a number
    ("0 Class 1\n1 Class 2\n", ["Class 1", "Class 2"]),  # Teachable Machine's own names
    ("Class 0\nClass 1\nClass 2\n", ["Class 0", "Class 1", "Class 2"]),
    ("1 Euro\n2 Euro\n", ["1 Euro", "2 Euro"]),  # numbers that are the names
    ("1 Euro\n2 Euro\n3 Euro\n", ["1 Euro", "2 Euro", "3 Euro"]),
    ("0 Euro\n1 Euro\n2 Euro\n", ["0 Euro", "1 Euro", "2 Euro"]),
    ("0 1 Euro\n1 2 Euro\n", ["1 Euro", "2 Euro"]),  # both
    ("1 Euro\n2 Euro\n5 Euro\n", ["1 Euro", "2 Euro", "5 Euro"]),
    ("3 apples\n5 pears\n", ["3 apples", "5 pears"]),  # numbers that do not count
    ("0.5 l\n1.5 l\n", ["0.5 l", "1.5 l"]),
    ("0,5 l\n1,0 l\n", ["0,5 l", "1,0 l"]),
    ("0\n1\n2\n", ["0", "1", "2"]),  # digits
    ("7up\n8 ball\n", ["7up", "8 ball"]),
    ("crane\ncat\ncrane\n", ["crane (0)", "cat", "crane (2)"]),  # ImageNet has two cranes
    ("0 crane\n1 cat\n2 crane\n", ["crane (0)", "cat", "crane (2)"]),
    ("tench, Tinca tinca\ngoldfish, Carassius auratus\n", ["tench, Tinca tinca", "goldfish, Carassius auratus"]),
    ("cat, dog, bird", THREE),  # one line
    ("cat,dog,bird\n", THREE),
    ("cat; dog; bird", THREE),
    ("cat\tdog\tbird", THREE),
    ('"cat"\n"dog"\n"bird"\n', THREE),
    ("cat,\ndog,\nbird,\n", THREE),
    ("- cat\n- dog\n- bird\n", THREE),
    ("0,cat\n1,dog\n2,bird\n", THREE),
    ("cat,0\ndog,1\nbird,2\n", THREE),
    ("cat: 0\ndog: 1\nbird: 2\n", THREE),
    ("index,label\n0,cat\n1,dog\n2,bird\n", THREE),  # CSV with a header
    ("label,index\ncat,0\ndog,1\nbird,2\n", THREE),
    ("id;name\n1;cat\n2;dog\n3;bird\n", THREE),
    ("class_id,class_name,count\n2,bird,7\n0,cat,9\n1,dog,9\n", THREE),  # in any order
    ("name,colour\ncat,grey\ndog,brown\nbird,black\n", THREE),  # no numbers
    ('Index,Label\n0,"cat"\n1,"dog"\n2,"bird"\n', THREE),
    ('index,label\n0,"tench, Tinca tinca"\n1,cat\n', ["tench, Tinca tinca", "cat"]),
    ('["cat", "dog", "bird"]', THREE),  # JSON
    ('{"0": "cat", "1": "dog", "2": "bird"}', THREE),
    ('{"2": "bird", "1": "dog", "0": "cat"}', THREE),
    ('{"1": "cat", "2": "dog", "3": "bird"}', THREE),
    ('{"cat": 0, "dog": 1, "bird": 2}', THREE),  # class_indices of Keras
    ('{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "bird"]}', THREE),  # imagenet_class_index.json
    ('{"labels": ["cat", "dog", "bird"], "timeStamp": "2026"}', THREE),  # metadata.json of Teachable Machine
    ('{"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "bird"}, "num_labels": 3}', THREE),
    ('[{"id": 2, "name": "bird"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]', THREE),
    ('{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "bird"}]}', THREE),
    ("['cat', 'dog', 'bird']", THREE),  # Python
    ("('cat', 'dog', 'bird')", THREE),
    ("{0: 'cat', 1: 'dog', 2: 'bird'}", THREE),
    ("{'cat', 'dog', 'bird'}", THREE),  # a set, in the order that was written
    ("class_names = ['cat', 'dog', 'bird']\n", THREE),
    ("labels: list[str] = [\n    'cat',\n    'dog',\n    'bird',\n]\n", THREE),
    ("['cat' 'dog' 'bird']", THREE),  # as numpy prints it
    ("np.array(['cat', 'dog', 'bird'], dtype='<U4')", THREE),
    ("[cat, dog, bird]", THREE),
    ("{0: cat, 1: dog, 2: bird}", THREE),
    (json.dumps(ULTRALYTICS), THREE),  # the names of numbers become strings
    (str(ULTRALYTICS), THREE),
    (YAML, THREE),
    ("names: {0: cat, 1: dog, 2: bird}\n", THREE),
    ("nc: 3\nnames: ['cat', 'dog', 'bird']  # classes\n", THREE),
    ("names:\n- cat\n- dog\n- bird\nnc: 3\n", THREE),
    ("# my data\npath: ../data\nnames: [\n  'cat', 'dog',\n  'bird']\n", THREE),
    ("item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\nitem {\n id: 3\n name: 'bird'\n}", THREE),
    ("(other)\ncat\n", ["(other)", "cat"]),  # brackets in a name
    ("Mo\u0308we\nKa\u0308fer\n", ["Möwe", "Käfer"]),  # decomposed, as macOS has it
    ("猫\n犬\n鳥\n", ["猫", "犬", "鳥"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "labels"), ROWS, ids=[repr(text[:40]) for text, _ in ROWS])
def test_every_form_gives_its_labels(text: str, labels: list[str]) -> None:
    assert read_labels(text.encode())[0] == labels
    assert read_labels(text.encode(), len(labels))[0] == labels


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_every_encoding_gives_its_labels(encoding: str) -> None:
    names, notes = read_labels("Männer\r\nFrauen\r\n".encode(encoding))
    assert names == ["Männer", "Frauen"]
    assert bool(notes) == (encoding in ("cp1252", "latin-1"))  # a guess, which is told
    assert not notes or "Männer" in notes[0]


@pytest.mark.parametrize(
    ("text", "expected", "labels", "note"),
    [
        ("cat\ndog\n", 3, ["background", "cat", "dog"], "background"),
        ("cat\n", 2, None, ""),  # two outputs: more likely that a name is missing
        ("background\ncat\ndog\n", 2, ["cat", "dog"], "background is left out"),
        ("???\ncat\ndog\n", 2, ["cat", "dog"], "left out"),
        ("label\ncat\ndog\n", 2, ["cat", "dog"], "heading or remark: label"),
        ("# classes\ncat\ndog\n", 2, ["cat", "dog"], "heading or remark: # classes"),
        ("cat dog bird", 3, THREE, ""),
        ("polar bear", 1, ["polar bear"], ""),
        ("1 cat\n2 dog\n", 2, ["cat", "dog"], "cat, not 1 cat"),
    ],
)
def test_what_the_number_of_outputs_decides(text: str, expected: int, labels: list[str] | None, note: str) -> None:
    names, notes = read_labels(text.encode(), expected)
    assert labels is None or names == labels
    assert labels is not None or len(names) == 1
    assert note in " ".join(notes)
    assert bool(note) == bool(notes)


@pytest.mark.parametrize(
    ("data", "expected", "message"),
    [
        (b'{"0": "cat", "2": "dog"}', 2, r"without gaps, found \[0, 2\]"),
        (b'{"cat": 0, "dog": 2}', 2, "without gaps"),
        (b'{"a": {"b": 1.5}}', 2, "list of labels"),
        (b'["cat", "do', 2, "brackets that do not hold one"),  # cut off
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 2, "bytes that are none"),
        (b"cat\n\ndog\n", 3, "none in line 2"),  # no background, but a gap
    ],
)
def test_what_holds_no_labels_is_one_sentence(data: bytes, expected: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(data, expected)
    assert len(str(caught.value).splitlines()) == 1


@given(st.binary(max_size=80) | st.text("[]{}()'\",:;=0123 \nabc#-", max_size=60).map(str.encode), st.integers(1, 4))
def test_any_bytes_give_labels_or_one_sentence(data: bytes, expected: int) -> None:
    with contextlib.suppress(ValueError):
        names, notes = read_labels(data, expected)
        assert all(isinstance(name, str) for name in names)
        assert all("\n" not in note for note in notes)


@given(st.lists(st.sampled_from(["cat", "Möwe", "polar bear", "猫", "A-1", "x_y"]), min_size=2, unique=True))
def test_all_forms_of_the_same_labels_agree(names: list[str]) -> None:
    numbered = dict(enumerate(names))
    texts = [
        "\n".join(names), json.dumps(names), json.dumps(numbered), str(names), str(numbered), ",".join(names),
        "\n".join(f"{number} {name}" for number, name in numbered.items()),
        "index,label\n" + "\n".join(f"{number},{name}" for number, name in numbered.items()),
        "names:\n" + "\n".join(f"  {number}: {name}" for number, name in numbered.items()),
    ]  # fmt: skip
    assert [read_labels(text.encode("utf-16"))[0] for text in texts] == [names] * len(texts)
