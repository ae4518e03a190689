"""An application under a CometBFT that the test plays: blocks at a word, crashes at any point."""

from __future__ import annotations

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.genesis import compute_engine_chain_id
from probatum.consensus.cometbft.messages import (
    RequestCheckTx,
    RequestCommit,
    RequestFinalizeBlock,
    RequestInfo,
    RequestInitChain,
    RequestPrepareProposal,
    RequestProcessProposal,
)
from probatum.consensus.cometbft.parts import (
    BlockIDFlag,
    CheckTxType,
    CommitInfo,
    ConsensusParams,
    ExtendedCommitInfo,
    ExtendedVoteInfo,
    PublicKey,
    Timestamp,
    Validator,
    ValidatorUpdate,
    VersionParams,
    VoteInfo,
)
from probatum.consensus.cometbft.versions import APP_VERSION
from probatum.ledger.genesis import compute_genesis_set, encode_genesis
from probatum.protocol.encoding import encode
from probatum.protocol.headers import KeySeal, SignedHeader
from probatum.protocol.primitives import make_operating_signature
from probatum.protocol.transactions.signed import sign_transaction
from tests.chain import ENGINE, FEE
from tests.validators import POWER, consensus_address, make_test_validator_genesis

ROOM = 1 << 20
NO_SEAL = KeySeal(key=ENGINE.key, signature=make_operating_signature(bytes(64)))
"""Whether a seal is true is not the chain's to ask."""


class Comet:
    """One application, its store, and the blocks that were decided so far."""

    def __init__(self, genesis=None, store=None, **settings):
        self.genesis = genesis or make_test_validator_genesis()
        self.store = MemoryStore() if store is None else store
        self.settings = settings
        self.adapter = Adapter(store=self.store, genesis=self.genesis, **settings)
        self.time = Timestamp(seconds=2)
        self.decided = []
        self.seats = len(compute_genesis_set(self.genesis).seats)
        if not self.adapter.tip.height:
            self.adapter.init_chain(self.make_init())

    @property
    def tip(self):
        return self.adapter.tip

    @property
    def sealed(self):
        return self.adapter.sealed

    @property
    def domain(self):
        return self.tip.domain

    def make_init(self, **changes):
        said = {
            "chain_id": compute_engine_chain_id(self.domain.chain_id, self.domain.genesis_hash),
            "consensus_params": ConsensusParams(version=VersionParams(app=APP_VERSION)),
            "validators": tuple(
                ValidatorUpdate(pub_key=PublicKey(ed25519=bytes(seat.key)), power=seat.power)
                for seat in compute_genesis_set(self.genesis).seats
            ),
            "app_state_bytes": encode_genesis(self.genesis),
            "initial_height": 1,
        }
        return RequestInitChain(**{**said, **changes})

    def restart(self):
        """The application dies and comes back; what its store does not hold is gone."""
        self.adapter = Adapter(store=self.store, genesis=self.genesis, **self.settings)
        return self

    def info(self):
        said = self.adapter.info(RequestInfo())
        return said.last_block_height, said.last_block_app_hash

    def nonce(self, signer):
        return self.tip.get_account(signer.address).nonce

    def make(self, signer, body, *, nonce=None, fee=FEE):
        nonce = self.nonce(signer) if nonce is None else nonce
        return encode(sign_transaction(self.domain, signer, nonce=nonce, fee_units=fee, body=body))

    def check(self, data, *, again=False):
        """CheckTx; returns the refusal's code, empty if the transaction may wait."""
        kind = CheckTxType.RECHECK if again else CheckTxType.NEW
        said = self.adapter.check_tx(RequestCheckTx(tx=data, type=kind))
        assert (said.code == 0) == (said.codespace == "")
        return said.codespace

    # Blocks

    def make_votes(self, missing=()):
        if not self.decided:
            return CommitInfo()
        return CommitInfo(
            votes=tuple(
                VoteInfo(
                    validator=Validator(address=consensus_address(n), power=POWER),
                    block_id_flag=BlockIDFlag.ABSENT if n in missing else BlockIDFlag.COMMIT,
                )
                for n in range(self.seats)
            )
        )

    def propose(self, *, room=ROOM, txs=(), missing=(), proposer=0):
        """PrepareProposal; returns the block as it is proposed to everybody."""
        votes = self.make_votes(missing)
        self.time = Timestamp(seconds=self.time.seconds + 1, nanos=self.time.nanos)
        said = self.adapter.prepare_proposal(
            RequestPrepareProposal(
                max_tx_bytes=room,
                txs=tuple(txs),
                local_last_commit=ExtendedCommitInfo(
                    votes=tuple(
                        ExtendedVoteInfo(validator=v.validator, block_id_flag=v.block_id_flag)
                        for v in votes.votes
                    )
                ),
                height=self.tip.height + 1,
                time=self.time,
                proposer_address=consensus_address(proposer),
            )
        )
        return self.make_block(said.txs, votes=votes, proposer=proposer)

    def make_block(self, txs, *, votes=None, proposer=0, misbehavior=(), height=None):
        return RequestFinalizeBlock(
            txs=tuple(txs),
            decided_last_commit=self.make_votes() if votes is None else votes,
            misbehavior=tuple(misbehavior),
            height=self.tip.height + 1 if height is None else height,
            time=self.time,
            proposer_address=consensus_address(proposer),
        )

    def judge(self, block):
        """ProcessProposal; the status."""
        said = self.adapter.process_proposal(
            RequestProcessProposal(
                txs=block.txs,
                proposed_last_commit=block.decided_last_commit,
                misbehavior=block.misbehavior,
                height=block.height,
                time=block.time,
                proposer_address=block.proposer_address,
            )
        )
        return said.status

    def finalize(self, block):
        return self.adapter.finalize_block(block)

    def commit(self):
        return self.adapter.commit(RequestCommit())

    def decide(self, block):
        """FinalizeBlock and Commit; returns what FinalizeBlock answered."""
        said = self.finalize(block)
        self.commit()
        self.decided.append(block)
        return said

    def block(self, *transactions):
        """Check, propose, judge, decide; returns the results' codes."""
        for data in transactions:
            assert self.check(data) == ""
        block = self.propose()
        assert self.judge(block) == 1
        return [found.codespace or "ok" for found in self.decide(block).tx_results]

    def do(self, signer, body, **settings):
        (code,) = self.block(self.make(signer, body, **settings))
        return code

    # Seals

    def seal(self):
        """Give the next header a seal, if its turn has come."""
        header = self.sealed.get_unsealed_header()
        if header is None:
            return False
        signed = SignedHeader(header=header, seal=NO_SEAL)
        self.store.commit(self.sealed.make_rows(signed))
        self.sealed.advance(signed)
        return True

    def records(self):
        return dict(self.store.scan("record", b"", b"", 100_000))
