"""The parameters of CKM_SP800_108_COUNTER_KDF in memory, as a PKCS#11 module reads them.

PKCS#11 3.0, Current Mechanisms, SP 800-108 key derivation.

The binding does not know this mechanism, and takes parameters as bytes. They hold pointers.
"""

import ctypes

from .pkcs11 import AES_CMAC

_ITERATION, _LENGTH, _BYTES = 1, 3, 4
_SUM_OF_KEYS = 1


class _CounterFormat(ctypes.Structure):
    _fields_ = (("little_endian", ctypes.c_ubyte), ("bits", ctypes.c_ulong))


class _LengthFormat(ctypes.Structure):
    _fields_ = (
        ("method", ctypes.c_ulong),
        ("little_endian", ctypes.c_ubyte),
        ("bits", ctypes.c_ulong),
    )


class _DataParameter(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_ulong), ("value", ctypes.c_void_p), ("size", ctypes.c_ulong))


class _KdfParameters(ctypes.Structure):
    _fields_ = (
        ("prf", ctypes.c_ulong),
        ("count", ctypes.c_ulong),
        ("data", ctypes.c_void_p),
        ("more_count", ctypes.c_ulong),
        ("more_keys", ctypes.c_void_p),
    )


class CounterKdf:
    """Counter mode with AES-CMAC over [i]32 ‖ data ‖ [L]32, both big-endian (SP 800-108r1 4.1).

    `parameters` is valid while this object lives.
    """

    def __init__(self, data: bytes) -> None:
        self._counter, self._length = _CounterFormat(0, 32), _LengthFormat(_SUM_OF_KEYS, 0, 32)
        self._fixed = ctypes.create_string_buffer(data, len(data))
        self._data = (_DataParameter * 3)(
            _DataParameter(_ITERATION, *_place(self._counter)),
            _DataParameter(_BYTES, *_place(self._fixed)),
            _DataParameter(_LENGTH, *_place(self._length)),
        )
        all_data, _ = _place(self._data)
        self.parameters = bytes(_KdfParameters(AES_CMAC, 3, all_data, 0, None))


def _place(
    value: "ctypes.Structure | ctypes.Array[ctypes.c_char] | ctypes.Array[_DataParameter]",
) -> tuple[int, int]:
    return ctypes.addressof(value), ctypes.sizeof(value)
