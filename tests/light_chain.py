"""A chain under CometBFT as light clients see it: made headers, signed by made validators."""

import hashlib
from dataclasses import dataclass

from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from probatum.consensus.cometbft.light.hashing import (
    compute_engine_hash,
    compute_validators_hash,
    make_sign_bytes,
)
from probatum.protocol.commits import (
    ABSENT,
    COMMITTED,
    BlockId,
    Commit,
    CommitVote,
    EngineHeader,
    EngineTime,
    Validator,
    compute_engine_chain_id,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import CommitSeal, Header, SignedHeader, compute_header_hash
from probatum.protocol.trust import TRUST_FORMAT, CommitTrust, TrustedValidator
from probatum.protocol.validators import compute_consensus_address
from tests.factories import CHAIN_ID, GENESIS_HASH

START_MS = 1_750_000_000_000
BLOCK_MS = 1_000
PERIOD_MS = 1_000_000
NO_TIME = EngineTime(seconds=-62_135_596_800, nanos=0)
NO_VOTE = CommitVote(flag=ABSENT, validator=b"", time=NO_TIME, signature=b"")
NO_BLOCK = BlockId(hash=b"", parts=0, parts_hash=b"")
EMPTY = sha256(b"")
ORDER = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True)
class Voter:
    """A validator that can sign."""

    signer: OperatingSigner
    power: int = 1

    @property
    def value(self):
        return Validator(key=self.signer.key, power=self.power)

    @property
    def address(self):
        return compute_consensus_address(self.signer.key)


def make_voters(numbers, power=1):
    """Validators in the engine's order."""
    made = [Voter(OperatingSigner(sha256(b"voter %d" % number)), power) for number in numbers]
    return tuple(sorted(made, key=lambda voter: (-voter.power, voter.address)))


def list_values(voters):
    return tuple(voter.value for voter in voters)


def get_time(height):
    """The engine's time of a height, with some nanoseconds."""
    ms = START_MS + BLOCK_MS * height
    return EngineTime(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000 + 123)


def get_now_ms(height):
    return START_MS + BLOCK_MS * height + 500


def make_engine_header(height, voters, following, app_hash, **changes):
    fields = {
        "block_version": 11,
        "app_version": 1,
        "chain_id": compute_engine_chain_id(CHAIN_ID, GENESIS_HASH),
        "height": height,
        "time": get_time(height),
        "last_block": NO_BLOCK,
        "last_commit_hash": EMPTY,
        "data_hash": EMPTY,
        "validators_hash": compute_validators_hash(list_values(voters)),
        "next_validators_hash": compute_validators_hash(list_values(following)),
        "consensus_hash": EMPTY,
        "app_hash": app_hash,
        "last_results_hash": EMPTY,
        "evidence_hash": EMPTY,
        "proposer": voters[0].address,
    }
    return EngineHeader(**(fields | changes))


def sign_vote(voter, header, commit, flag=COMMITTED):
    vote = CommitVote(flag=flag, validator=voter.address, time=header.time, signature=b"")
    signature = voter.signer.sign(make_sign_bytes(header.chain_id, commit, vote))
    return CommitVote(
        flag=flag, validator=vote.validator, time=vote.time, signature=bytes(signature)
    )


def sign_oddly(signer, message):
    """Sign so that the engine takes it (ZIP-215) and the strict rule does not.

    The nonce's point is moved by the one of order two, (0, -1), so both its coordinates change
    their signs; what is left of that is gone once the equation is taken eight times.
    """
    expanded = hashlib.sha512(signer.seed).digest()
    secret = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | 1 << 254
    nonce = int.from_bytes(hashlib.sha512(expanded[32:] + message).digest(), "little") % ORDER
    point = int.from_bytes(
        crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little")), "little"
    )
    y, sign = point & ((1 << 255) - 1), point >> 255
    moved = (2**255 - 19 - y | (1 - sign) << 255).to_bytes(32, "little")
    k = int.from_bytes(hashlib.sha512(moved + signer.key + message).digest(), "little")
    return moved + ((nonce + k * secret) % ORDER).to_bytes(32, "little")


def make_seal(header, voters, flags=None, **changes):
    """A header with its commit; flags by place, all committed if absent."""
    fields = {
        "height": header.height,
        "round": 0,
        "block": BlockId(hash=compute_engine_hash(header), parts=1, parts_hash=EMPTY),
        "votes": (),
    }
    commit = Commit(**(fields | changes))
    flags = flags or [COMMITTED] * len(voters)
    votes = tuple(
        NO_VOTE if flag == ABSENT else sign_vote(voter, header, commit, flag)
        for voter, flag in zip(voters, flags, strict=True)
    )
    commit = Commit(height=commit.height, round=commit.round, block=commit.block, votes=votes)
    return CommitSeal(header=header, commit=commit, validators=list_values(voters))


class LightChain:
    """Headers of ours with their seals.

    Attributes:
        sets: Validators from which height of the engine on.
    """

    def __init__(self, sets, *, length=12, branch=b"", since=1):
        """Make it; with `branch`, another past than the chain without, from height `since` on."""
        self.sets = dict(sets)
        self.headers = {}
        self._block_ids = {}
        previous = GENESIS_HASH
        for height in range(1, length + 1):
            header = Header(
                chain_id=CHAIN_ID,
                genesis_hash=GENESIS_HASH,
                height=height,
                previous=previous,
                state_root=sha256(b"state %d" % height + (branch if height >= since else b"")),
                transactions_root=EMPTY,
                results_root=EMPTY,
                time_ms=START_MS + BLOCK_MS * height,
            )
            self.headers[height] = header
            previous = compute_header_hash(header)

    def get_voters(self, height):
        return self.sets[max(start for start in self.sets if start <= height)]

    def make_engine_header(self, height, **changes):
        """The engine's header of a height from 1 on."""
        before = self.headers.get(height - 1)
        app_hash = compute_header_hash(before) if before else b""
        if height > 1:
            changes.setdefault("last_block", self._get_block_id(height - 1))
        sets = self.get_voters(height), self.get_voters(height + 1)
        return make_engine_header(height, *sets, app_hash, **changes)

    def _get_block_id(self, height):
        """What the engine's next header cites."""
        if height not in self._block_ids:
            header = self.make_engine_header(height)
            block = BlockId(hash=compute_engine_hash(header), parts=1, parts_hash=EMPTY)
            self._block_ids[height] = block
        return self._block_ids[height]

    def make_seal(self, height, flags=None, **changes):
        """The engine's header of a height, with its commit."""
        return make_seal(self.make_engine_header(height, **changes), self.get_voters(height), flags)

    def sign(self, height, flags=None, **changes):
        """A header of ours with its seal, which is of the engine's next height."""
        seal = self.make_seal(height + 1, flags, **changes)
        return SignedHeader(header=self.headers[height], seal=seal)

    def seal(self, header):
        """Another header of ours, sealed by those whose turn it is."""
        height = header.height + 1
        sets = self.get_voters(height), self.get_voters(height + 1)
        engine = make_engine_header(height, *sets, compute_header_hash(header))
        return SignedHeader(header=header, seal=make_seal(engine, sets[0]))

    def make_trust(self, height, **changes):
        """A trust file of an engine's height; 0 is genesis."""
        is_genesis = height == 0
        voters = self.get_voters(height + 1)
        found = GENESIS_HASH if is_genesis else compute_engine_hash(self.make_engine_header(height))
        fields = {
            "format": TRUST_FORMAT,
            "chain_id": CHAIN_ID,
            "genesis_hash": GENESIS_HASH.hex(),
            "engine": "cometbft",
            "height": height,
            "header_hash": found.hex(),
            "time_ms": START_MS + BLOCK_MS * height,
            "trusting_period_ms": PERIOD_MS,
            "validators": tuple(
                TrustedValidator(key=voter.signer.key.hex(), power=voter.power) for voter in voters
            ),
        }
        return CommitTrust(**(fields | changes))
