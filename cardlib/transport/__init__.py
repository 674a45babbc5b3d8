"""Connections to cards: PC/SC readers and recordings; and what an ATR says."""

from .atr import Capabilities, capabilities, chip_serial, historical_bytes

__all__ = ["Capabilities", "capabilities", "chip_serial", "historical_bytes"]
