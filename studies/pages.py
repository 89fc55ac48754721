"""Put what a study made into a page of docs/, between two marks."""

from pathlib import Path

__all__ = ["insert"]

DOCS = Path(__file__).resolve().parents[1] / "docs"


def insert(page: str, made_by: str, text: str) -> None:
    """Replace what stands in `docs/<page>` between the marks of the command `made_by`.

    Raises
    ------
    ValueError
        The page has no such marks.
    """
    path = DOCS / page
    begin, end = f"<!-- table: {made_by} -->", "<!-- end of table -->"
    before, mark, rest = path.read_text().partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"{path}: {begin} and {end} must stand in it")
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
