"""Connections to cards: PC/SC readers and recordings; and what an ATR says."""

from .atr import Capabilities, capabilities, chip_serial, historical_bytes
from .extended_length import Forms, forms

__all__ = ["Capabilities", "Forms", "capabilities", "chip_serial", "forms", "historical_bytes"]
