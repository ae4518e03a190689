"""Registers a node: stake, registration, money for fees; what is done already is left alone.

Must not know a node's home.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.cli.amounts import format_units
from probatum.cli.reading import get_record, get_value
from probatum.cli.sending import get_domain, send_body
from probatum.cli.settings import Common
from probatum.errors import Refusal
from probatum.ledger.params import Params, decode_params, get_minimum_stake
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.parties import Role
from probatum.protocol.primitives import Address, address_to_hex, make_operating_signature
from probatum.protocol.records import (
    PARAMS_KEY,
    Account,
    NodeRecord,
    StakeRecord,
    get_account_key,
    get_node_key,
    get_stake_key,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import RegisterNode, Stake, Transfer
from probatum.protocol.transactions.signed import sign_authority

__all__ = ["NodePlan", "register_node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What is to be registered.

    Attributes:
        operator: Who owns the node and bonds its stake.
        operating: The key that the node signs with.
        payer: The account on the node's machine that pays its fees.
        endpoint: Where it is reached.
        role: What it does.
        fund_units: What the payer is to hold at least.
        replaces_key: Whether the operator's node may get this key in place of the one it has,
            which is retired for ever.
    """

    operator: AccountSigner
    operating: OperatingSigner
    payer: Address
    endpoint: str
    role: Role
    fund_units: int
    replaces_key: bool = False


def register_node(common: Common, plan: NodePlan) -> list[str]:
    """Do what is still missing, and say what was done, a line a step.

    Raises:
        Refusal: `node.operator-taken` if the operator has a node of another key that this would
            replace; the ledger's codes.
        Fault: `wire.*`, `sending.undecided`.
    """
    return [
        _ensure_stake(common, plan),
        _ensure_registration(common, plan),
        _ensure_funds(common, plan),
    ]


def _ensure_stake(common: Common, plan: NodePlan) -> str:
    value = get_value(common, PARAMS_KEY, prove=False).value
    params = Params() if value is None else decode_params(value)
    needed = get_minimum_stake(params, (plan.role,))
    record, _ = get_record(common, get_stake_key(plan.operator.address), StakeRecord)
    bonded = record.bonded if record else 0
    if bonded >= needed:
        return f"stake: {format_units(bonded)} tokens are bonded already"
    outcome = send_body(common, plan.operator, Stake(amount=needed - bonded))
    return f"stake: bonded {format_units(needed - bonded)} tokens in block {outcome.height}"


def _ensure_registration(common: Common, plan: NodePlan) -> str:
    address = plan.operator.address
    record, _ = get_record(common, get_node_key(address), NodeRecord)
    wanted = (plan.operating.key, plan.endpoint, (plan.role,))
    if record is not None:
        if (record.operating_key, record.endpoint, record.roles) == wanted:
            return "registration: as it should be already"
        if record.operating_key != plan.operating.key and not plan.replaces_key:
            raise Refusal(
                "node.operator-taken",
                f"{address_to_hex(address)} has a node with another key, at {record.endpoint}",
                hint="one account has one node: take another account for this one, or say "
                "--replace-key if this is that node's new key",
            )
    body = RegisterNode(
        operating_key=plan.operating.key,
        endpoint=plan.endpoint,
        roles=(plan.role,),
        authority=make_operating_signature(bytes(64)),
    )
    authority = sign_authority(get_domain(common), plan.operating, address, body)
    signed = RegisterNode(
        operating_key=body.operating_key,
        endpoint=body.endpoint,
        roles=body.roles,
        authority=authority,
    )
    outcome = send_body(common, plan.operator, signed)
    return f"registration: {plan.endpoint} as {plan.role} in block {outcome.height}"


def _ensure_funds(common: Common, plan: NodePlan) -> str:
    record, _ = get_record(common, get_account_key(plan.payer), Account)
    balance = record.balance if record else 0
    if balance >= plan.fund_units:
        return f"fees: {address_to_hex(plan.payer)} holds {format_units(balance)} tokens already"
    missing = plan.fund_units - balance
    outcome = send_body(common, plan.operator, Transfer(to=plan.payer, amount=missing))
    return (
        f"fees: {format_units(missing)} tokens to {address_to_hex(plan.payer)} "
        f"in block {outcome.height}"
    )
