"""What the benches share: tables in Markdown, and where they go."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def put(page: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- mark -->` and `<!-- end mark -->`."""
    before, begin, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- end {mark} -->")
    assert begin and end, f"{page}: no marks for {mark}"  # noqa: PT018
    page.write_text(f"{before}{begin}{text}\n{end}{after}")
