"""docs/reference/exit-codes.md: the table of exit codes.

python -m tests.docs.exits_page --write
"""

from personalize.cli.exits import Exit

from .generated import REFERENCE, write

PAGE = REFERENCE / "exit-codes.md"


def _table() -> str:
    rows = [f"| {int(code)} | {code.words} |" for code in Exit]
    return "\n".join(["| code | meaning |", "| ---: | --- |", *rows]) + "\n"


PARTS = {"exit codes": _table}

if __name__ == "__main__":
    write(PAGE, "exit codes", _table)
