"""The tables of the card's commands and their handlers."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from .handlers import (
    authentication,
    binary_commands,
    block_commands,
    channel_commands,
    data_objects,
    deployed_cards,
    pin_commands,
    record_commands,
    security_domain,
    selection,
)
from .handlers import (
    file_commands as administration,
)
from .profile.card_options import CardOptions
from .sessions.card_interface import CommandHandler, Commands

INTERINDUSTRY: Mapping[int, CommandHandler] = MappingProxyType({
    0x04: CommandHandler(administration.deactivate_file),
    0x0C: CommandHandler(record_commands.erase_record),
    0x0E: CommandHandler(binary_commands.erase_binary, protected=True),
    0x0F: CommandHandler(binary_commands.erase_binary, protected=True),
    0x16: CommandHandler(block_commands.block_card),
    0x18: CommandHandler(block_commands.unblock_application),
    0x1E: CommandHandler(block_commands.block_application),
    0x20: CommandHandler(pin_commands.verify),
    0x24: CommandHandler(pin_commands.change_reference_data),
    0x2C: CommandHandler(pin_commands.reset_retry_counter),
    0x44: CommandHandler(administration.activate_file),
    0x70: CommandHandler(channel_commands.manage_channel),
    0x82: CommandHandler(authentication.external_authenticate),
    0x84: CommandHandler(authentication.get_challenge),
    0x88: CommandHandler(authentication.internal_authenticate),
    0xA0: CommandHandler(binary_commands.search_binary),
    0xA1: CommandHandler(binary_commands.search_binary),
    0xA2: CommandHandler(record_commands.search_record),
    0xA4: CommandHandler(selection.select),
    0xB0: CommandHandler(binary_commands.read_binary),
    0xB1: CommandHandler(binary_commands.read_binary_odd),
    0xB2: CommandHandler(record_commands.read_record),
    0xB3: CommandHandler(record_commands.read_record_odd),
    0xCA: CommandHandler(data_objects.get_data),
    0xD0: CommandHandler(binary_commands.write_binary, protected=True),
    0xD1: CommandHandler(binary_commands.write_binary, protected=True),
    0xD2: CommandHandler(record_commands.write_record),
    0xD6: CommandHandler(binary_commands.update_binary, protected=True),
    0xD7: CommandHandler(binary_commands.update_binary, protected=True),
    0xDA: CommandHandler(data_objects.put_data),
    0xDC: CommandHandler(record_commands.update_record, protected=True),
    0xDD: CommandHandler(record_commands.update_record_odd, protected=True),
    0xE0: CommandHandler(administration.create_file),
    0xE2: CommandHandler(record_commands.append_record, protected=True),
    0xE4: CommandHandler(administration.delete_file),
    0xE6: CommandHandler(administration.terminate_df),
    0xE8: CommandHandler(administration.terminate_ef),
    0xFE: CommandHandler(administration.terminate_card_usage),
})  # fmt: skip
"""The commands of class 0x, by INS."""

PROPRIETARY: Mapping[int, CommandHandler] = MappingProxyType(
    {
        ins: CommandHandler(handler, globalplatform=True)
        for ins, handler in security_domain.COMMANDS.items()
    }
    | {
        0x0C: CommandHandler(record_commands.erase_record, protected=True),
        0x16: CommandHandler(block_commands.block_card, protected=True),
        0x18: CommandHandler(block_commands.unblock_application, protected=True),
        0x1E: CommandHandler(block_commands.block_application, protected=True),
        0x24: CommandHandler(pin_commands.unblock_pin, protected=True),
        0x50: CommandHandler(security_domain.COMMANDS[0x50], data_anyway=True, globalplatform=True),
        0xCA: CommandHandler(data_objects.get_data, globalplatform=True),
        0xD2: CommandHandler(record_commands.write_record, protected=True),
    }
)
"""The commands of class 8x, by INS."""

COMMANDS: Commands = (dict(INTERINDUSTRY), dict(PROPRIETARY))
"""Both tables; bit 8 of the class byte is the index."""


@lru_cache(maxsize=64)
def commands_of(options: CardOptions) -> Commands:
    """Return both tables for a card with these options."""
    others = deployed_cards.handlers(options)
    if not others:
        return COMMANDS
    replaced = {ins: replace(INTERINDUSTRY[ins], handler=one) for ins, one in others.items()}
    return COMMANDS[0] | replaced, COMMANDS[1]
