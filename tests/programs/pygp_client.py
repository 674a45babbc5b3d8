"""Py-GP, a GlobalPlatform client of others, on one PC/SC reader: what it found, as JSON on stdout.

Run as a process of its own, for it keeps its state in its modules. Its words are hex: reader
name, and ENC, MAC and DEK of the transport set FF and of the set 01 that it shall put.
"""

import json
import sys
import time
from contextlib import nullcontext, suppress
from typing import Any

import cryptography.utils
import smartcard.scard
from cryptography.hazmat.primitives.asymmetric import ec

LEVELS = (0x01, 0x03, 0x11, 0x13, 0x33)
ONLY_R_MAC = (0x11, 0x13)
GET_CHALLENGE = [0x00, 0x84, 0x00, 0x00, 0x08]


def import_client() -> Any:
    """Import it where its makers did not: on Linux, and with a cryptography younger than 2018."""
    legacy_cryptography: Any = cryptography.utils
    legacy_cryptography.register_interface = lambda _: lambda cls: cls
    legacy_curves: Any = ec
    legacy_curves._CURVE_TYPES = dict(getattr(ec, "_CURVE_TYPES", {}))
    # Its own binding is a Windows binary of the pyscard that is installed here.
    sys.modules["pygp.connection.pcsc"] = smartcard.scard
    import pygp.pygp

    return pygp.pygp


def wait_for_answers(reader: str) -> None:
    """Wait until the card answers a command, 10 seconds at most.

    pcscd may reset a card that was just put in, also after the first program has connected. Py-GP
    reads the status of the answer that such a command does not have: "list index out of range".
    """
    scard: Any = smartcard.scard
    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    protocols = {1: scard.SCARD_PCI_T0, 2: scard.SCARD_PCI_T1}
    for _ in range(100):
        result, card, active = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
        if result == scard.SCARD_S_SUCCESS:
            result, _ = scard.SCardTransmit(card, protocols[active], GET_CHALLENGE)
            scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
        if result == scard.SCARD_S_SUCCESS:
            break
        time.sleep(0.1)
    scard.SCardReleaseContext(context)


def read(client: Any, level: int) -> dict[str, str]:
    """Open a channel and list the card."""
    client.select_isd()
    client.auth(keysetversion="FF", securitylevel=level)
    answers = {}
    for question in (
        client.get_cplc,
        client.get_key_information,
        client.get_status_isd,
        client.get_status_applications,
    ):
        # Py-GP leaves the R-MAC on the answer, and reads these 8 random bytes as BER-TLV.
        with suppress(IndexError) if level in ONLY_R_MAC else nullcontext():
            question()
        answers[question.__name__] = client.last_response()
    return answers


def refusal_of_wrong_keys(client: Any, key: str) -> str:
    """What it says of a card whose cryptogram it cannot check."""
    client.select_isd()
    try:
        client.auth(enc_key=key, mac_key=key, dek_key=key, keysetversion="FF")
    except BaseException as error:  # noqa: BLE001 - it raises no other kind
        return str(error)
    return ""


def put(client: Any, level: int) -> str:
    """Put the key set 01 beside FF, and open a channel with it."""
    client.select_isd()
    client.auth(keysetversion="FF", securitylevel=level)
    client.put_scp_key("01", replace=False)
    answer: str = client.last_response()
    client.select_isd()
    client.auth(keysetversion="01", securitylevel=level)
    client.get_cplc()
    return answer


def main(reader: str, *keys: str) -> None:
    client = import_client()
    wait_for_answers(reader)
    client.terminal(reader)
    found: dict[str, Any] = {"atr": client.card()}
    versions = [(version, number) for version in ("FF", "01") for number in ("1", "2", "3")]
    for (version, number), key in zip(versions, keys, strict=True):
        client.set_key(f"{version}/{number}/AES/{key}")
    found["read"] = {f"{level:02X}": read(client, level) for level in LEVELS}
    found["wrong_keys"] = refusal_of_wrong_keys(client, keys[-1])
    found["put"] = put(client, 0x33)
    client.close()
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
