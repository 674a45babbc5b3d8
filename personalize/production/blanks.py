"""The keys of blank software cards where the key agent holds the roots."""

from cardlib.errors import CardKeyError
from cardlib.keys import AboutKeys
from cardlib.keys.public_test_keys import public_test_keys


class AgentBlanks:
    """Makes the keys of blanks for public test keys. The agent gives out no transport keys."""

    def __init__(self, about: AboutKeys) -> None:
        self._about = about

    def blank_keys(self, chip: bytes) -> tuple[bytes, bytes, bytes]:
        """A chip's public transport keys ENC, MAC, DEK.

        Raises CardKeyError for roots that are not public.
        """
        if not self._about.is_test:
            raise CardKeyError(
                "the key agent gives out no transport keys, so no blank software cards or SAMs can"
                " be made here. Use real blanks (a blank SAM: --sam), or an agent with test keys"
            )
        return public_test_keys(chip)["transport"]
