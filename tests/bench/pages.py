"""Generated parts of pages: tables that stand between `<!-- NAME: generated -->` and `<!-- /NAME -->`. Pure."""

from collections.abc import Mapping, Sequence


def fill_parts(page: str, parts: Mapping[str, str]) -> str:
    """The page with these parts made anew. Raises ValueError if one has no place in it."""
    for name, text in parts.items():
        begin, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page needs {begin} and {end}, once each")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    return page


def number(value: float) -> str:
    """Three digits that say something; thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        digits = len(str(round(abs(value))))
        return f"{round(value, 3 - digits if digits > 4 and value != round(value) else 0):,.0f}"
    return f"{value:.3g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
