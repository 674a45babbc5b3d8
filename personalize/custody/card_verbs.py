"""The agent's verbs for a card in the issuer's hands: sessions, and what is done in them.

The agent is the SCP03 host. A session is for one chip; keys are replaced and loaded only in one in
which the card proved its keys, for the job that the chip is claimed for.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.errors import CardKeyError
from cardlib.facts import ChipSerial, Pin, Region
from cardlib.keys.issuer import CardJob, IssuerHost, Scp03Set

from .jobs import JobState
from .roles import AT_A_DESK, Role
from .service import Answer, Call, Verb

S = TypeVar("S", bound="CardSession")


@dataclass(slots=True)
class CardSession:
    """A session with one chip. `is_open` says that both sides have proved their keys."""

    host: IssuerHost
    key_set: Scp03Set
    chip: ChipSerial
    identity: str
    is_open: bool = False
    activates: bool = False


def _begin(call: Call) -> Answer:
    chip, key_set = ChipSerial(call.given["chip"]), Scp03Set(call.given["key_set"])
    check_known(call, chip)
    if key_set is Scp03Set.TRANSPORT and chip not in call.service.stock:
        raise CardKeyError(f"chip {chip} is not in received stock: its keys are not replaced")
    call.service.jobs.count(call.caller, chip)
    issuer = call.maker if key_set is Scp03Set.TRANSPORT else call.issuer
    call.service.jobs.check_no_sam(chip)
    host = issuer.session(key_set, chip)
    command = host.initialize_update()
    handle = call.desk.put(CardSession(host, key_set, chip, issuer.identity))
    return {"session": handle, "command": bytes(command)}


def check_known(call: Call, chip: ChipSerial) -> None:
    """Raise CardKeyError unless a chip is in received stock, or was made by this agent."""
    if chip not in call.service.stock and call.service.jobs.state_of(chip) is None:
        raise CardKeyError(
            f"chip {chip} is not in received stock. If it was received, add it to the stock of the"
            " agent's policy"
        )


def _answer(call: Call) -> Answer:
    command = _session(call).host.external_authenticate(_reply(call.given["reply"]))
    return {"command": bytes(command)}


def _opened(call: Call) -> Answer:
    session = _session(call)
    session.host.opened(_reply(call.given["reply"]))
    session.is_open = True
    return {}


def _replace_keys(call: Call) -> Answer:
    session = _card_session(call, Scp03Set.TRANSPORT)
    job = _claimed(call, session)
    return commands_of(session.host.replace_keys(job))


def _load(call: Call) -> Answer:
    session = _card_session(call, Scp03Set.ISSUER)
    call.service.vault.for_issuing(session.identity)
    job, given = _claimed(call, session), call.given
    records, region = given["records"], Region(given["region"])
    return commands_of(session.host.load(job, records, region, Pin(given["pin"])))


def _activate(call: Call) -> Answer:
    session = _card_session(call, Scp03Set.ISSUER)
    call.service.jobs.activating(session.chip)
    session.activates = True
    return commands_of(session.host.activate())


def _reset_tries(call: Call) -> Answer:
    session = _card_session(call, Scp03Set.ISSUER)
    return commands_of(session.host.reset_tries(call.given["key"]))


def _done(call: Call) -> Answer:
    session = _session(call)
    session.host.done([_reply(each) for each in call.given["replies"]])
    if session.activates:
        session.activates = False
        call.service.jobs.activated(session.chip)
    return {}


def _give_up(call: Call) -> Answer:
    call.service.jobs.give_up(_job(call), call.caller)
    return {}


def _session(call: Call) -> CardSession:
    return call.desk.get(CardSession, call.given["session"])


def _card_session(call: Call, key_set: Scp03Set) -> CardSession:
    return open_session(call, CardSession, key_set)


def open_session(call: Call, kind: type[S], key_set: Scp03Set) -> S:
    """Return the session of a request. Raises CardKeyError unless it is open and of this kind."""
    session = _session(call)
    if type(session) is not kind or not session.is_open or session.key_set is not key_set:
        raise CardKeyError(f"this needs an open session of the chip's {key_set} keys")
    return session


def _claimed(call: Call, session: CardSession) -> CardJob:
    job = _job(call)
    if job.chip != session.chip:
        raise CardKeyError(f"this session is with chip {session.chip}, not {job.chip}")
    if call.service.jobs.claim(job, call.caller) is not JobState.CLAIMED:
        raise CardKeyError(f"chip {job.chip} was activated: nothing is loaded any more")
    return job


def _job(call: Call) -> CardJob:
    given = call.given
    return CardJob(UUID(bytes=given["batch"]), given["number"], ChipSerial(given["chip"]))


def _reply(raw: bytes) -> ResponseAPDU:
    return ResponseAPDU(raw[:-2], int.from_bytes(raw[-2:], "big"))


def commands_of(made: Iterable[CommandAPDU]) -> Answer:
    """Return the answer with these commands."""
    return {"commands": [bytes(each) for each in made]}


_STATIONS = frozenset((Role.STATION,))
_Handler = Callable[[Call], Answer]


def in_session(
    handler: _Handler,
    *logged: str,
    continues: bool = False,
    roles: frozenset[Role] = _STATIONS,
) -> Verb:
    """Return a verb that uses an open session, which is over after any error."""
    return Verb(
        handler,
        roles,
        ("session", *logged),
        handle="session",
        continues=continues,
    )


CARD_VERBS: Mapping[str, Verb] = {
    "session": Verb(_begin, _STATIONS, ("key_set", "chip")),
    "session-answer": in_session(_answer, continues=True, roles=AT_A_DESK),
    "session-opened": in_session(_opened, continues=True, roles=AT_A_DESK),
    "replace-keys": in_session(_replace_keys, "batch", "number", "chip"),
    "load": in_session(_load, "batch", "number", "chip"),
    "activate": in_session(_activate),
    "reset-tries": in_session(_reset_tries, "key"),
    "session-done": in_session(_done, roles=AT_A_DESK),
    "give-up": Verb(
        _give_up,
        frozenset((Role.STATION, Role.CUSTODIAN)),
        ("batch", "number", "chip"),
        locked_too=True,
    ),
}
