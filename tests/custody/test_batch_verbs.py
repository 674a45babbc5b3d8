"""The agent's verbs for batches: what is asked in groups is what is asked one by one."""

from pathlib import Path

from personalize.custody.roles import Role
from tests.custody.desks import bench, own_keys

NUMBERS = [f"{number:018}" for number in range(1200)]


def test_codes_and_hashes_of_many_residents_take_few_requests(tmp_path: Path) -> None:
    """Each request is a line of the log that is on disk before it is answered."""
    keys = own_keys()
    with bench(tmp_path, keys) as agent:
        issuer, log = agent.issuer(Role.PREPARATION), agent.service.log
        before = log.number
        codes = issuer.security_codes(NUMBERS[:1000], "20261123")
        assert codes == [keys.security_code(each, "20261123") for each in NUMBERS[:1000]]
        hashes = issuer.holder_hashes(NUMBERS)
        assert hashes == [keys.holder_hash(each) for each in NUMBERS]
        assert log.number == before + 3
        assert [issuer.holder_hash(each) for each in NUMBERS] == hashes
        assert log.number == before + 3
        assert issuer.holder_hash("1") == keys.holder_hash("1")
        assert log.number == before + 4
