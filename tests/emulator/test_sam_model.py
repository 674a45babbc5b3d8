"""Any sequence of commands to a SAM, beside a model of a dozen lines (hypothesis)."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cardlib.crypto import Cipher
from cardlib.layout import KEY_BY_NAME
from tests.cards.sams import (
    ENCRYPT_CHALLENGE,
    PIN,
    ask,
    authenticate,
    binding,
    command,
    diversify,
    sam_of,
)

LIMIT = 6
PROTOCOLS = {1: 1, 2: 2, 4: 1}
"""The SAM's key versions, and the protocol of each."""
_IN_2_0 = {"IRK_DDF1", "RK1_DF02", "UK1_DF04"}
HELD = {1: {*_IN_2_0, "STK_DF04"}, 2: _IN_2_0}
"""Those of NAMES that the SAM holds, by protocol."""
NAMES = ("IRK_DDF1", "RK1_DF02", "UK1_DF04", "STK_DF04", "RK1_DF05")
KINDS = tuple((protocol, Cipher.SM4, version) for version, protocol in PROTOCOLS.items())


@dataclass
class Model:
    """What a SAM is, as far as its status words show."""

    is_selected: bool = False
    is_open: bool = False
    tries: int = 3
    left: int = LIMIT
    usage: int = 0
    began: bool = False
    last: int = 0


class Sam(RuleBasedStateMachine):
    """The SAM of an emergency room and a bank, with three key versions."""

    def __init__(self) -> None:
        super().__init__()
        self.sam = sam_of(
            *KINDS, roles=("emergency", "bank"), limit=LIMIT, meaning_of_0="last authenticated"
        )
        self.model = Model()

    def status(self, sent: str | bytes) -> int:
        self.data, found = ask(self.sam, sent)
        return found

    @rule()
    def reset(self) -> None:
        self.sam.reset()
        self.model = Model(tries=self.model.tries, left=self.model.left)

    @rule(there=st.booleans())
    def select(self, there: bool) -> None:
        model = self.model
        assert self.status("00A4000002DF01" if there else "00A40000023F00") == 0x9000
        model.is_selected, model.is_open = there, model.is_open and there
        model.usage, model.began, model.last = 0, False, 0

    @rule(right=st.sampled_from([True, True, True, False]))
    def verify(self, right: bool) -> None:
        model, found = self.model, self.status(
            b"\x00\x20\x00\x00\x06" + (PIN.digits if right else b"246801")
        )  # fmt: skip
        if not model.is_selected:
            assert found == 0x6985
        elif not model.tries:
            assert found == 0x6983
        else:
            model.tries = 3 if right else model.tries - 1
            assert found == (0x9000 if right else 0x63C0 | model.tries)
            model.is_open, model.usage, model.began = right, 0, False

    def _refusal(self) -> int:
        if not self.model.is_selected:
            return 0x6985
        return 0 if self.model.is_open else 0x6982

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from([0, 1, 2, 3, 4]))
    def diversify(self, name: str, version: int) -> None:
        model, found = self.model, self.status(diversify(name, version))
        if refusal := self._refusal():
            assert found == refusal
            return
        model.usage, model.began = 0, False
        meant = version or model.last
        usage = KEY_BY_NAME[name].sam_usage & 0x1F
        if meant not in PROTOCOLS or name not in HELD[PROTOCOLS[meant]]:
            assert found == 0x6A88
        elif PROTOCOLS[meant] == 2 and name != "IRK_DDF1":
            assert found == 0x6985
        elif not model.left:
            assert found == 0x6984
        else:
            assert found == 0x9000
            model.usage = usage
            if usage == 7:
                model.left, model.last = model.left - 1, meant

    @rule(p1=st.sampled_from([0, 5]), data=st.sampled_from([ENCRYPT_CHALLENGE[5:], bytes(48)]))
    def calculate(self, p1: int, data: bytes) -> None:
        model, found = self.model, self.status(command(0xFA, p1, 0, data))
        if refusal := self._refusal():
            assert found == refusal
        elif not model.usage or (model.usage == 7 and p1 == 5):
            assert found == 0x6985
        elif model.usage == 7:
            assert found == (0x9000 if len(data) == 16 else 0x6700)
            model.usage = 0 if found == 0x9000 else 7
        else:
            assert found == (0x6700 if p1 == 5 and len(data) == 16 else 0x9000)
            assert len(self.data) == (0 if found != 0x9000 else 4 if p1 else len(data))

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from([0, 1, 2, 3, 4]), own=st.booleans())
    def authenticate(self, name: str, version: int, own: bool) -> None:
        model = self.model
        meant = version or model.last
        b = binding(name, Cipher.SM4, meant if own else 7)
        found = self.status(authenticate(name, version=version, b=b))
        if refusal := self._refusal():
            assert found == refusal
            return
        model.usage, model.began = 0, False
        if meant not in PROTOCOLS or name not in HELD[PROTOCOLS[meant]]:
            assert found == 0x6A88
        elif PROTOCOLS[meant] == 1:
            assert found == 0x6985
        elif name == "IRK_DDF1" or not own:
            assert found == 0x6A80
        elif not model.left:
            assert found == 0x6984
        else:
            assert found == 0x9000
            model.began, model.left = True, model.left - 1

    @rule()
    def session_keys(self) -> None:
        found = self.status(command(0xEB, 0, 0, bytes(56)))
        assert found == (self._refusal() or (0x6300 if self.model.began else 0x6985))
        if not self._refusal():
            self.model.began = False

    @invariant()
    def what_is_in_memory_is_what_the_model_says(self) -> None:
        pin = self.sam.state.pin
        assert pin is not None
        assert (pin.remaining, self.sam.sam.use.left) == (self.model.tries, self.model.left)


TestSam = Sam.TestCase
TestSam.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
