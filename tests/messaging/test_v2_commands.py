"""Version 2, host and card together: every form of command, blocking and the PIN."""

from dataclasses import dataclass

import pytest

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.card.holder import change_pin
from cardlib.crypto import Cipher
from cardlib.emulator.profile.card_options import CardOptions
from cardlib.errors import (
    ChannelError,
    FormatError,
    StatusWordError,
)
from cardlib.keys import CardKeys
from cardlib.layout import KEY_BY_NAME
from cardlib.messaging.v2 import V2Channel
from cardlib.transport import capabilities, chip_serial
from cardlib.transport.recorder import Recorder
from tests.cards.v2_cards import CHIP, PIN, REGION, c1_of, card_of, key_set
from tests.messaging.v2_line import CLINICAL, INDEX, SLOT, fresh, path_of, terminal

H = bytes.fromhex
SHORT = CardOptions()
LONG = CardOptions(extended_length=True)


# --- channels: cases, forms, chaining -------------------------------------------------------


def channel_of(cipher: Cipher, options: CardOptions, *names: str) -> tuple[V2Channel, CardKeys]:
    card = card_of(cipher, options)
    chaining, extended = capabilities(card.atr)
    channel = V2Channel(card.transmit, c1_of(cipher), chaining=chaining, extended=extended)
    keys = key_set(cipher).for_card(CHIP, REGION)
    for name in names:
        path = KEY_BY_NAME[name].df_path
        data = b"\x3f\x00" if path == "MF" else bytes.fromhex(path.replace("/", ""))
        assert channel.send(CommandAPDU(0, 0xA4, 0 if path == "MF" else 8, 0x0C, data)).ok
        assert channel.authenticate(keys, KEY_BY_NAME[name]).ok
    return channel, keys


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("options", [SHORT, LONG])
def test_all_cases_and_odd_instructions(cipher: Cipher, options: CardOptions) -> None:
    channel, _ = channel_of(cipher, options, "RK1_DF03", "UK1_DF03")
    send, extended = channel.send, options.extended_length
    assert send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(INDEX))).sw == 0x9000
    assert send(CommandAPDU(0, 0xD2, 1, 4)).sw == 0x9000  # case 1
    assert send(CommandAPDU(0, 0xB2, 1, 4, le=256)).data == b"\x00"  # case 2
    assert send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT))).sw == 0x9000  # case 3
    assert send(CommandAPDU(0, 0xA4, 8, 0, path_of(SLOT), 256)).data[0] == 0x6F  # case 4
    assert send(CommandAPDU(0, 0xD7, 0, 0, H("540200205302ABCD"))).sw == 0x9000
    assert send(CommandAPDU(0, 0xB1, 0, 0, H("54020020"), 4)).data == H("5302ABCD")
    if extended:
        assert send(CommandAPDU(0, 0xD6, 0, 0, bytes(1000), None, True)).sw == 0x9000
        assert send(CommandAPDU(0, 0xB0, 0, 0, le=1000)).data == bytes(1000)


@pytest.mark.parametrize("cipher", Cipher)
def test_a_chained_command_is_one_command(cipher: Cipher) -> None:
    channel, _ = channel_of(cipher, SHORT, "RK1_DF03", "UK1_DF03")
    channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT)))
    data = bytes(n * 5 & 0xFF for n in range(1200))
    assert channel.send(CommandAPDU(0, 0xD6, 0, 0, data)).sw == 0x9000
    read = [channel.send(CommandAPDU(0, 0xB0, o >> 8, o & 255, le=200)).data
            for o in range(0, 1200, 200)]  # fmt: skip
    assert b"".join(read) == data


def test_more_than_fits_is_refused_under_protection() -> None:
    channel, _ = channel_of(Cipher.SM4, SHORT, "RK1_DF03")
    channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(SLOT)))
    assert channel.send(CommandAPDU(0, 0xB0, 0, 0, le=224)).sw == 0x6700
    assert len(channel.send(CommandAPDU(0, 0xB0, 0, 0, le=256)).data) == 223


@pytest.mark.parametrize(("command", "back"), [
    (CommandAPDU(0, 0x1E, 0, 0), CommandAPDU(0, 0x18, 0, 0)),
])  # fmt: skip
def test_an_application_is_blocked_and_unblocked(command: CommandAPDU, back: CommandAPDU) -> None:
    channel, _ = channel_of(Cipher.AES, SHORT, "RK1_DF02", "LK_DF02")
    assert channel.send(command).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0xA4, 8, 0x0C, path_of(CLINICAL))).sw == 0x6283
    assert channel.send(CommandAPDU(0, 0xB2, 1, 4, le=256)).sw == 0x6985
    assert channel.send(back).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0xB2, 1, 4, le=256)).sw == 0x9000


def test_the_pin_is_unblocked_by_the_puk() -> None:
    channel, keys = channel_of(Cipher.AES, SHORT, "RK1_DDF1")
    for left in (2, 1, 0):
        assert channel.send(CommandAPDU(0, 0x20, 0, 0, b"000000")).sw == 0x63C0 | left
    assert channel.authenticate(keys, KEY_BY_NAME["PUK_DDF1"]).ok
    assert channel.send(CommandAPDU(0, 0x2C, 2, 0, b"864209")).sw == 0x9000
    assert channel.send(CommandAPDU(0, 0x20, 0, 0, b"864209")).sw == 0x9000


# --- the PIN --------------------------------------------------------------------------------


def test_a_pin_is_never_sent_in_clear() -> None:
    recorder = Recorder(fresh(card_of()))
    reader = ResidentHealthCard(recorder, key_set(Cipher.SM4))
    with pytest.raises(ChannelError, match="never sent in clear"):
        reader.verify_pin(PIN)
    with pytest.raises(ChannelError, match="never sent in clear"):
        change_pin(ResidentHealthCard(recorder), PIN, "246802")
    reader.authenticate("RK1_DF04")
    reader.verify_pin(PIN)
    assert not any(PIN.encode() in exchange.command for exchange in recorder.commands)


@dataclass
class WithATR:
    """A connection to a card whose ATR was changed on the way."""

    recorder: Recorder
    atr: bytes

    def transmit(self, command: bytes) -> bytes:
        return self.recorder.transmit(command)

    def reset(self) -> bytes:
        self.recorder.reset()
        return self.atr


def test_an_atr_that_ends_early_after_the_serial_leaves_nothing_that_sends_a_pin() -> None:
    """The serial is whole, the capabilities behind it are not: identify fails, and stays failed."""
    recorder = Recorder(fresh(card := card_of()))
    atr = b"\x3b\x0b\x80\x58" + chip_serial(card.atr) + b"\x73"
    reader = ResidentHealthCard(WithATR(recorder, atr), key_set(Cipher.SM4), min_protocol=1)
    for _ in range(2):
        with pytest.raises(FormatError):
            reader.verify_pin(PIN)
        with pytest.raises(FormatError):
            reader.update(CLINICAL, 1, {})
    assert {exchange.command[1] for exchange in recorder.commands} == {0xA4}


def test_the_holders_file_needs_the_pin_in_this_session() -> None:
    card = card_of()
    writer = terminal(card, "RK1_DF04", "UK1_DF04")
    with pytest.raises(StatusWordError, match="the holder's PIN"):
        writer.update("DDF1/DF04/EF05", 1, {"bank_code": "102"})
    with pytest.raises(StatusWordError) as error:
        writer.verify_pin("000000")
    assert error.value.sw == 0x63C2
    writer.verify_pin(PIN)
    writer.update("DDF1/DF04/EF05", 1, {"bank_code": "102"})
    again = terminal(card, "UK1_DF04")
    with pytest.raises(StatusWordError, match="the holder's PIN"):
        again.update("DDF1/DF04/EF05", 1, {"bank_code": "103"})
