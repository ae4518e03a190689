"""Applying a block (`HEADER-1`): transactions in order, each wholly or not, then the invariants.

Two kinds of refusal. Before the fee (undecodable, wrong signature, wrong nonce, fee too low or
not covered) nothing changes, as if the transaction had not been there; a proposer leaves such
ones out. After it the fee is burned and the nonce used, whatever the handler says: an outcome is
final, and nobody can have the same bytes applied again. Must not know who proposes (`consensus`)
nor how changes are kept. Read next: `handlers`, `invariants`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from probatum.errors import Refusal
from probatum.ledger import invariants
from probatum.ledger.balances import burn
from probatum.ledger.context import Context
from probatum.ledger.fees import get_least_fee
from probatum.ledger.handlers.challenge_receipt import apply_challenge_receipt
from probatum.ledger.handlers.close_challenge import apply_close_challenge
from probatum.ledger.handlers.close_escrow import apply_close_escrow
from probatum.ledger.handlers.collect_vouchers import apply_collect_vouchers
from probatum.ledger.handlers.convict_omission import apply_convict_omission
from probatum.ledger.handlers.declare_loss import apply_declare_loss
from probatum.ledger.handlers.fund_escrow import apply_fund_escrow
from probatum.ledger.handlers.heartbeat import apply_heartbeat
from probatum.ledger.handlers.offer import apply_offer
from probatum.ledger.handlers.open_log import apply_open_log
from probatum.ledger.handlers.publish_model import apply_publish_model
from probatum.ledger.handlers.register_node import apply_register_node
from probatum.ledger.handlers.register_publisher_key import apply_register_publisher_key
from probatum.ledger.handlers.register_validator import apply_register_validator
from probatum.ledger.handlers.report_no_prefix import apply_report_no_prefix
from probatum.ledger.handlers.report_two_charges import apply_report_two_charges
from probatum.ledger.handlers.report_two_receipts import apply_report_two_receipts
from probatum.ledger.handlers.report_two_releases import apply_report_two_releases
from probatum.ledger.handlers.report_wrong_entry import apply_report_wrong_entry
from probatum.ledger.handlers.return_receipt import apply_return_receipt
from probatum.ledger.handlers.settle_checkpoint import apply_settle_checkpoint
from probatum.ledger.handlers.stake import apply_stake
from probatum.ledger.handlers.stake_consensus import apply_stake_consensus
from probatum.ledger.handlers.transfer import apply_transfer
from probatum.ledger.handlers.unjail import apply_unjail
from probatum.ledger.handlers.unstake import apply_unstake
from probatum.ledger.handlers.unstake_consensus import apply_unstake_consensus
from probatum.ledger.handlers.withdraw import apply_withdraw
from probatum.ledger.handlers.withdraw_consensus import apply_withdraw_consensus
from probatum.ledger.handlers.withdraw_escrow import apply_withdraw_escrow
from probatum.ledger.handlers.withdraw_offer import apply_withdraw_offer
from probatum.ledger.misbehaviour import convict_validator
from probatum.ledger.params import Params
from probatum.ledger.state import Reader, State
from probatum.ledger.validators import seat_validators
from probatum.ledger.votes import count_votes
from probatum.protocol.blocks import (
    Block,
    Change,
    Misbehaviour,
    TransactionResult,
    ValidatorUpdate,
    Vote,
)
from probatum.protocol.eip712 import Domain
from probatum.protocol.primitives import Address
from probatum.protocol.records import Account
from probatum.protocol.transactions.kinds import (
    Accusation,
    Body,
    ChallengeReceipt,
    CloseChallenge,
    CloseEscrow,
    CollectVouchers,
    ConvictOmission,
    DeclareLoss,
    FundEscrow,
    Heartbeat,
    Offer,
    OpenLog,
    PaymentBody,
    PublishModel,
    Recovery,
    RegisterNode,
    RegisterPublisherKey,
    ReportNoPrefix,
    ReportTwoCharges,
    ReportTwoReceipts,
    ReportTwoReleases,
    ReportWrongEntry,
    ReturnReceipt,
    SettleCheckpoint,
    Stake,
    Transfer,
    Unstake,
    Withdraw,
    WithdrawEscrow,
    WithdrawOffer,
)
from probatum.protocol.transactions.signed import (
    SignedTransaction,
    check_sender,
    decode_transaction,
)
from probatum.protocol.transactions.validators import (
    RegisterValidator,
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    ValidatorBody,
    WithdrawConsensus,
)

__all__ = [
    "OK",
    "AppliedBlock",
    "BlockRun",
    "apply_block",
    "check_fee",
    "open_transaction",
]

OK: Final = "ok"
"""The code of a transaction that did what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBlock:
    """What a block did.

    Attributes:
        changes: Records written, in key order.
        results: One for each transaction of the block.
        charged: Whether each transaction paid its fee, so that its result is final.
        validator_updates: What an engine of validators must be told, sorted by key (`VAL-1`).
    """

    changes: tuple[Change, ...]
    results: tuple[TransactionResult, ...]
    charged: tuple[bool, ...]
    validator_updates: tuple[ValidatorUpdate, ...] = ()


def open_transaction(domain: Domain, data: bytes) -> SignedTransaction:
    """Decode a transaction and check its sender's signature.

    Raises:
        Refusal: `encoding.*`, `secp256k1.bad-signature`, `transaction.wrong-signer`.
    """
    transaction = decode_transaction(data)
    check_sender(domain, transaction)
    return transaction


def check_fee(params: Params, account: Account, transaction: SignedTransaction) -> None:
    """Check that a fee is high enough and that the account has it.

    Raises:
        Refusal: `ledger.fee-too-low`, `ledger.fee-not-covered`.
    """
    fee_units, least = transaction.fee_units, get_least_fee(params, transaction.body)
    if fee_units < least:
        raise Refusal("ledger.fee-too-low", f"the fee is {fee_units} units, the least is {least}")
    if account.balance < fee_units:
        raise Refusal(
            "ledger.fee-not-covered",
            f"the balance of {account.balance} units does not cover the fee of {fee_units}",
        )


class BlockRun:
    """A block while it is applied: give it transactions one by one, then `finish`.

    Attributes:
        validator_updates: After `finish`, what an engine of validators must be told.
    """

    def __init__(
        self,
        reader: Reader,
        domain: Domain,
        *,
        height: int,
        time_ms: int,
        votes: tuple[Vote, ...] = (),
        misbehaviour: tuple[Misbehaviour, ...] = (),
    ) -> None:
        """Begin a block over the committed state of the height before.

        Args:
            reader: That state.
            domain: What signatures must be for.
            height: As in the `Block`, like the arguments after it.
            time_ms: The header time.
            votes: On the block before.
            misbehaviour: That the block holds proof of.
        """
        self.validator_updates: tuple[ValidatorUpdate, ...] = ()
        self._state = State(reader)
        self._context = Context(
            domain=domain,
            height=height,
            time_ms=time_ms,
            params=self._state.get_params(),
            consensus=self._state.get_consensus_params(),
        )
        if self._context.consensus is not None:
            # Before all transactions: what is to be slashed cannot be withdrawn first.
            for found in misbehaviour:
                convict_validator(self._state, self._context, self._context.consensus, found)
            count_votes(self._state, self._context, self._context.consensus, votes)

    def apply(self, transaction: SignedTransaction) -> str:
        """Apply a transaction whose signature has been checked, and return its final code.

        Raises:
            Refusal: `ledger.wrong-nonce`, `ledger.fee-too-low`, `ledger.fee-not-covered`; then
                nothing has changed.
        """
        state = self._state
        self._charge(transaction)
        state.begin()
        try:
            _handle(state, self._context, transaction.sender, transaction.body)
        except Refusal as refusal:
            state.roll_back()
            return refusal.code
        return OK

    def _charge(self, transaction: SignedTransaction) -> None:
        state, sender, fee = self._state, transaction.sender, transaction.fee_units
        account = state.get_account(sender)
        if transaction.nonce != account.nonce:
            raise Refusal(
                "ledger.wrong-nonce",
                f"the account's next nonce is {account.nonce}, not {transaction.nonce}",
            )
        check_fee(self._context.params, account, transaction)
        state.put_account(sender, Account(balance=account.balance - fee, nonce=account.nonce + 1))
        burn(state, fee)

    def finish(self) -> tuple[Change, ...]:
        """End the block: seat validators, check the invariants and encode the changes.

        Raises:
            InvariantBroken: `ledger.invariant-broken`, a bug of this software.
        """
        if self._context.consensus is not None:
            self.validator_updates = seat_validators(self._state, self._context.consensus)
        invariants.check_changes(self._state.iterate_changes())
        return self._state.compute_changes()


def apply_block(
    reader: Reader,
    block: Block,
    domain: Domain,
    *,
    open_one: Callable[[Domain, bytes], SignedTransaction] = open_transaction,
) -> AppliedBlock:
    """Apply a decided block, whatever is in it.

    Args:
        reader: The committed state of the height before.
        block: The block.
        domain: What signatures must be for.
        open_one: How a transaction is opened; an engine that has checked it before passes a
            function that remembers.

    Raises:
        InvariantBroken: `ledger.invariant-broken`, a bug of this software.
    """
    run = BlockRun(
        reader,
        domain,
        height=block.height,
        time_ms=block.time_ms,
        votes=block.votes,
        misbehaviour=block.misbehaviour,
    )
    codes: list[str] = []
    charged: list[bool] = []
    for data in block.transactions:
        try:
            codes.append(run.apply(open_one(domain, data)))
            charged.append(True)
        except Refusal as refusal:
            codes.append(refusal.code)
            charged.append(False)
    changes = run.finish()
    return AppliedBlock(
        changes=changes,
        results=tuple(TransactionResult(code=code) for code in codes),
        charged=tuple(charged),
        validator_updates=run.validator_updates,
    )


def _handle(state: State, context: Context, sender: Address, body: Body) -> None:
    match body:
        case Transfer():
            apply_transfer(state, context, sender, body)
        case Stake():
            apply_stake(state, context, sender, body)
        case Unstake():
            apply_unstake(state, context, sender, body)
        case Withdraw():
            apply_withdraw(state, context, sender, body)
        case RegisterNode():
            apply_register_node(state, context, sender, body)
        case PublishModel():
            apply_publish_model(state, context, sender, body)
        case Offer():
            apply_offer(state, context, sender, body)
        case WithdrawOffer():
            apply_withdraw_offer(state, context, sender, body)
        case OpenLog():
            apply_open_log(state, context, sender, body)
        case SettleCheckpoint():
            apply_settle_checkpoint(state, context, sender, body)
        case Heartbeat():
            apply_heartbeat(state, context, sender, body)
        case RegisterPublisherKey():
            apply_register_publisher_key(state, context, sender, body)
        case _:
            _handle_log_case(state, context, sender, body)


def _handle_log_case(
    state: State,
    context: Context,
    sender: Address,
    body: Accusation | PaymentBody | Recovery | ValidatorBody,
) -> None:
    match body:
        case ReportTwoReceipts():
            apply_report_two_receipts(state, context, sender, body)
        case ReportWrongEntry():
            apply_report_wrong_entry(state, context, sender, body)
        case ReportNoPrefix():
            apply_report_no_prefix(state, context, sender, body)
        case ChallengeReceipt():
            apply_challenge_receipt(state, context, sender, body)
        case CloseChallenge():
            apply_close_challenge(state, context, sender, body)
        case ConvictOmission():
            apply_convict_omission(state, context, sender, body)
        case DeclareLoss():
            apply_declare_loss(state, context, sender, body)
        case ReturnReceipt():
            apply_return_receipt(state, context, sender, body)
        case _:
            _handle_payment(state, context, sender, body)


def _handle_payment(
    state: State, context: Context, sender: Address, body: PaymentBody | ValidatorBody
) -> None:
    match body:
        case FundEscrow():
            apply_fund_escrow(state, context, sender, body)
        case CollectVouchers():
            apply_collect_vouchers(state, context, sender, body)
        case CloseEscrow():
            apply_close_escrow(state, context, sender, body)
        case WithdrawEscrow():
            apply_withdraw_escrow(state, context, sender, body)
        case ReportTwoCharges():
            apply_report_two_charges(state, context, sender, body)
        case ReportTwoReleases():
            apply_report_two_releases(state, context, sender, body)
        case _:
            _handle_validator(state, context, sender, body)


def _handle_validator(state: State, context: Context, sender: Address, body: ValidatorBody) -> None:
    match body:
        case RegisterValidator():
            apply_register_validator(state, context, sender, body)
        case StakeConsensus():
            apply_stake_consensus(state, context, sender, body)
        case UnstakeConsensus():
            apply_unstake_consensus(state, context, sender, body)
        case WithdrawConsensus():
            apply_withdraw_consensus(state, context, sender, body)
        case Unjail():
            apply_unjail(state, context, sender, body)
        case _:
            assert_never(body)
