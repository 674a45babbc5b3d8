"""A card's life as a list of sessions, each from a reset, and what its memory holds meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.emulator import FaultyCard, SoftwareCard
from cardlib.emulator.bench.ready_made import CHIP, PIN
from cardlib.emulator.chip.memory import JOURNAL_PAGE, PAGE_SIZE, Memory
from cardlib.emulator.profile.card_state import StoredPin, StoredState
from cardlib.issuance import IssuerSession, personalize, put_key_command
from cardlib.keys.static_keys import SoftwareScp03Keys
from cardlib.layout import FILE_BY_PATH, FILES, KEY_BY_NAME, KEYS, Structure, dgi_of_record
from cardlib.messaging import v1
from cardlib.messaging.scp03_channel import Scp03Channel
from tests.cards import cards, v2_cards

H = bytes.fromhex
STORE = cards.key_store()
TRANSPORT, ISSUER = STORE.transport_keys(CHIP), STORE.issuer_keys(CHIP)
OTHER_ISSUER = SoftwareScp03Keys(2, b"E" * 16, b"M" * 16, b"D" * 16)
CARD_KEYS = STORE.terminal_keys.for_card(CHIP, cards.REGION)
BLANK_PAGE = b"\xff" * PAGE_SIZE
Pages = Mapping[int, bytes]


def kept(pages: Pages) -> dict[int, bytes]:
    """What of the memory means something: no journal, and a page of FF is one never written."""
    return {n: page for n, page in pages.items() if n < JOURNAL_PAGE and page != BLANK_PAGE}


# --- the sessions ---------------------------------------------------------------------


def whole_load() -> list[tuple[int, bytes]]:
    """Every grouping there is: each record of each file, filled."""
    load = dict(cards.groupings())
    for file in FILES:
        transparent = file.structure is Structure.TRANSPARENT
        for record in (0,) if transparent else range(1, file.records + 1):
            first, size = file.fields_of(record or 1)[0], file.record_length(record or 1)
            head = b"" if first.tag is None else bytes((first.tag, first.length))
            filling = bytes((file.line + record + n) & 0x7F for n in range(size - len(head)))
            load.setdefault(dgi_of_record(file, record), head + filling)
    for index in ("DDF1/DF03/EF05", "DDF1/DF03/EF06"):
        for record in range(1, FILE_BY_PATH[index].records + 1):
            del load[dgi_of_record(FILE_BY_PATH[index], record)]
    return list(load.items())


LOAD = whole_load()


def personalization(card: FaultyCard) -> None:
    personalize(card, TRANSPORT, ISSUER, LOAD)


def activation(card: FaultyCard) -> None:
    IssuerSession.open(card, ISSUER).activate()


class Terminal(ResidentHealthCard):
    """A terminal that can also send what the card object does not."""

    def __init__(self, card: FaultyCard, *keys: str) -> None:
        super().__init__(card, STORE.terminal_keys, min_protocol=1)
        self.card = card
        for key in keys:
            self.authenticate(key)

    def raw(self, command: str) -> bytes:
        return self.card.transmit(H(command))

    def ok(self, command: str) -> None:
        assert self.raw(command)[-2:] == H("9000"), command

    def protect(self, stk: str, command: CommandAPDU) -> None:
        """Send a command under an STK or its like, with a fresh challenge."""
        process_key = CARD_KEYS.process_key(stk, self.raw("0084000008")[:8])
        assert self.card.transmit(bytes(v1.protect(process_key, command))) == H("9000")


class Issuer:
    """The issuer's session."""

    def __init__(self, card: FaultyCard, keys: SoftwareScp03Keys = ISSUER) -> None:
        self.channel = Scp03Channel.open(card.transmit, keys, 0x33)

    def ok(self, header: str, data: bytes = b"") -> None:
        cla, ins, p1, p2 = H(header)
        response = self.channel.send(CommandAPDU(cla, ins, p1, p2, data))
        assert response.sw in (0x9000, 0x6285), f"{header} {response.sw:04X}"


def records(card: FaultyCard) -> None:
    host = Terminal(card, "UK1_DF02", "UK2_DF02")
    host.update("DDF1/DF02/EF05", 1, {"abo_blood_group": "1"})
    host.update("DDF1/DF02/EF05", 15, {"other_medical_alert": "长期服用华法林"})
    host.update("DDF1/DF02/EF06", 1, {"psychiatric_disorder": "0"})


def parts_of_records(card: FaultyCard) -> None:
    host = Terminal(card, "UK1_DF05")
    host.select("DDF1/DF05/EF05")
    hospital = H("540105" + "5302") + b"ab"
    host.protect("STK_DF05", CommandAPDU(0x00, 0xDD, 0x03, 0x04, hospital))
    whole = bytes(n & 0x3F for n in range(FILE_BY_PATH["DDF1/DF05/EF05"].record_length(1)))
    for record in (4, 5, 6, 7):
        host.protect("STK_DF05", CommandAPDU(0x80, 0xD2, record, 0x04, whole))
    host.protect("STK_DF05", CommandAPDU(0x80, 0x0C, 0x05, 0x04))


def appends(card: FaultyCard) -> None:
    host = Terminal(card, "UK3_DF02")
    for allergen in ("花生", "青霉素", "牛奶", "鸡蛋"):
        host.append("DDF1/DF02/EF07", {"allergen": allergen})
    host.append("DDF1/DF02/EF08", {"vaccine": "百白破疫苗"})


VISIT_TEXT = next(
    field.name for field in FILE_BY_PATH["DDF1/DF03/EE01"].fields
    if field.coding == "ans" and field.length > 10
)  # fmt: skip


def visits(card: FaultyCard) -> None:
    host = Terminal(card, "RK1_DF03", "UK1_DF03", "UK2_DF03")
    for seed in range(4):
        host.write_visit("inpatient", {VISIT_TEXT: f"visit {seed}"})


def binaries(card: FaultyCard) -> None:
    host = Terminal(card, "UK1_DDF1")
    host.write_binary("DDF1/EF07", 250, bytes(range(200)))
    host.select("DDF1/EF07")
    odd = H("54020100" + "5381C8") + bytes(200)
    host.protect("STK_DDF1", CommandAPDU(0x00, 0xD7, 0x00, 0x00, odd))
    host.protect("STK_DDF1", CommandAPDU(0x00, 0xD0, 0x01, 0xF0, b"\1" * 40))


def wrong_keys(card: FaultyCard) -> None:
    host = Terminal(card, "UK1_DF02")
    host.update("DDF1/DF02/EF05", 3, {"asthma": "1"})
    host.raw("0084000008")
    assert host.raw("04DC040408" + "00" * 8) == H("6988")
    for kid in ("84", "85", "84"):
        host.raw("0084000008")
        assert host.raw(f"008200{kid}11" + "00" * 16 + "01")[-2] == 0x63
    host.authenticate("RK1_DF02")


def pins(card: FaultyCard) -> None:
    host = Terminal(card)
    host.select("DDF1")
    wrong, right = b"000000".hex(), PIN.encode().hex()
    assert host.raw(f"0020000006{wrong}") == H("63C2")
    host.ok(f"0020000006{right}")
    assert host.raw(f"002400000C{wrong}{right}") == H("63C2")
    host.ok(f"002400000C{right}{wrong}")
    host.ok(f"002400000C{wrong}{right}")
    for _ in range(3):
        host.raw(f"0020000006{wrong}")
    assert host.raw(f"0020000006{right}") == H("6983")
    host.protect("PUK_DDF1", CommandAPDU(0x80, 0x24, 0x00, 0x00))
    host.raw(f"0020000006{wrong}")
    host.protect("PUK_DDF1", CommandAPDU(0x80, 0x24, 0x00, 0x00, b"246813"))
    host.ok("0020000006" + b"246813".hex())
    host.ok("002400000C" + (b"246813" + PIN.encode()).hex())


def bank(card: FaultyCard) -> None:
    host = Terminal(card, "UK1_DF04")
    host.verify_pin(PIN)
    host.update("DDF1/DF04/EF05", 1, {FILE_BY_PATH["DDF1/DF04/EF05"].fields[0].name: "1"})


def blocks(card: FaultyCard) -> None:
    for directory in ("DF01", "DF03", "DF05"):
        host = Terminal(card, f"LK_{directory}")
        host.protect(f"STK_{directory}", CommandAPDU(0x80, 0x1E, 0x00, 0x00))
    host = Terminal(card, "LK_DF03")
    host.protect("STK_DF03", CommandAPDU(0x80, 0x18, 0x00, 0x00))


def fcp(*objects: str) -> bytes:
    body = b"".join(map(H, objects))
    return bytes((0x62, len(body))) + body


def files(card: FaultyCard) -> None:
    issuer = Issuer(card)
    issuer.ok("00E00000", fcp("82023821", "8302A000", "8405F0000000A0"))
    issuer.ok("00E00000", fcp("82023821", "8302A001"))
    issuer.ok("00E00000", fcp("80020400", "82020121", "8302A002"))
    issuer.ok("00E00000", fcp("8206062100100014", "8302A003"))
    issuer.ok("00E00000", fcp("8206042100100014", "8302A004"))
    issuer.ok("00040000", H("A002"))
    issuer.ok("00440000", H("A002"))
    issuer.ok("00E80000", H("A004"))


def contents(card: FaultyCard) -> None:
    """Plain updates of created files, which have no rules."""
    host = Terminal(card)
    host.ok("00A4040C05F0000000A0")
    host.ok("00A4010C02A001")
    host.ok("00A4020C02A002")
    host.ok("00D600FA0A" + "AA" * 10)
    host.ok("00D0010004" + "0F" * 4)
    host.ok("000E00FC020102")
    host.ok("00A4020C02A003")
    for _ in range(22):
        host.ok("00E2000010" + "33" * 16)
    for tail in ("01", "02"):
        assert host.raw("00DC000310" + tail * 16)[-2:] == H("9000")


def administration(card: FaultyCard) -> None:
    issuer = Issuer(card)
    issuer.ok("00A4080C", H("A000"))
    issuer.ok("00E40000", H("A001"))
    issuer.ok("00E60000")
    issuer.ok("00A4080C", H("DDF1"))
    issuer.ok("00040000", H("DF01"))
    issuer.ok("00440000", H("DF01"))
    issuer.ok("00E60000", H("DF01"))
    issuer.ok("00E80000", H("EF07"))
    issuer.ok("00A4080C", H("A000"))
    issuer.ok("00E40000", H("A000"))


def data_objects(card: FaultyCard) -> None:
    issuer = Issuer(card)
    for tag, size in (("0046", 200), ("5F20", 180), ("0046", 3), ("7F20", 230)):
        issuer.ok(f"00DA{tag}", bytes(n & 0x7F for n in range(size)))
    issuer.ok("00DA5F20")


def issuer_keys(card: FaultyCard) -> None:
    issuer = Issuer(card)
    command = put_key_command(2, OTHER_ISSUER, ISSUER)
    assert issuer.channel.send(command).sw == 0x9000
    card.reset()
    issuer = Issuer(card, OTHER_ISSUER)
    add = put_key_command(1, ISSUER, OTHER_ISSUER)._replace(p1=0)
    assert issuer.channel.send(add).sw == 0x9000
    third = put_key_command(3, ISSUER, OTHER_ISSUER)._replace(p1=0)
    assert issuer.channel.send(third).sw == 0x9000
    issuer.ok("80E40000", H("D20103"))
    issuer.ok("802C00" + f"{KEY_BY_NAME['RK1_DF02'].sam_key_id:02X}")
    issuer.ok("802C00" + f"{KEY_BY_NAME['UK1_DF02'].sam_key_id:02X}")


def wrong_sessions(card: FaultyCard) -> None:
    for _ in range(2):
        card.transmit(H("8050020008") + bytes(8))
        assert card.transmit(H("8482330010") + bytes(16)) == H("6300")


def card_block(card: FaultyCard) -> None:
    host = Terminal(card, "BK_MF")
    host.protect("STM_MF", CommandAPDU(0x80, 0x16, 0x00, 0x00))


def set_status(card: FaultyCard) -> None:
    Issuer(card, OTHER_ISSUER).ok("80F0807F")


def termination(card: FaultyCard) -> None:
    Issuer(card, OTHER_ISSUER).ok("00FE0000")


def second_version(card: FaultyCard) -> None:
    """A 2.0 card: authentications, updates, marks, the PIN and a block, all in one session."""
    host = v2_cards.Terminal()
    host.card = cast(SoftwareCard, card)
    host.authenticate("RK1_DF02", "UK1_DF02")
    host.select("DDF1/DF02/EF05")
    host.ok("00DC0104", H("290101"))
    host.authenticate("UK1_DF03")
    host.select("DDF1/DF03/EE01")
    host.ok("00D600F0", bytes(100))
    host.select("DDF1/DF03/EF05")
    host.ok("00D20104")
    host.authenticate("UK2_DF03")
    host.select("DDF1/DF03/EF05")
    host.ok("000C0104")
    host.select("DDF1")
    pin = PIN.encode()
    assert host.send("00200000", b"000000").sw == 0x63C2
    host.ok("00200000", pin)
    host.ok("00240000", pin + b"246813")
    host.authenticate("PUK_DDF1")
    host.ok("002C0200", pin)
    host.authenticate("LK_DF02")
    host.ok("001E0000")
    host.ok("00180000")
    host.authenticate("BK_MF")
    host.ok("00160000")


Session = Callable[[FaultyCard], None]
LIFE: tuple[Session, ...] = (
    personalization, activation, records, parts_of_records, appends, visits, binaries, wrong_keys,
    pins, bank, blocks, files, contents, administration, data_objects, issuer_keys,
    wrong_sessions,
)  # fmt: skip
ENDS: tuple[Session, ...] = (card_block, set_status, termination)


# --- living it ------------------------------------------------------------------------


class Noted(FaultyCard):
    """A card that notes what its memory holds, at first and after each command."""

    def __init__(self, card: SoftwareCard) -> None:
        super().__init__(card)
        self.states = [kept(card.memory.pages)]
        self.commands: list[bytes] = []
        self.changing: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        before = self.writes
        reply = super().transmit(command)
        self.commands.append(command)
        self.changing += [command] * (self.writes > before)
        self.states.append(kept(self.card.memory.pages))
        return reply


@dataclass(frozen=True)
class Lived:
    """One session without faults: the memory it began with, and what it was command by command."""

    start: Pages
    end: Pages
    states: tuple[Pages, ...]
    commands: tuple[bytes, ...]
    changing: tuple[bytes, ...]
    writes: int


@cache
def lived(session: Session) -> Lived:
    if session is LIFE[0]:
        blank = SoftwareCard.blank(CHIP, STORE.blank_keys(CHIP))
        start = blank.memory.pages
    elif session is second_version:
        start = v2_cards.card_of().memory.pages
    else:
        before = LIFE[-1] if session in ENDS else LIFE[LIFE.index(session) - 1]
        start = dict(lived(before).end)
    card = Noted(SoftwareCard(Memory(dict(start))))
    session(card)
    end = card.card.memory.pages
    return Lived(
        start, end, tuple(card.states), tuple(card.commands), tuple(card.changing), card.writes
    )


def counters(pages: Pages) -> dict[str, int]:
    """Every try counter by its name."""
    state = StoredState(Memory(dict(pages)))
    found = {f"key set {version:02X}": keys.tries for version, keys in state.key_sets.items()}
    found |= {spec.name: key.tries for spec in KEYS if (key := state.card_key(spec))}
    return found | ({"PIN": state.pin.remaining} if state.pin else {})


def with_a_try_less(pages: Pages, name: str) -> Pages:
    """The same memory with one counter one lower."""
    memory = Memory(dict(pages))
    state = StoredState(memory)
    if name == "PIN":
        pin = state.pin
        assert pin
        state.pin = StoredPin(pin.block, pin.limit, pin.remaining - 1)
    elif name in KEY_BY_NAME:
        state.set_key_tries(KEY_BY_NAME[name], counters(pages)[name] - 1)
    else:
        version = int(name[-2:], 16)
        keys = state.key_sets[version]
        state.key_sets = state.key_sets | {version: replace(keys, tries=keys.tries - 1)}
    memory.commit()
    return kept(memory.pages)


def is_between(found: Pages, old: Pages, command: bytes) -> bool:
    """Whether the card had only spent a try, in a command that may spend one."""
    spends = command[1] in (0x82, 0x20, 0x24, 0x2C) or command[0] & 0x0C == 0x04
    before = counters(old)
    spent = [name for name, tries in counters(found).items() if tries != before.get(name)]
    return spends and len(spent) == 1 and found == with_a_try_less(old, spent[0])
