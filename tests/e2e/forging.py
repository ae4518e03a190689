"""Headers that validators seal beside their chain: what a third of the power can do, and must not.

The keys are the real ones, out of the homes of a network that runs; each signs what it should not.
"""

from __future__ import annotations

from msgspec.structs import replace as change

from probatum.consensus.cometbft.keys import decode_validator_key
from probatum.consensus.cometbft.light.hashing import compute_validators_hash
from probatum.ops.folder import VALIDATOR_UNITS
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.primitives import UNITS_PER_TOKEN
from tests.light_chain import Voter, list_values, make_seal

POWER = VALIDATOR_UNITS // UNITS_PER_TOKEN


def load_voters(stage, names=None):
    """Validators of a network by name, all if none are named, in the engine's order."""
    voters = []
    for name in names or stage.names:
        path = stage.folder.get_home(name) / "engine" / "config" / "priv_validator_key.json"
        voters.append(Voter(decode_validator_key(path.read_bytes()), POWER))
    return tuple(sorted(voters, key=lambda voter: (-voter.power, voter.address)))


def load_set(stage, signed):
    """Who sealed a header, as its set has them: with their powers and in its order."""
    signers = {voter.signer.key: voter.signer for voter in load_voters(stage)}
    return tuple(Voter(signers[found.key], found.power) for found in signed.seal.validators)


def forge(signed, voters, *, later=0, **changes):
    """A ledger of their own under a real header: signed by these, who say that they are the set."""
    height = signed.header.height + later
    changes = {"height": height, "state_root": sha256(b"our own ledger"), **changes}
    header = change(signed.header, **changes)
    values = compute_validators_hash(list_values(voters))
    engine = change(
        signed.seal.header,
        height=height + 1,
        app_hash=compute_header_hash(header),
        validators_hash=values,
        next_validators_hash=values,
        proposer=voters[0].address,
    )
    return SignedHeader(header=header, seal=make_seal(engine, voters))


def sign_twice(signed, voters):
    """Another block of the engine for the same header of ours, decided in the same round."""
    seal = signed.seal
    engine = change(seal.header, data_hash=sha256(b"other transactions"))
    return change(signed, seal=make_seal(engine, voters, round=seal.commit.round))
