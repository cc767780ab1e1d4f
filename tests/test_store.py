"""Where frames are saved: names of folders and files, counts, and what is refused."""

import re
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from device import flat

from edge.errors import UserError
from edge.store import SaveFolder, as_folder, check_label


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("cat", "cat"),
        (" cat ", "cat"),  # as a phone's keyboard types it
        ("Käse & Brot (2)", "Käse & Brot (2)"),
        ("c", "c"),
        ("x" * 80, "x" * 80),
        ("x" * 81, None),
        ("v1.2", "v1.2"),
        (".hidden", None),
        ("..", None),
        ("", None),
        ("  ", None),
        *((f"a{letter}b", None) for letter in '\\/:*?"<>|\n\x00'),
        *((f"{letter}b", None) for letter in '\\/:*?"<>|'),
    ],
)
def test_labels_that_can_name_a_folder(label: str, expected: str | None) -> None:
    if expected is not None:
        assert check_label(label) == expected
    else:
        with pytest.raises(
            UserError, match=f"expected a label that can name a folder, found {re.escape(repr(label.strip()))}"
        ):
            check_label(label)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("cat", "cat"),
        ('a\\b/c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
        (" .cat. ", "cat"),
        ("...", "label"),  # nothing is left
        ("y" * 100, "y" * 80),
        ("ü" * 80, "ü" * 80),  # 160 bytes
        ("水" * 80, "水" * 60),  # 240 bytes are too many for a name with a time beside it
        ("水" * 59 + "abcd", "水" * 59 + "abc"),  # 180 bytes, not 181
        ("水" * 59 + "a .b", "水" * 59 + "a"),  # no blank or dot at the cut end
    ],
)
def test_any_label_as_a_folder(label: str, expected: str) -> None:
    assert as_folder(label) == expected
    assert check_label(as_folder(label)) == expected


def test_a_frame_is_saved_under_its_label_and_time(tmp_path: Path) -> None:
    folder = SaveFolder(tmp_path / "new" / "photos")
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    image = cv2.GaussianBlur(image, (9, 9), 0)
    path = folder.save(" cat ", image)
    assert path.parent == tmp_path / "new" / "photos" / "cat"
    assert re.fullmatch(r"\d{8}-\d{6}-\d{3}\.jpg", path.name)
    assert re.fullmatch(r"\d{8}-\d{6}-\d{3}-mark\.jpg", folder.save("cat", image, "-mark").name)
    saved = cv2.imread(str(path))
    assert saved.shape == image.shape
    assert np.abs(saved.astype(int) - image).mean() < 4
    assert cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() == path.read_bytes()
    assert list(path.parent.glob(".*")) == []


def test_counts_hold_what_was_there_and_what_comes(tmp_path: Path) -> None:
    for name in ("dog/1.jpg", "dog/2.jpg", "dog/.part.jpg", "dog/notes.txt", "apple/1.jpg", "loose.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder = SaveFolder(tmp_path)
    folder.save("cat", flat(1, 2))  # before anybody has counted
    assert folder.counts() == {"apple": 1, "dog": 2, "cat": 1}
    assert list(folder.counts())[:2] == ["apple", "dog"]
    folder.save("dog", flat(1, 2))
    assert folder.counts()["dog"] == 3
    folder.counts()["dog"] = 99  # a copy
    assert folder.counts()["dog"] == 3
    assert SaveFolder(tmp_path / "none").counts() == {}


def test_frames_of_the_same_moment_get_names_of_their_own(tmp_path: Path) -> None:
    folder = SaveFolder(tmp_path)
    threads = [threading.Thread(target=lambda: [folder.save("cat", flat(1, 2)) for _ in range(5)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folder.counts() == {"cat": len(list(tmp_path.glob("cat/*.jpg")))} == {"cat": 10}


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.nearly_full", lambda path: path == tmp_path)
    folder = SaveFolder(tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path}: the disk is nearly full: nothing is saved"):
        folder.save("cat", flat(1, 2))
    assert list(tmp_path.iterdir()) == []
    assert folder.counts() == {}
    folder.save("cat", flat(1, 2), even_if_full=True)
    assert folder.counts() == {"cat": 1}


@pytest.mark.parametrize("place", ["photos", "photos/cat"])
def test_a_file_in_the_way_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    folder = SaveFolder(tmp_path / "photos")
    with pytest.raises(UserError, match=r"photos: cannot save there: (File exists|Not a directory)"):
        folder.save("cat", flat(1, 2))
    assert "cat" not in folder.counts()
