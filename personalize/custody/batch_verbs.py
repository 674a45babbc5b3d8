"""The agent's verbs for batches: records and PINs are sealed and opened one by one.

No sealing key leaves the agent. A batch is sealed on the connection that began it, each record
once and in order. For a batch only one manifest is ever signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cardlib.errors import CardKeyError, FormatError, KeysUnavailable
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance.agent_batches import range_members, range_of
from cardlib.keys.agent.agent_wire import Document
from cardlib.keys.issuer import OldBatch, PinOf, PinUse, SealedBatch, SealingBatch, Share, SiteOffer

from .jobs import JobState
from .roles import Role
from .service import Answer, Call, Verb


@dataclass(slots=True)
class BatchSealing:
    """A batch that is being sealed."""

    batch: SealingBatch
    of: UUID


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


def _certificate(call: Call) -> Answer:
    return {"certificate": call.issuer.preparation_certificate}


def _new_batch(call: Call) -> Answer:
    given = call.given
    batch = UUID(bytes=given["batch"])
    call.service.site_keys.check_new(batch)
    call.service.jobs.count_records(call.caller, given["count"])
    shares = [_share(each) for each in given["shares"]]
    return _begun(call, call.maker.new_batch(batch, given["count"], shares))


def _continue_batch(call: Call) -> Answer:
    given = call.given
    batch = UUID(bytes=given["batch"])
    call.service.site_keys.check_not_purged(batch)
    return _begun(call, call.maker.continued_batch(batch, given["count"], given["kept"]))


def _begun(call: Call, batch: SealingBatch) -> Answer:
    sealing = BatchSealing(batch, UUID(bytes=call.given["batch"]))
    ranges = [range_members(each) for each in batch.ranges]
    return {"sealing": call.desk.put(sealing), "kept": batch.kept, "ranges": ranges}


def _share(given: Document) -> Share:
    key_id, public = given["key_id"], given["public"]
    if (key_id is None) != (public is None):
        raise CardKeyError("a site's key has an identifier and a public key: give both")
    offer = None if key_id is None else SiteOffer(given["site"], UUID(bytes=key_id), public)
    return Share(given["site"], given["first"], given["last"], offer)


def _seal_record(call: Call) -> Answer:
    sealing = call.desk.get(BatchSealing, call.given["sealing"])
    return {"sealed": sealing.batch.seal(call.given["number"], call.given["record"])}


def _sign_batch(call: Call) -> Answer:
    sealing = call.desk.get(BatchSealing, call.given["sealing"])
    call.service.site_keys.sign_once(sealing.of, call.given["manifest"])
    return {"signed": sealing.batch.sign(call.given["manifest"])}


def _unseal_record(call: Call) -> Answer:
    given = call.given
    batch, found = UUID(bytes=given["batch"]), range_of(given["range"])
    number = given["number"]
    call.service.site_keys.check_ours(batch, found.key_id, number, number)
    of = (given["identity"], batch, given["count"], given["transferred"], found)
    last = call.desk.batch
    if not isinstance(last, OpenBatch) or last.of != of:
        ranges, transfers = ([], [found]) if given["transferred"] else ([found], [])
        opened = call.issuer.sealed_batch(batch, given["count"], ranges, transfers)
        call.desk.batch = last = OpenBatch(of, opened)
    return {"record": last.batch.unseal(number, given["sealed"])}


def _offer(call: Call) -> Answer:
    return {"signed": call.issuer.offer_site_key(call.given["site"])}


def _transfer(call: Call) -> Answer:
    given, site_keys = call.given, call.service.site_keys
    batch, owned, to = UUID(bytes=given["batch"]), range_of(given["range"]), _share(given["to"])
    site_keys.check_ours(batch, owned.key_id, to.first, to.last)
    signed = call.issuer.transfer(
        batch, given["count"], owned, to, transferred=given["transferred"]
    )
    site_keys.give_away(owned.key_id, to)
    return {"signed": signed}


def _purge(call: Call) -> Answer:
    named = [UUID(bytes=each) for each in call.given["key_ids"]]
    keys = call.service.site_keys.purge(UUID(bytes=call.given["batch"]), named)
    call.service.forget_batches()
    return {"keys": keys}


def _check_old_header(call: Call) -> Answer:
    _old(call).check_header(call.given["header"], call.given["seal"])
    return {}


def _unseal_old_record(call: Call) -> Answer:
    return {"record": _old(call).unseal(call.given["number"], call.given["sealed"])}


def _old(call: Call) -> OldBatch:
    given = call.given
    return call.issuer.old_batch(UUID(bytes=given["batch"]), given["count"], given["sealed_key"])


def _seal_pin(call: Call) -> Answer:
    return {"sealed": call.issuer.seal_pin(_pin_of(call), Pin(call.given["pin"]))}


def _unseal_pin(call: Call) -> Answer:
    of, roles = _pin_of(call), call.caller.roles
    if not roles & _OPENS[of.use]:
        may = " or ".join(sorted(_OPENS[of.use]))
        raise KeysUnavailable(f"a PIN that is sealed for the {of.use} is opened by {may} only")
    if of.use is PinUse.MAILER and of.chip is not None:
        _check_active(call, of.chip)
    return {"pin": str(call.issuer.unseal_pin(of, call.given["sealed"]))}


def _pin_of(call: Call) -> PinOf:
    given = call.given
    chip = ChipSerial(given["chip"]) if given["chip"] else None
    of = PinOf(
        UUID(bytes=given["batch"]), given["number"], given["attempt"], chip, PinUse(given["use"])
    )
    if (chip is None) != (of.use is PinUse.FILE):
        raise FormatError("a PIN in a PIN file has no chip, and each other PIN has one")
    return of


def _check_active(call: Call, chip: ChipSerial) -> None:
    """CardKeyError when the agent did not see a card being activated: its PIN is not proven."""
    if call.service.jobs.state_of(chip) not in (JobState.ACTIVATING, JobState.ACTIVATED):
        raise CardKeyError(f"the card on chip {chip} was not activated: its PIN is not released")


_PREPARES = frozenset((Role.PREPARATION,))
_BOTH = frozenset((Role.PREPARATION, Role.STATION))
_OPENS = {
    PinUse.FILE: _BOTH,
    PinUse.MAILER: _PREPARES,
    PinUse.CLAIM: frozenset((Role.STATION,)),
}
"""Which role opens a PIN that is sealed for whom."""
_PIN = ("batch", "number", "attempt", "chip", "use")

BATCH_VERBS: Mapping[str, Verb] = {
    "security-codes": Verb(_security_codes, _PREPARES),
    "holder-hashes": Verb(_holder_hashes, _BOTH),
    "preparation-certificate": Verb(_certificate, _BOTH),
    "new-batch": Verb(_new_batch, _PREPARES, ("batch", "count")),
    "continue-batch": Verb(_continue_batch, _PREPARES, ("batch", "count")),
    "seal-record": Verb(_seal_record, _PREPARES, ("sealing", "number"), handle="sealing"),
    "sign-batch": Verb(_sign_batch, _PREPARES, ("sealing",), handle="sealing"),
    "unseal-record": Verb(_unseal_record, _BOTH, ("batch", "number")),
    "offer-site-key": Verb(_offer, frozenset((Role.STATION,)), ("site",)),
    "transfer-records": Verb(_transfer, frozenset((Role.STATION,)), ("batch",)),
    "purge-batch": Verb(_purge, frozenset((Role.CUSTODIAN,)), ("batch",), locked_too=True),
    "check-old-header": Verb(_check_old_header, _BOTH, ("batch",)),
    "unseal-old-record": Verb(_unseal_old_record, _BOTH, ("batch", "number")),
    "seal-pin": Verb(_seal_pin, frozenset((Role.STATION,)), _PIN),
    "unseal-pin": Verb(_unseal_pin, _BOTH, _PIN),
}
