"""A chain in memory for tests: genesis, signers by number, blocks applied at a word."""

from __future__ import annotations

from functools import cache

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import make_genesis
from probatum.ledger.params import Params
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_operating_signature
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import (
    Heartbeat,
    Offer,
    OpenLog,
    RegisterNode,
    Stake,
    WithdrawOffer,
)
from probatum.protocol.transactions.signed import sign_authority, sign_transaction

OPENER = sha256(b"the life that opens")
NO_SIGNATURE = make_operating_signature(bytes(64))
ENGINE = OperatingSigner(sha256(b"engine"))
FEE = 1_000
RICH = 1_000 * UNITS_PER_TOKEN
PACKAGE = sha256(b"package")


@cache
def account(number):
    return AccountSigner(sha256(b"account %d" % number))


@cache
def key(number):
    return OperatingSigner(sha256(b"operating %d" % number))


def make_test_genesis(accounts=4, *, params=None, chain_id=7):
    return make_genesis(
        chain_id=chain_id,
        time_ms=1_000,
        key=ENGINE.key,
        balances={account(n).address: RICH for n in range(accounts)},
        params=params or Params(unbonding_blocks=3),
    )


class Chain:
    """An engine, the nonces of its accounts, and blocks on demand."""

    def __init__(self, genesis=None, store=None, **settings):
        self.genesis = genesis or make_test_genesis()
        self.store = MemoryStore() if store is None else store
        self.engine = EmbeddedEngine.open(
            store=self.store, genesis=self.genesis, signer=ENGINE, **settings
        )
        self.now_ms = 2_000
        self.decided = []

    @property
    def domain(self):
        return self.engine.domain

    def nonce(self, signer):
        return self.engine.get_account(signer.address).nonce

    def make(self, signer, body, *, nonce=None, fee=FEE):
        nonce = self.nonce(signer) if nonce is None else nonce
        return encode(sign_transaction(self.domain, signer, nonce=nonce, fee_units=fee, body=body))

    def block(self, *transactions):
        """Submit, decide, commit, finish; returns the codes."""
        for data in transactions:
            self.engine.submit(data)
        self.now_ms += 100
        decided = self.engine.decide(self.now_ms)
        self.store.commit(decided.rows)
        self.engine.finish(decided)
        self.decided.append(decided)
        return [result.code for result in decided.results]

    def do(self, signer, body, **settings):
        """Apply one body in a block of its own; returns its code."""
        (code,) = self.block(self.make(signer, body, **settings))
        return code

    def authorise(self, body, signer, sender=None):
        import msgspec

        sender = sender or account(0).address
        authority = sign_authority(self.domain, signer, sender, body)
        return msgspec.structs.replace(body, authority=authority)

    def register(self, number=0, *, operating=None, roles=("inference",), stake=True):
        """Stake and register a node; returns the code of the registration."""
        signer = account(number)
        if stake:
            assert self.do(signer, Stake(amount=2 * UNITS_PER_TOKEN)) == "ok"
        return self.do(signer, self.registration(number, operating=operating, roles=roles))

    def registration(self, number=0, *, operating=None, roles=("inference",), sender=None):
        operating = operating or key(number)
        body = RegisterNode(
            operating_key=operating.key,
            endpoint=f"http://127.0.0.1:{8000 + number}",
            roles=roles,
            authority=NO_SIGNATURE,
        )
        return self.authorise(body, operating, sender or account(number).address)

    def offer(self, number=0, *, sequence=0, signer=None, price=5, package=PACKAGE):
        body = Offer(
            operator=account(number).address,
            package=package,
            arithmetic="float",
            evidence="signed",
            price_units=price,
            sequence=sequence,
            authority=NO_SIGNATURE,
        )
        return self.authorise(body, signer or key(number))

    def withdrawal(self, number=0, *, sequence=0, signer=None, package=PACKAGE):
        body = WithdrawOffer(
            operator=account(number).address,
            package=package,
            arithmetic="float",
            sequence=sequence,
            authority=NO_SIGNATURE,
        )
        return self.authorise(body, signer or key(number))

    def heartbeat(self, number=0, *, sequence=0, signer=None):
        body = Heartbeat(
            operator=account(number).address, sequence=sequence, authority=NO_SIGNATURE
        )
        return self.authorise(body, signer or key(number))

    def opening(self, number=0, *, session=0, signer=None):
        body = OpenLog(
            operator=account(number).address,
            session=session,
            opener=OPENER,
            authority=NO_SIGNATURE,
        )
        return self.authorise(body, signer or key(number))

    def record(self, state_key, kind):
        """Read a committed record."""
        from probatum.protocol.encoding import decode

        value = self.store.get("record", state_key)
        return None if value is None else decode(kind, value, limit_bytes=1 << 16)

    def records(self):
        return dict(self.store.scan("record", b"", b"", 100_000))
