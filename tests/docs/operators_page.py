"""docs/reference/operators.md: who may do what.

python -m tests.docs.operators_page --write
"""

from personalize.custody.operators import ROLES
from personalize.custody.statement import ACTIONS

from .generated import REFERENCE, write

PAGE = REFERENCE / "operators.md"


def _table() -> str:
    head = ["| action | what it does | people | role of each |", "| --- | --- | ---: | --- |"]
    rows = [
        f"| `{name}` | {rule.words} | {rule.people} or more | {', '.join(sorted(rule.roles))} |"
        for name, rule in ACTIONS.items()
    ]
    return "\n".join([*head, *rows]) + "\n"


def _others() -> str:
    signing = set().union(*(rule.roles for rule in ACTIONS.values()))
    others = [f"`{role}`" for role in ROLES if role not in signing]
    return f"Nothing to sign for so far: {', '.join(others)}.\n"


PARTS = {"actions": _table, "other roles": _others}

if __name__ == "__main__":
    for name, part in PARTS.items():
        write(PAGE, name, part)
