"""docs/reference/card-files-and-keys.md: the card's tree, files, keys and fields.

python -m tests.docs.card_page --write
"""

from collections.abc import Iterable

from cardlib.layout import FILES, KEYS, FileSpec

from .generated import REFERENCE, write

PAGE = REFERENCE / "card-files-and-keys.md"


def _table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(headings)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _directories() -> list[str]:
    return sorted({file.df_path for file in FILES})


def _tree() -> str:
    lines = ["```mermaid", "flowchart LR", '    MF["MF 3F00<br/>BK_MF, STM_MF"] --> DDF1']
    for path in _directories():
        name = path.rsplit("/", 1)[-1]
        keys = [key.name for key in KEYS if key.df_path == path]
        lines.append(f'    {name}["{path}<br/>{_in_rows(keys)}"]')
        if name != "DDF1":
            lines.append(f"    DDF1 --> {name}")
        files = [file for file in FILES if file.df_path == path]
        shown = "<br/>".join(f"{f.path.rsplit('/', 1)[1]} {_short(f.title)}" for f in files)
        lines.append(f'    {name} --- {name}_files["{shown}"]')
    return "\n".join([*lines, "```"]) + "\n"


def _short(title: str) -> str:
    return title.partition(" (")[0].partition(":")[0]


def _in_rows(names: list[str]) -> str:
    return "<br/>".join(", ".join(names[i : i + 4]) for i in range(0, len(names), 4))


def _files() -> str:
    headings = ("no.", "path", "what it holds", "label", "structure", "records", "bytes",
                "read key", "update key", "erase key", "holder present")  # fmt: skip
    rows = (
        (f"{f.line:02X}", f"`{f.path}`", f.title, f.title_zh, f.structure, f.records, f.size,
         f.read_key or "free", f.update_key or "free", f.erase_key or "free",
         "yes" if f.holder_present else "no")
        for f in FILES
    )  # fmt: skip
    return _table(headings, rows)


def _keys() -> str:
    rows = (
        (f"`{k.name}`", k.df_path, f"{k.reference:02X}", f"{k.sam_usage:02X}",
         f"{k.sam_key_id:02X}", k.levels, k.purpose)
        for k in KEYS
    )  # fmt: skip
    return _table(
        ("key", "held in", "reference", "SAM usage", "SAM key id", "levels", "purpose"), rows
    )


def _fields() -> str:
    parts = []
    for file in FILES:
        if file.path[-4:-2] in ("EE", "ED") and not file.path.endswith("01"):
            continue
        parts.append(f"\n### {file.path}: {file.title}\n\n{_fields_of(file)}")
    return "".join(parts) + "\n"


def _fields_of(file: FileSpec) -> str:
    place = "tag" if file.is_tlv else "offset"
    rows = (
        (f"{f.tag:02X}" if f.tag is not None else f.offset, f"`{f.name}`", f.label_zh, f.coding,
         f.length, f.kind, f"`{f.table}`" if f.table else "", f.disclosure_group)
        for f in file.fields
    )  # fmt: skip
    return _table((place, "field", "label", "coding", "bytes", "kind", "codes", "group"), rows)


PARTS = {"tree": _tree, "files": _files, "keys": _keys, "fields": _fields}

if __name__ == "__main__":
    for part, function in PARTS.items():
        write(PAGE, part, function)
