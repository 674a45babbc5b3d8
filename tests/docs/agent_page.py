"""docs/reference/agent.md: the verbs, who may use each, and the keys of the policy.

python -m tests.docs.generated --write
"""

from collections.abc import Mapping

from cardlib.keys.agent.agent_verbs import FORMS
from personalize.custody.policy import CALLER_KEYS, POLICY_KEYS, PolicyKey
from personalize.custody.roles import EVERYBODY
from personalize.custody.verbs import VERBS

from .generated import REFERENCE

PAGE = REFERENCE / "agent.md"


def verbs_table() -> str:
    """One row a verb, in the order of their groups."""
    rows = []
    for name, form in FORMS.items():
        verb = VERBS[name]
        roles = "all" if verb.roles == EVERYBODY else ", ".join(sorted(verb.roles))
        locked = "yes" if verb.locked_too else "–"
        rows.append(f"| `{name}` | {form.does} | {roles} | {locked} |")
    head = ["| verb | what it does | roles | while locked |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def _keys(keys: Mapping[str, PolicyKey]) -> str:
    rows = [
        f"| `{name}` | {key.write} | {'yes' if key.needed else '–'} |" for name, key in keys.items()
    ]
    head = ["| key | what to write | needed |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def policy_table() -> str:
    """The keys outside the callers."""
    return _keys(POLICY_KEYS)


def callers_table() -> str:
    """The keys of one caller."""
    return _keys(CALLER_KEYS)


PARTS = {"verbs": verbs_table, "policy": policy_table, "callers": callers_table}
