"""Which commands the card knows, and how a command reaches its handler."""

from collections.abc import Mapping
from types import MappingProxyType

from .handlers import (
    authentication,
    binary_commands,
    block_commands,
    channel_commands,
    data_objects,
    pin_commands,
    record_commands,
    security_domain,
    selection,
)
from .handlers import (
    file_commands as administration,
)
from .sessions.context import Command, Commands

INTERINDUSTRY: Mapping[int, Command] = MappingProxyType({
    0x04: Command(administration.deactivate_file),
    0x0C: Command(record_commands.erase_record),
    0x0E: Command(binary_commands.erase_binary, protected=True),
    0x0F: Command(binary_commands.erase_binary, protected=True),
    0x16: Command(block_commands.block_card),
    0x18: Command(block_commands.unblock_application),
    0x1E: Command(block_commands.block_application),
    0x20: Command(pin_commands.verify),
    0x24: Command(pin_commands.change_reference_data),
    0x2C: Command(pin_commands.reset_retry_counter),
    0x44: Command(administration.activate_file),
    0x70: Command(channel_commands.manage_channel),
    0x82: Command(authentication.external_authenticate),
    0x84: Command(authentication.get_challenge),
    0x88: Command(authentication.internal_authenticate),
    0xA0: Command(binary_commands.search_binary),
    0xA1: Command(binary_commands.search_binary),
    0xA2: Command(record_commands.search_record),
    0xA4: Command(selection.select),
    0xB0: Command(binary_commands.read_binary),
    0xB1: Command(binary_commands.read_binary_odd),
    0xB2: Command(record_commands.read_record),
    0xB3: Command(record_commands.read_record_odd),
    0xCA: Command(data_objects.get_data),
    0xD0: Command(binary_commands.write_binary, protected=True),
    0xD1: Command(binary_commands.write_binary, protected=True),
    0xD2: Command(record_commands.write_record),
    0xD6: Command(binary_commands.update_binary, protected=True),
    0xD7: Command(binary_commands.update_binary, protected=True),
    0xDA: Command(data_objects.put_data),
    0xDC: Command(record_commands.update_record, protected=True),
    0xDD: Command(record_commands.update_record_odd, protected=True),
    0xE0: Command(administration.create_file),
    0xE2: Command(record_commands.append_record, protected=True),
    0xE4: Command(administration.delete_file),
    0xE6: Command(administration.terminate_df),
    0xE8: Command(administration.terminate_ef),
    0xFE: Command(administration.terminate_card_usage),
})  # fmt: skip
"""Commands of CLA 0x, by INS."""

PROPRIETARY: Mapping[int, Command] = MappingProxyType(
    {
        ins: Command(handler, globalplatform=True)
        for ins, handler in security_domain.COMMANDS.items()
    }
    | {
        0x0C: Command(record_commands.erase_record, protected=True),
        0x16: Command(block_commands.block_card, protected=True),
        0x18: Command(block_commands.unblock_application, protected=True),
        0x1E: Command(block_commands.block_application, protected=True),
        0x24: Command(pin_commands.unblock_pin, protected=True),
        0x50: Command(security_domain.COMMANDS[0x50], data_anyway=True, globalplatform=True),
        0xD2: Command(record_commands.write_record, protected=True),
    }
)
"""Commands of CLA 8x, by INS."""

COMMANDS: Commands = (dict(INTERINDUSTRY), dict(PROPRIETARY))
"""Both tables, by the first bit of the class byte."""
