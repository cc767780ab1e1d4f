"""The shape of the code: which folder may import which, and that no modules import each other in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("edge", "train", "convert")  # in this order: each may import those before it


def modules() -> dict[str, Path]:
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a file imports, anywhere in it, for types alone too, or names in a string as tables do."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            place = f"edge.{node.value.rpartition('.')[0]}"
            if place in known and place.count(".") > 1:
                yield place


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    # `from edge import Classifier` names the package, which stands for what it hands on.
    arrows = {name: {other for other in others if other not in ROOMS} for name, others in graph().items()}
    assert list(TopologicalSorter(arrows).static_order())  # raises CycleError, which names the circle


def test_the_table_of_sinks_is_seen() -> None:
    """Else the test above would not notice a circle through it."""
    assert {"edge.web.preview", "edge.sinks.mqtt", "edge.sinks.unsure"} <= graph()["edge.sinks.table"]


def test_imports_point_one_way() -> None:
    for name, others in graph().items():
        room = name.partition(".")[0]
        allowed = ROOMS[: ROOMS.index(room) + 1]
        assert {other.partition(".")[0] for other in others} <= set(allowed), name
