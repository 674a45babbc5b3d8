"""The agent's verbs for batches: records and PINs are sealed and opened one by one.

No sealing key leaves the agent. A batch is sealed on the connection that began it, each record
once and in order, so that no nonce comes twice under one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cardlib.facts import Pin
from cardlib.keys.issuer import SealedBatch, SealingBatch

from .roles import Role
from .service import Answer, Call, Verb


@dataclass(slots=True)
class BatchSealing:
    """A batch that is being sealed."""

    batch: SealingBatch


@dataclass(slots=True)
class OpenBatch:
    """The batch that a connection used last: its key need not be opened for each record."""

    of: tuple[object, ...]
    batch: SealedBatch


def _security_codes(call: Call) -> Answer:
    given = call.given
    return {"codes": call.issuer.security_codes(given["card_numbers"], given["issue_date"])}


def _holder_hashes(call: Call) -> Answer:
    numbers = call.given["numbers"]
    call.service.hashes.take(call.caller, len(numbers))
    return {"hashes": [call.issuer.holder_hash(each) for each in numbers]}


def _new_batch(call: Call) -> Answer:
    given = call.given
    call.service.jobs.count_records(call.caller, given["count"])
    batch = call.maker.new_batch(UUID(bytes=given["batch"]), given["count"])
    return {"sealing": call.desk.put(BatchSealing(batch)), "sealed_key": batch.sealed_key}


def _seal_record(call: Call) -> Answer:
    sealing = call.desk.get(BatchSealing, call.given["sealing"])
    return {"sealed": sealing.batch.seal(call.given["number"], call.given["record"])}


def _seal_header(call: Call) -> Answer:
    sealing = call.desk.get(BatchSealing, call.given["sealing"])
    return {"seal": sealing.batch.seal_header(call.given["header"])}


def _check_header(call: Call) -> Answer:
    _opened(call).check_header(call.given["header"], call.given["seal"])
    return {}


def _unseal_record(call: Call) -> Answer:
    return {"record": _opened(call).unseal(call.given["number"], call.given["sealed"])}


def _opened(call: Call) -> SealedBatch:
    given = call.given
    of = tuple(given[name] for name in ("identity", "batch", "count", "sealed_key"))
    last = call.desk.batch
    if not isinstance(last, OpenBatch) or last.of != of:
        batch = call.issuer.sealed_batch(UUID(bytes=given["batch"]), *of[2:])
        call.desk.batch = last = OpenBatch(of, batch)
    return last.batch


def _seal_pin(call: Call) -> Answer:
    batch, given = UUID(bytes=call.given["batch"]), call.given
    pin = Pin(given["pin"])
    return {"sealed": call.issuer.seal_pin(batch, given["number"], given["turn"], pin)}


def _unseal_pin(call: Call) -> Answer:
    batch, given = UUID(bytes=call.given["batch"]), call.given
    pin = call.issuer.unseal_pin(batch, given["number"], given["turn"], given["sealed"])
    return {"pin": str(pin)}


_PREPARES = frozenset((Role.PREPARATION,))
_BOTH = frozenset((Role.PREPARATION, Role.STATION))
_PIN = ("batch", "number", "turn")

BATCH_VERBS: Mapping[str, Verb] = {
    "security-codes": Verb(_security_codes, _PREPARES),
    "holder-hashes": Verb(_holder_hashes, _BOTH),
    "new-batch": Verb(_new_batch, _PREPARES, ("batch", "count")),
    "seal-record": Verb(_seal_record, _PREPARES, ("sealing", "number"), handle="sealing"),
    "seal-header": Verb(_seal_header, _PREPARES, ("sealing",), handle="sealing"),
    "check-header": Verb(_check_header, _BOTH, ("batch",)),
    "unseal-record": Verb(_unseal_record, _BOTH, ("batch", "number")),
    "seal-pin": Verb(_seal_pin, frozenset((Role.STATION,)), _PIN),
    "unseal-pin": Verb(_unseal_pin, _BOTH, _PIN),
}
