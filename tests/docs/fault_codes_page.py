"""docs/reference/input.md: the table of the codes of list errors.

python -m tests.docs.fault_codes_page --write
"""

from personalize.listing.fault_codes import FaultCode

from .generated import REFERENCE, write

PAGE = REFERENCE / "input.md"


def _table() -> str:
    rows = [f"| `{code}` | {code.meaning} |" for code in FaultCode]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows]) + "\n"


PARTS = {"codes of errors": _table}

if __name__ == "__main__":
    write(PAGE, "codes of errors", _table)
