"""How a key comes from its root, in steps that can be checked by hand. No key is shown.

Each step names its formula, every part of its input, and the check value of the key that it makes.
"""

import hashlib
from dataclasses import dataclass, field
from hmac import compare_digest

from ..crypto import BlockCipher, Cipher, diversification_block
from ..errors import CardKeyError
from ..facts import ISSUER_KEY_VERSION, TRANSPORT_KEY_VERSION, ChipSerial, Region, SpecVersion
from ..layout import KEY_BY_NAME, KeySpec, encode
from ..layout.load import ISSUER_FILE
from .diversification import (
    Function,
    Part,
    Scheme,
    StaticKey,
    data_of,
    des3,
    diversified,
    inputs_of,
    joined,
    key_size,
    read_template,
)
from .mutual import CRYPTOGRAM_SIZE
from .roots import Roots

TRANSPORT, ISSUER, SECURITY_CODE = "transport", "issuer", "security-code"
NOT_ON_THE_CARD = (TRANSPORT, ISSUER, SECURITY_CODE)
"""What can be explained besides the 30 card keys."""
_INTERNAL_KEY = "IRK_DDF1"
_TAG = 8
_FIRST_SESSION = bytes(16)
"""P of a session that no other one was before (card specification 5)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The card and the values that keys are explained for. None: not given.

    `challenge` is for a process key, 8 bytes. `command` and `reply` are the data of a version-2
    EXTERNAL AUTHENTICATE and the card's answer, 40 bytes each. `scheme` and `data` (10 bytes, from
    INITIALIZE UPDATE) are for transport keys of another maker.
    """

    chip: ChipSerial | None = None
    region: Region | None = None
    challenge: bytes | None = None
    command: bytes | None = None
    reply: bytes | None = None
    scheme: Scheme | None = None
    data: bytes | None = None
    card_number: str | None = None
    issue_date: str | None = None


@dataclass(frozen=True, slots=True)
class DerivationStep:
    """One step: what it makes, by which formula, from which parts, and what can be compared.

    `check_value` is that of the key that the step makes (None when it makes none), `check` says how
    it is calculated. `shown` are results that are not keys.
    """

    makes: str
    formula: str
    parts: tuple[Part, ...]
    check_value: bytes | None = None
    check: str = ""
    shown: tuple[tuple[str, str], ...] = ()

    @property
    def whole_input(self) -> bytes:
        """The parts, one after the other."""
        return joined(self.parts)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one key or set of keys is made: where it begins, and each step."""

    name: str
    what: str
    root: str
    root_check_value: bytes
    root_check: str
    steps: tuple[DerivationStep, ...]


def uses(name: str, protocol: int | None, scheme: Scheme | None) -> tuple[set[str], set[str]]:
    """Return which members of `Asked` an explanation needs, and which others change it.

    Without a protocol (1 or 2) it tells what may be used under either. Raises CardKeyError when
    nothing has that name.
    """
    if name == SECURITY_CODE:
        return {"card_number", "issue_date"}, set()
    if name == ISSUER:
        return {"chip"}, set()
    if name == TRANSPORT:
        with_data = scheme is not None and scheme.uses("data")
        return {"chip"}, {"scheme", "data"} if with_data else {"scheme"}
    if name not in KEY_BY_NAME:
        raise CardKeyError(
            f"there is no key {name}: give the name of a card key, such as RK1_DF02, or"
            f" {', '.join(NOT_ON_THE_CARD)}"
        )
    key = KEY_BY_NAME[name]
    needed = {"chip", "region"} if key.levels == 2 else {"chip"}
    may: set[str] = set()
    if name == _INTERNAL_KEY or protocol != 2:
        may |= {"challenge"}
    if name != _INTERNAL_KEY and protocol != 1:
        may |= {"command", "reply"}
    return needed, may


def explained(roots: Roots, name: str, asked: Asked) -> Explanation:
    """Explain one key. Raises CardKeyError when a value that it needs is missing or wrong."""
    needed, _ = uses(name, roots.protocol, asked.scheme)
    if missing := sorted(member for member in needed if getattr(asked, member) is None):
        raise CardKeyError(f"{name} needs {' and '.join(missing)}".replace("_", " "))
    if name == SECURITY_CODE:
        return _security_code(roots, str(asked.card_number), str(asked.issue_date))
    assert asked.chip is not None
    if name == TRANSPORT:
        scheme = asked.scheme or read_template("rhcard")
        data = data_of(asked.chip) if asked.data is None else asked.data
        return _static(name, TRANSPORT_KEY_VERSION, roots.transport, scheme, asked.chip, data)
    if name == ISSUER:
        scheme, data = read_template("rhcard"), data_of(asked.chip)
        return _static(name, ISSUER_KEY_VERSION, roots.issuer, scheme, asked.chip, data)
    return _card_key(roots, KEY_BY_NAME[name], asked)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key on its way, in clear. Only its check value leaves this module."""

    name: str
    cipher: Cipher
    value: bytes = field(repr=False)
    keys_a_cmac: bool = False

    @property
    def block(self) -> BlockCipher:
        return BlockCipher(self.cipher, self.value)

    @property
    def check(self) -> tuple[bytes, str]:
        """The check value, and how it is calculated (card specification 3).

        The zero block under the key of a CMAC is the secret that its subkeys come from (SP 800-38B
        6.1). So such a key has the check value of an AES key also under SM4.
        """
        if self.cipher is Cipher.SM4 and self.keys_a_cmac:
            value = self.block.encrypt_ecb(b"\1" * 16)[:3]
            return value, "SM4 of 16 bytes 01, because it keys a CMAC"
        filler = "00" if self.cipher is Cipher.SM4 else "01"
        return self.block.check_value, f"{self.cipher.name} of 16 bytes {filler}"


def _diversified(
    parent: _Key, name: str, label: str, data8: bytes, keys_a_cmac: bool = False
) -> tuple[_Key, DerivationStep]:
    """One step E_K(D ‖ not D) (card specification 3)."""
    block = diversification_block(data8)
    key = _Key(name, parent.cipher, parent.block.encrypt_ecb(block), keys_a_cmac)
    formula = f"{parent.cipher.name}({parent.name}, {label} ‖ not {label})"
    parts = (Part(label, data8), Part(f"not {label}", block[8:]))
    return key, DerivationStep(name, formula, parts, *key.check)


def _card_key(roots: Roots, key: KeySpec, asked: Asked) -> Explanation:
    assert asked.chip is not None
    root = _Key(f"root {key.name}", roots.cipher, roots.card[key.name])
    steps, parent = [], root
    if key.levels == 2:
        assert asked.region is not None
        parent, step = _diversified(parent, "key of the region", "region", asked.region)
        steps.append(step)
    card_key, step = _diversified(parent, "card key", "chip", asked.chip)
    steps.append(step)
    if asked.challenge is not None and (roots.protocol == 1 or key.name == _INTERNAL_KEY):
        steps.append(_diversified(card_key, "process key", "challenge", asked.challenge)[1])
    if roots.protocol == 2 and key.name != _INTERNAL_KEY:
        steps += _version_2(roots, key, card_key, asked)
    levels = "level 2: region, then chip" if key.levels == 2 else "level 1: chip"
    what = f"{key.purpose}; {levels}; version {roots.protocol}, key version {roots.version}"
    return Explanation(key.name, what, root.name, *root.check, tuple(steps))


def _version_2(roots: Roots, key: KeySpec, card_key: _Key, asked: Asked) -> list[DerivationStep]:
    """K_ENC and K_MAC, and with an exchange the session keys (card specification 5)."""
    enc, first = _diversified(card_key, "K_ENC", '"RHC2-ENC"', b"RHC2-ENC")
    mac, second = _diversified(card_key, "K_MAC", '"RHC2-MAC"', b"RHC2-MAC", keys_a_cmac=True)
    if asked.command is None or asked.reply is None:
        if asked.command is not asked.reply:
            raise CardKeyError("the command and its reply are needed both, 40 bytes each")
        return [first, second]
    c1 = bytes((SpecVersion.of_protocol(2), roots.cipher, roots.version))
    binding = key.df_id + bytes((key.reference,)) + c1
    terminal, third = _opened(enc, mac, "the terminal", b"\1", binding, asked.command)
    card, fourth = _opened(enc, mac, "the card", b"\2", binding, asked.reply)
    if terminal[:16] != card[8:16] + card[:8]:
        raise CardKeyError("the reply is not the answer to this command: its random numbers differ")
    common = int.from_bytes(terminal[16:], "big") ^ int.from_bytes(card[16:], "big")
    z = _Key("Z", roots.cipher, common.to_bytes(16, "big"), keys_a_cmac=True)
    fifth = DerivationStep("Z", "K.IFD xor K.IC, which are secret", (), *z.check)
    randoms = (Part("RND.IFD", terminal[:8]), Part("RND.IC", terminal[8:16]))
    session = [
        _session_key(z, name, label, (*randoms, Part("B", binding)), cmac)
        for name, label, cmac in (("S_ENC", b"RHC2-SENC", False), ("S_MAC", b"RHC2-SMAC", True))
    ]
    return [first, second, third, fourth, fifth, *session]


def _opened(
    enc: _Key, mac: _Key, sender: str, direction: bytes, binding: bytes, data: bytes
) -> tuple[bytes, DerivationStep]:
    """Check T of one side's 40 bytes and decrypt M."""
    if len(data) != CRYPTOGRAM_SIZE:
        raise CardKeyError(f"M ‖ T of {sender} has {CRYPTOGRAM_SIZE} bytes, not {len(data)}")
    message, tag = data[:-_TAG], data[-_TAG:]
    parts = (Part("direction", direction), Part("B", binding), Part("M", message))
    expected = mac.block.cmac(joined(parts))[:_TAG]
    if not compare_digest(expected, tag):
        raise CardKeyError(
            f"T of {sender} is not made with this key: another root, chip, region or key version,"
            " or the bytes were changed"
        )
    plain = enc.block.decrypt_cbc(message)
    names = ("RND.IFD", "RND.IC") if direction == b"\1" else ("RND.IC", "RND.IFD")
    shown = (("T", f"{tag.hex().upper()}, as sent"), (names[0], plain[:8].hex().upper()),
             (names[1], plain[8:16].hex().upper()))  # fmt: skip
    return plain, DerivationStep(
        f"M and T of {sender}", "T = CMAC(K_MAC, direction ‖ B ‖ M)[:8]; M is decrypted with K_ENC",
        parts, shown=shown,
    )  # fmt: skip


def _session_key(
    z: _Key, name: str, label: bytes, middle: tuple[Part, ...], cmac: bool
) -> DerivationStep:
    """SP 800-108 in counter mode: CMAC over [1]32 ‖ label ‖ 00 ‖ ctx ‖ [128]32."""
    parts = (
        Part("[1]32", (1).to_bytes(4, "big")),
        Part(f'"{label.decode()}"', label),
        Part("00", b"\0"),
        *middle,
        Part("P", _FIRST_SESSION),
        Part("[128]32", (128).to_bytes(4, "big")),
    )
    key = _Key(name, z.cipher, z.block.cmac(joined(parts)), cmac)
    formula = f"CMAC(Z, {' ‖ '.join(part.name for part in parts)})"
    return DerivationStep(name, formula, parts, *key.check)


def _static(
    name: str, version: int, root: bytes, scheme: Scheme, chip: ChipSerial, data: bytes
) -> Explanation:
    """Key-ENC, Key-MAC, Key-DEK of a chip, one step each (card specification 6)."""
    size = key_size(scheme, root)
    steps = []
    keys = diversified(scheme, root, chip, data)
    for which, value in zip(StaticKey, keys, strict=True):
        (parts,) = inputs_of(scheme, size, chip, data, which)
        check_value, check = _Key(which.name, Cipher.AES, value, keys_a_cmac=True).check
        words = " ‖ ".join(word.text for word in scheme.words)
        formula = f"{scheme.function}(root {name}, {words})"
        steps.append(DerivationStep(f"Key-{which.name}", formula, parts, check_value, check))
    if scheme.function is Function.DES3:
        root_check, how = des3(root, bytes(8))[:3], "DES3 of 8 bytes 00"
    else:
        root_check, how = _Key(name, Cipher.AES, root, keys_a_cmac=True).check
    what = f"SCP03 keys, version {version:02X}; template {scheme.text}"
    return Explanation(name, what, f"root {name}", root_check, how, tuple(steps))


def _security_code(roots: Roots, card_number: str, issue_date: str) -> Explanation:
    """SHA-256, one block under the CVK, three digits (card specification 2)."""
    fields = {each.name: each for each in ISSUER_FILE.fields}
    parts = tuple(
        Part(name.replace("_", " "), encode(fields[name], text))
        for name, text in (("card_number", card_number), ("issue_date", issue_date))
    )
    digest = hashlib.sha256(joined(parts)).digest()[:16]
    cvk = _Key("root CVK", roots.cipher, roots.cvk)
    number = int.from_bytes(cvk.block.encrypt_ecb(digest), "big")
    steps = (
        DerivationStep(
            "D",
            "SHA-256(card number ‖ issue date)[:16]",
            parts,
            shown=(("D", digest.hex().upper()),),
        ),
        DerivationStep(
            "security code",
            f"{cvk.cipher.name}(root CVK, D) as a number, modulo 1000",
            (Part("D", digest),),
            shown=(("number", str(number)), ("code", f"{number % 1000:03}")),
        ),
    )
    return Explanation(SECURITY_CODE, "three digits of a card", cvk.name, *cvk.check, steps)
