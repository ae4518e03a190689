"""The ledger as CometBFT's application: ABCI's calls over one store (`ABCI-1` to `ABCI-3`).

Pure over a store: nothing here knows sockets or clocks. `finalize_block` computes and keeps
nothing; `commit` keeps height, hash, state and outcomes in one atomic step; `info` tells what was
kept last, whatever was computed since. Whatever the engine shows of a block on its way (a proposal
of its own, another's, the decision) is computed once as long as it is the same block. Must not
know what a transaction does. Read next: `tip`, `sealed`, `verdicts`, `inputs`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from probatum.consensus.chain.filling import FRAME_BYTES, fill_block
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.application import Answer
from probatum.consensus.cometbft.beginning import check_init_chain
from probatum.consensus.cometbft.inputs import make_block
from probatum.consensus.cometbft.messages import (
    RequestApplySnapshotChunk,
    RequestCheckTx,
    RequestCommit,
    RequestExtendVote,
    RequestFinalizeBlock,
    RequestInfo,
    RequestInitChain,
    RequestListSnapshots,
    RequestLoadSnapshotChunk,
    RequestOfferSnapshot,
    RequestPrepareProposal,
    RequestProcessProposal,
    RequestQuery,
    RequestVerifyVoteExtension,
    ResponseApplySnapshotChunk,
    ResponseCheckTx,
    ResponseCommit,
    ResponseExtendVote,
    ResponseFinalizeBlock,
    ResponseInfo,
    ResponseInitChain,
    ResponseListSnapshots,
    ResponseLoadSnapshotChunk,
    ResponseOfferSnapshot,
    ResponsePrepareProposal,
    ResponseProcessProposal,
    ResponseQuery,
    ResponseVerifyVoteExtension,
)
from probatum.consensus.cometbft.parts import (
    CheckTxType,
    ConsensusParams,
    ExecTxResult,
    ProposalStatus,
    PublicKey,
    ValidatorUpdate,
    VersionParams,
)
from probatum.consensus.cometbft.pruning import make_prune_rows
from probatum.consensus.cometbft.queries import answer_query
from probatum.consensus.cometbft.sealed import SealedChain
from probatum.consensus.cometbft.snapshot_calls import Shelf, SnapshotCalls, Work
from probatum.consensus.cometbft.tip import Applied, Tip
from probatum.consensus.cometbft.verdicts import CODE_OF_REFUSED, Verdicts, get_code
from probatum.consensus.engine import Row, Store
from probatum.errors import Misuse, Refusal
from probatum.ledger.fees import count_shares
from probatum.ledger.genesis import Genesis
from probatum.ledger.invariants import InvariantBroken
from probatum.protocol import limits
from probatum.protocol.blocks import Block

__all__ = ["Adapter", "Write"]

Write = Callable[[tuple[Row, ...]], Answer[None]]
"""Writes rows in one atomic step, now or later; when it is done they are durable."""
_MAY_WAIT: Final = ResponseCheckTx()
_HEAD_BYTES: Final = limits.EVIDENCE_BYTES + 64 * limits.KIB
"""At most what a block holds beside its transactions: misbehaviour, votes, height and time."""


class Adapter:
    """See the module. Implements `probatum.consensus.cometbft.application.Application`.

    Attributes:
        tip: The last committed block.
        sealed: What others are told of.
        verdicts: The pool.
    """

    def __init__(
        self,
        *,
        store: Store,
        genesis: Genesis,
        settings: AdapterSettings | None = None,
        write: Write | None = None,
        told: Callable[[Applied], None] = lambda _: None,
        shelf: Shelf | None = None,
        tell: Callable[[Refusal], None] = lambda _: None,
        work: Work = lambda job: job(),
    ) -> None:
        """Resume a chain from its store, or begin it in an empty one.

        Args:
            store: Where the chain is kept.
            genesis: The genesis document.
            settings: How it works.
            write: Writes to the store; its own `commit` if absent.
            told: Is called for each block once it is durable.
            shelf: The snapshots that are kept here.
            work: Does what takes long and keeps nobody else from being heard.
            tell: Is told why a snapshot that was offered here was refused, and when the next block
                is not this release's to decide.

        Raises:
            Fault: `store.other-format`, `store.other-chain`, `store.corrupt`.
        """
        self._settings = settings or AdapterSettings()
        self._genesis = genesis
        self._store = store
        self._write: Write = write or store.commit
        self._told = told
        self._tell = tell
        self._versions = self._settings.versions
        self._snapshots = SnapshotCalls(
            store,
            genesis,
            shelf,
            self._reopen,
            work=work,
            oldest=self._settings.oldest_snapshot,
            tell=tell,
        )
        self.tip = Tip(
            store,
            genesis,
            cached_nodes=self._settings.cached_nodes,
            cached_records=self._settings.cached_records,
        )
        self.verdicts = Verdicts(self.tip.domain, self.tip.get_account)
        keep_changes = self._settings.keep_changes
        self.sealed = SealedChain(store, self.tip, self.verdicts, keep_changes=keep_changes)
        self._applied: Applied | None = None
        self._finalized: Applied | None = None
        self._tell_halt()

    def _reopen(self) -> None:
        """Look again at a store that was restored from a snapshot."""
        self.tip.load()
        self.sealed.load()
        self._applied = self._finalized = None

    # Start

    def reconnected(self) -> None:
        """Forget what was not committed: the engine that asked for it is gone."""
        self._finalized = None
        self.verdicts.forget_pool()
        self._snapshots.abandon()

    def info(self, request: RequestInfo, /) -> ResponseInfo:
        """Say exactly what was kept last."""
        del request
        return ResponseInfo(
            data="probatum",
            version=str(self._versions.known),
            app_version=self._versions.get(self.tip.height + 1),
            last_block_height=self.tip.height,
            last_block_app_hash=self.tip.app_hash,
        )

    def init_chain(self, request: RequestInitChain, /) -> ResponseInitChain:
        """Begin the chain, if the engine's genesis file is the one that belongs to ours.

        Raises:
            Refusal: `abci.other-genesis`, `encoding.*`, `genesis.*`.
            Misuse: `abci.wrong-turn` if the chain has begun.
        """
        if self.tip.height:
            raise Misuse("abci.wrong-turn", f"the chain is at height {self.tip.height} already")
        check_init_chain(self._genesis, request, self._versions.get(1))
        return ResponseInitChain(app_hash=self.tip.domain.genesis_hash)

    # The pool

    def check_tx(self, request: RequestCheckTx, /) -> ResponseCheckTx:
        """Judge a transaction for the pool: the rules of the embedded engine's."""
        again = request.type == CheckTxType.RECHECK
        judge = self.verdicts.readmit if again else self.verdicts.admit
        try:
            judge(request.tx, self.tip.params, self.tip.height)
        except Refusal as refusal:
            return ResponseCheckTx(
                code=CODE_OF_REFUSED, codespace=refusal.code, log=refusal.message[:2_000]
            )
        return _MAY_WAIT

    # Blocks

    def prepare_proposal(self, request: RequestPrepareProposal, /) -> ResponsePrepareProposal:
        """Fill a block from the pool by the embedded engine's rules."""
        if not self._versions.is_known(request.height):
            return ResponsePrepareProposal()
        for data in request.txs:
            try:
                self.verdicts.admit(data, self.tip.params, self.tip.height)
            except Refusal:
                continue
        empty = make_block(
            height=request.height,
            time=request.time,
            last_time_ms=self.tip.time_ms,
            transactions=(),
            proposer=request.proposer_address,
            last_commit=request.local_last_commit,
            misbehavior=request.misbehavior,
        )
        run = self.tip.start(empty)
        filled = fill_block(
            run,
            self.verdicts.pool,
            most=min(self._settings.block_transactions, limits.BLOCK_TRANSACTIONS),
            room_bytes=min(request.max_tx_bytes, limits.BLOCK_BYTES - _HEAD_BYTES),
        )
        chosen = tuple(entry.data for entry in filled.entries)
        block = Block(
            height=empty.height,
            time_ms=empty.time_ms,
            transactions=chosen,
            proposer=empty.proposer,
            votes=empty.votes,
            misbehaviour=empty.misbehaviour,
        )
        try:
            self._applied = self.tip.conclude(block, run, filled.codes)
        except InvariantBroken:
            # A bug that some transaction brings out must not stop whoever meets it first.
            return ResponsePrepareProposal()
        return ResponsePrepareProposal(txs=chosen)

    def process_proposal(self, request: RequestProcessProposal, /) -> ResponseProcessProposal:
        """Accept a proposal all of whose transactions pay their fees, and that fits.

        A function of the committed state and the proposal alone.
        """
        if request.height != self.tip.height + 1 or not self._versions.is_known(request.height):
            return ResponseProcessProposal(status=ProposalStatus.REJECT)
        block = make_block(
            height=request.height,
            time=request.time,
            last_time_ms=self.tip.time_ms,
            transactions=request.txs,
            proposer=request.proposer_address,
            last_commit=request.proposed_last_commit,
            misbehavior=request.misbehavior,
        )
        good = self._is_good(block)
        return ResponseProcessProposal(
            status=ProposalStatus.ACCEPT if good else ProposalStatus.REJECT
        )

    def _is_good(self, block: Block) -> bool:
        data = block.transactions
        size = sum(map(len, data)) + len(data) * FRAME_BYTES
        if len(data) > limits.BLOCK_TRANSACTIONS or size > limits.BLOCK_BYTES - _HEAD_BYTES:
            return False
        try:
            opened = [self.verdicts.open_one(self.tip.domain, one) for one in data]
        except Refusal:
            return False
        if sum(count_shares(one.body) for one in opened) > limits.BLOCK_TRANSACTIONS:
            return False
        try:
            return all(self._apply(block).did.charged)
        except InvariantBroken:
            return False

    def _apply(self, block: Block) -> Applied:
        """Apply a block, unless the last one that was applied is this very one."""
        if self._applied is None or self._applied.block != block:
            self._applied = None
            self._applied = self.tip.apply(block, self.verdicts.open_one)
        return self._applied

    def finalize_block(self, request: RequestFinalizeBlock, /) -> ResponseFinalizeBlock:
        """Apply a decided block, whatever is in it, and keep nothing yet.

        Raises:
            Misuse: `abci.wrong-turn` if the height is not the next.
            Refusal: `full.newer-rules` if this release does not know the rules of that height.
            InvariantBroken: `ledger.invariant-broken`, a bug of this software.
        """
        if request.height != self.tip.height + 1:
            raise Misuse("abci.wrong-turn", f"height {request.height} came after {self.tip.height}")
        self._versions.check_known(request.height)
        block = make_block(
            height=request.height,
            time=request.time,
            last_time_ms=self.tip.time_ms,
            transactions=request.txs,
            proposer=request.proposer_address,
            last_commit=request.decided_last_commit,
            misbehavior=request.misbehavior,
        )
        applied = self._finalized = self._apply(block)
        results = zip(applied.did.results, applied.did.charged, strict=True)
        return ResponseFinalizeBlock(
            tx_results=tuple(_show_result(found.code, charged=paid) for found, paid in results),
            validator_updates=tuple(
                ValidatorUpdate(pub_key=PublicKey(ed25519=bytes(found.key)), power=found.power)
                for found in applied.validator_updates
            ),
            consensus_param_updates=self._announce(request.height),
            app_hash=applied.app_hash,
        )

    def _announce(self, height: int) -> ConsensusParams | None:
        """Tell the engine which rules decide the next block, if they are others."""
        following = self._versions.get_next(height)
        if following is None:
            return None
        return ConsensusParams(version=VersionParams(app=following))

    def commit(self, request: RequestCommit, /) -> Answer[ResponseCommit]:
        """Keep the finalized block in one atomic step.

        Raises:
            Misuse: `abci.wrong-turn` if there is none.
            Fault: as the store's `commit`.
        """
        del request
        applied, self._finalized = self._finalized, None
        if applied is None:
            raise Misuse("abci.wrong-turn", "no block was finalized since the last commit")
        prune = make_prune_rows(self._store, self._get_oldest(applied.block.height) - 1)
        written = self._write((*self.tip.make_rows(applied), *prune))
        if inspect.isawaitable(written):
            return self._commit_later(applied, written)
        return self._committed(applied)

    async def _commit_later(self, applied: Applied, written: Awaitable[None]) -> ResponseCommit:
        await written
        return self._committed(applied)

    def _committed(self, applied: Applied) -> ResponseCommit:
        self.tip.advance(applied)
        self._applied = None
        self.verdicts.settle(applied.block.transactions, applied.block.height)
        self._told(applied)
        self._tell_halt()
        return ResponseCommit(retain_height=max(0, self._get_oldest(applied.block.height)))

    def _tell_halt(self) -> None:
        """Say so, once, if the next block is not this release's to decide."""
        try:
            self._versions.check_known(self.tip.height + 1)
        except Refusal as refusal:
            self._tell(refusal)

    def _get_oldest(self, height: int) -> int:
        """Get the oldest height that is still kept after a block; 0 or less keeps all."""
        keep = self._settings.keep_blocks
        # The engine's commits are what seals are made of.
        return min(height - keep + 1, self.tip.sealed_height) if keep else 0

    # Everything else

    def query(self, request: RequestQuery, /) -> ResponseQuery:
        """Answer a stranger's question about the sealed height."""
        return answer_query(self.sealed, request)

    def extend_vote(self, request: RequestExtendVote, /) -> ResponseExtendVote:
        """Extend no vote. Raises Misuse `abci.wrong-turn`: extensions are switched off."""
        raise Misuse("abci.wrong-turn", f"votes are not extended, at height {request.height}")

    def verify_vote_extension(
        self, request: RequestVerifyVoteExtension, /
    ) -> ResponseVerifyVoteExtension:
        """Take no extended vote. Raises Misuse `abci.wrong-turn`."""
        raise Misuse("abci.wrong-turn", f"votes are not extended, at height {request.height}")

    def list_snapshots(self, request: RequestListSnapshots, /) -> ResponseListSnapshots:
        """List the snapshots that are kept here."""
        del request
        return ResponseListSnapshots(snapshots=self._snapshots.list_kept())

    def load_snapshot_chunk(
        self, request: RequestLoadSnapshotChunk, /
    ) -> ResponseLoadSnapshotChunk:
        """Give a chunk, or nothing if it is not kept."""
        return ResponseLoadSnapshotChunk(chunk=self._snapshots.load(request))

    def offer_snapshot(self, request: RequestOfferSnapshot, /) -> ResponseOfferSnapshot:
        """Begin to restore a snapshot whose header is the proven one."""
        answer = self._snapshots.offer(request, self.tip.height)
        self.sealed.is_restoring = self._snapshots.is_restoring
        return answer

    def apply_snapshot_chunk(
        self, request: RequestApplySnapshotChunk, /
    ) -> Answer[ResponseApplySnapshotChunk]:
        """Take a chunk; with the last one the store is that of the snapshot's height."""
        return self._snapshots.apply(request)


def _show_result(code: str, *, charged: bool) -> ExecTxResult:
    number = get_code(code, charged=charged)
    return ExecTxResult(code=number, codespace=code if number else "")
