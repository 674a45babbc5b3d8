"""The roles in a bureau: what a person, or a program that asks the key agent, is there for."""

from enum import StrEnum


class Role(StrEnum):
    """What somebody is there for. `verbs` says what each may ask the key agent."""

    STATION = "station"
    PREPARATION = "data-preparation"
    TERMINAL = "terminal"
    AUDITOR = "auditor"
    CUSTODIAN = "custodian"


EVERYBODY = frozenset(Role)
AT_A_DESK = frozenset((Role.CUSTODIAN, Role.STATION))
"""Where custodians come to sign for what is done there."""
