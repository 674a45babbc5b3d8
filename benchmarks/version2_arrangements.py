"""A version-2 protected READ BINARY of 223 bytes: host, card and host again in one process."""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher as Primitive
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from cardlib.apdu import CommandAPDU
from cardlib.card import ResidentHealthCard
from cardlib.crypto import BlockCipher, Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.ready_made import personalized_card
from cardlib.emulator.filesystem import created_files
from cardlib.emulator.filesystem.tree import KEY_BIT, MF
from cardlib.emulator.handlers.access import ACTIVATED
from cardlib.emulator.sessions.v2 import Session
from cardlib.exchange import observed
from cardlib.keys.roots import public_test_roots
from cardlib.keys.store import KeyStore
from cardlib.layout import State
from cardlib.messaging import v1
from cardlib.messaging.iso import SecureMessaging, cmac_suite
from cardlib.transport.meter import Figures, Meter

LENGTH = 223
S_ENC, S_MAC = bytes(range(16)), bytes(range(16, 32))
_FREE_FILE = bytes.fromhex("80021000 82020121 83020020")
_REGION = b"99000000"
_READ = bytes.fromhex("00B00000DF")
_ALGORITHMS = {Cipher.SM4: algorithms.SM4, Cipher.AES: algorithms.AES}

Call = Callable[[], object]


def card(protocol: int, cipher: Cipher) -> SoftwareCard:
    """An active card with a free file of 4,096 bytes in its MF, which is selected."""
    made = personalized_card(public_test_roots(protocol, cipher))
    created_files.store(made.memory, MF, _FREE_FILE, ACTIVATED)
    made.memory.commit()
    made.reset()
    _done(made, "00A40000020020")
    return made


def _done(played: SoftwareCard, command: str) -> None:
    answer = played.transmit(bytes.fromhex(command))
    if answer != b"\x90\0":
        raise AssertionError(f"{command}: {answer.hex()}")


def kept(cipher: Cipher) -> Call:
    """Our host and our card in one session, their contexts kept."""
    played = card(2, cipher)
    played.channels[0].v2 = Session(cipher, S_ENC, S_MAC)
    messaging = SecureMessaging(cmac_suite(BlockCipher(cipher, S_ENC), BlockCipher(cipher, S_MAC)))

    def read() -> bytes:
        reply = played.transmit(messaging.protect(0x00, 0xB0, 0, 0, b"", LENGTH))
        return messaging.unprotect(reply[:-2], 0x9000)

    assert len(read()) == LENGTH
    return read


def rebuilt(cipher: Cipher) -> Call:
    """The same messages around the same card, every primitive made again for each."""
    played, algorithm = card(2, cipher), _ALGORITHMS[cipher]
    counter = 0

    def mac(message: bytes) -> bytes:
        context = CMAC(algorithm(S_MAC))
        context.update(message)
        return context.finalize()[:8]

    def iv(ssc: bytes) -> modes.CBC:
        return modes.CBC(Primitive(algorithm(S_ENC), modes.ECB()).encryptor().update(ssc))

    def padded(data: bytes) -> bytes:
        return data + b"\x80" + bytes(15 - len(data) % 16)

    def command(ssc: bytes, header: bytes) -> bytes:
        objects = bytes((0x97, 1, LENGTH))
        return objects + b"\x8e\x08" + mac(ssc + padded(header) + padded(objects))

    def read() -> bytes:
        nonlocal counter
        counter += 2
        ssc, after = (n.to_bytes(16, "big") for n in (counter - 1, counter))
        header = b"\x0c\xb0\0\0"
        sent = command(ssc, header)
        if sent[-8:] != mac(ssc + padded(header) + padded(sent[:-10])):
            raise AssertionError
        data = played.transmit(_READ)[:-2]
        sealed = Primitive(algorithm(S_ENC), iv(after)).encryptor().update(padded(data))
        body = b"\x87\x81\xe1\x01" + sealed + b"\x99\x02\x90\0"
        reply = body + b"\x8e\x08" + mac(after + padded(body))
        if reply[-8:] != mac(after + padded(reply[:-10])):
            raise AssertionError
        opened = Primitive(algorithm(S_ENC), iv(after)).decryptor().update(reply[4:-14])
        return opened.rstrip(b"\0")[:-1]

    assert len(read()) == LENGTH
    return read


def crypto_only(cipher: Cipher) -> Call:
    """Just the cipher's work of one exchange, contexts kept: four MACs, encrypt, decrypt."""
    enc, mac = BlockCipher(cipher, S_ENC), BlockCipher(cipher, S_MAC)
    seal, unseal = enc.cbc_encryptor().update, enc.cbc_decryptor().update
    short, long, block = bytes(48), bytes(256), bytes(16)

    def work() -> bytes:
        mac.cmac(short)
        mac.cmac(short)
        sealed = seal(long[:240])
        mac.cmac(long)
        mac.cmac(long)
        return unseal(enc.encrypt_ecb(block) + sealed[16:])

    return work


def version_1_update(cipher: Cipher) -> Call:
    """GET CHALLENGE and a protected UPDATE RECORD of 20 bytes, host and card, memory included."""
    played = card(1, cipher)
    _done(played, "00A4040005F052484301")
    _done(played, "00A4000002EF08")
    played.channels[0].rights = KEY_BIT["UK1_DDF1"]
    keys = KeyStore(public_test_roots(1, cipher)).terminal_keys.for_card(played.chip, _REGION)
    record = b"\x10\x14" + b"19900001537".ljust(20, b"\0")
    plain = CommandAPDU(0x00, 0xDC, 0x02, 0x04, record)

    def update() -> bytes:
        challenge = played.transmit(b"\0\x84\0\0\x08")[:8]
        process_key = keys.process_key("STK_DDF1", challenge)
        return played.transmit(bytes(v1.protect(process_key, plain)))

    if update() != b"\x90\0":
        raise AssertionError
    return update


def emergency_read(protocol: int) -> Figures:
    """What reading the emergency data takes, from SELECT DDF1 to the last field."""
    roots = public_test_roots(protocol)
    meter = Meter()
    with observed(personalized_card(roots), meter) as card:
        terminal = ResidentHealthCard(card, KeyStore(roots).terminal_keys, min_protocol=protocol)
        terminal.authenticate("RK1_DF02")
        values = terminal.read("DDF1/DF02/EF05")
    if len(values) != 15 or values[0].state is not State.VALUE:
        raise AssertionError
    return meter.figures
