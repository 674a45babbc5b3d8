"""Version 2, host and card together: sessions, roles and updates in any order."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.errors import (
    ChannelError,
    StatusWordError,
)
from cardlib.layout import FILE_BY_PATH, KEYS
from tests.cards.v2_cards import ROLES, card_of, key_set
from tests.messaging.v2_line import CLINICAL, INDEX, SLOT

H = bytes.fromhex


# --- any order of things --------------------------------------------------------------------

GROUPS = tuple(str(n) for n in range(1, 6))


class Sessions(RuleBasedStateMachine):
    """Terminals come and go at one card; what they read is what was written before."""

    names = Bundle("names")

    @initialize(cipher=st.sampled_from(Cipher), extended=st.booleans())
    def insert(self, cipher: Cipher, extended: bool) -> None:
        self.cipher = cipher
        self.card = card_of(cipher, CardOptions(extended_length=extended))
        self.blood, self.slot, self.mark = "4", b"\xff" * 3267, b"\xff"
        self.arrive()

    @rule()
    def arrive(self) -> None:
        self.card.reset()
        self.reader = ResidentHealthCard(self.card, key_set(self.cipher))

    @rule(name=st.sampled_from([n for n in ROLES if n[:2] in ("RK", "UK", "LK")]))
    def authenticate(self, name: str) -> None:
        self.reader.authenticate(name)
        assert name in self.reader.rights

    def allowed(self, key: str, act: Callable[[], object]) -> bool:
        """Whether an act was done, which is exactly where its key's right is held."""
        held = key in self.reader.rights
        try:
            act()
        except StatusWordError as error:
            assert error.sw == 0x6982 and not held
        except ChannelError as error:
            assert "authenticate first" in str(error) and not self.reader.rights
            return False
        else:
            assert held
        return held

    @rule(group=st.sampled_from(GROUPS))
    def update(self, group: str) -> None:
        values = {"abo_blood_group": group}
        if self.allowed("UK1_DF02", lambda: self.reader.update(CLINICAL, 1, values)):
            self.blood = group

    @rule(offset=st.integers(0, 3000), data=st.binary(min_size=1, max_size=260))
    def write(self, offset: int, data: bytes) -> None:
        data = data[: 3267 - offset]
        if self.allowed("UK1_DF03", lambda: self.reader.write_binary(SLOT, offset, data)):
            self.slot = self.slot[:offset] + data + self.slot[offset + len(data) :]

    @rule()
    def set_mark(self) -> None:
        if self.allowed("UK1_DF03", lambda: self.reader.mark(INDEX, 1)):
            self.mark = b"\x00"

    @rule()
    def erase_mark(self) -> None:
        if self.allowed("UK2_DF03", lambda: self.reader.erase_mark(INDEX, 1)):
            self.mark = b"\xff"

    @rule()
    def read(self) -> None:
        found: list[list[bytes | None]] = []
        if self.allowed("RK1_DF02", lambda: found.append(self.reader.read_raw(CLINICAL))):
            assert found[-1][0] == H("2901") + bytes((int(self.blood),))
        if self.allowed("RK1_DF03", lambda: found.append(self.reader.read_raw(SLOT))):
            assert found[-1] == [self.slot]
        if self.allowed("RK1_DF03", lambda: found.append(self.reader.read_raw(INDEX))):
            assert found[-1][0] == self.mark

    @precondition(lambda self: hasattr(self, "reader"))
    @invariant()
    def the_session_lives(self) -> None:
        channel = self.reader._channel
        assert channel is None or not channel.is_over


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_layout_has_no_role_that_these_tests_forget() -> None:
    roles = {key.role for key in KEYS}
    assert roles == {"RK", "UK", "LK", "BK", "PUK", "STK", "STM", "IRK"}
    assert FILE_BY_PATH[CLINICAL].read_key == "RK1_DF02"
