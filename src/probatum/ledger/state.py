"""The state as one block sees it: decoded records over a reader, and what the block changed.

Every record that a block touches is read and decoded once and encoded once, at the end. A
transaction that is refused is rolled back to where it began. Must not know rules (`handlers`)
nor how the state is kept (`statemap`, the engine's store).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.parties import ArithmeticClass, ModelName, ModelVersion
from probatum.protocol.primitives import Address, ConsensusAddress, Digest, OperatingKey
from probatum.protocol.records import (
    PARAMS_KEY,
    SUPPLY_KEY,
    Account,
    ChallengeRecord,
    EscrowRecord,
    KeyRecord,
    LogRecord,
    LossRecord,
    ModelRecord,
    NameRecord,
    NodeRecord,
    OffenceKind,
    OffenceRecord,
    OfferRecord,
    PackageNameRecord,
    PublisherKeyRecord,
    PublisherRecord,
    ReturnRecord,
    StakeRecord,
    Supply,
    get_account_key,
    get_challenge_key,
    get_charge_key,
    get_escrow_key,
    get_key_key,
    get_log_key,
    get_loss_key,
    get_model_key,
    get_name_key,
    get_node_key,
    get_offence_key,
    get_offer_key,
    get_package_name_key,
    get_publisher_key,
    get_publisher_key_key,
    get_return_key,
    get_stake_key,
)
from probatum.protocol.validators import (
    CONSENSUS_PARAMS_KEY,
    VALIDATOR_SET_KEY,
    ConsensusKeyRecord,
    InfractionRecord,
    MissedRecord,
    ValidatorRecord,
    ValidatorSet,
    get_attack_key,
    get_consensus_key_key,
    get_infraction_key,
    get_missed_key,
    get_validator_key,
)

__all__ = ["EMPTY_ACCOUNT", "EMPTY_STAKE", "Reader", "State"]

R = TypeVar("R", bound=LedgerValue)

EMPTY_ACCOUNT = Account(balance=0, nonce=0)
"""What an account without a record has."""
EMPTY_STAKE = StakeRecord(bonded=0, unbonding=())
"""What an account without a stake record has bonded."""


class Reader(Protocol):
    """Where committed records are read from."""

    def get(self, key: bytes) -> bytes | None:
        """Get a record's bytes, or None."""


class State:
    """One block's view of the state.

    A getter answers what is there now, writes of this block included; a `put_` writes. Between
    `begin` and `roll_back` nothing is lost that was there before.
    """

    __slots__ = ("_before", "_now", "_reader", "_touched", "_undo")

    def __init__(self, reader: Reader) -> None:
        """Make the view of a block that has changed nothing yet."""
        self._reader = reader
        self._before: dict[bytes, LedgerValue | None] = {}
        self._now: dict[bytes, LedgerValue | None] = {}
        self._undo: dict[bytes, LedgerValue | None] = {}
        self._touched: set[Address] = set()

    def begin(self) -> None:
        """Take what is there now as what `roll_back` returns to."""
        self._undo = {}

    def roll_back(self) -> None:
        """Forget all writes since `begin`."""
        self._now.update(self._undo)
        self._undo = {}

    def iterate_changes(
        self,
    ) -> Iterator[tuple[bytes, LedgerValue | None, LedgerValue | None]]:
        """Yield key, value before the block and value now of every changed record, by key."""
        for key in sorted(self._now):
            before, now = self._before[key], self._now[key]
            if before is not now and before != now:
                yield key, before, now

    def compute_changes(self) -> tuple[Change, ...]:
        """Encode what the block changed, in key order."""
        return tuple(
            Change(key=key, value=None if now is None else encode(now))
            for key, _, now in self.iterate_changes()
        )

    def _get(self, key: bytes, kind: type[R]) -> R | None:
        try:
            return self._now[key]  # type: ignore[return-value]  # a key has one kind of record
        except KeyError:
            data = self._reader.get(key)
        value = None
        if data is not None:
            value = decode(kind, data, limit_bytes=limits.STATE_VALUE_BYTES)
        self._before[key] = self._now[key] = value
        return value

    def _put(self, key: bytes, value: R | None, kind: type[R]) -> None:
        before = self._get(key, kind)
        self._undo.setdefault(key, before)
        self._now[key] = value

    def get_params(self) -> Params:
        """Get the parameters; genesis has put them there."""
        params = self._get(PARAMS_KEY, Params)
        assert params is not None, "a state without parameters"
        return params

    def get_supply(self) -> Supply:
        """Get the supply; genesis has put it there."""
        supply = self._get(SUPPLY_KEY, Supply)
        assert supply is not None, "a state without supply"
        return supply

    def put_supply(self, supply: Supply) -> None:
        """Write the supply."""
        self._put(SUPPLY_KEY, supply, Supply)

    def get_account(self, account: Address) -> Account:
        """Get an account; one without a record is empty."""
        return self._get(get_account_key(account), Account) or EMPTY_ACCOUNT

    def put_account(self, account: Address, record: Account) -> None:
        """Write an account."""
        self._put(get_account_key(account), record, Account)

    def get_stake(self, account: Address) -> StakeRecord:
        """Get an account's stake; one without a record has none."""
        return self._get(get_stake_key(account), StakeRecord) or EMPTY_STAKE

    def put_stake(self, account: Address, record: StakeRecord) -> None:
        """Write an account's stake; one that is empty leaves no record."""
        self._put(get_stake_key(account), None if record == EMPTY_STAKE else record, StakeRecord)

    def get_node(self, account: Address) -> NodeRecord | None:
        """Get an operator's node."""
        return self._get(get_node_key(account), NodeRecord)

    def put_node(self, record: NodeRecord) -> None:
        """Write an operator's node."""
        self._put(get_node_key(record.account), record, NodeRecord)

    def get_key(self, key: OperatingKey) -> KeyRecord | None:
        """Get whose operating key this is or was."""
        return self._get(get_key_key(key), KeyRecord)

    def put_key(self, key: OperatingKey, record: KeyRecord) -> None:
        """Write whose operating key this is."""
        self._put(get_key_key(key), record, KeyRecord)

    def get_name(self, name: ModelName) -> NameRecord | None:
        """Get whose model name this is."""
        return self._get(get_name_key(name), NameRecord)

    def put_name(self, name: ModelName, record: NameRecord) -> None:
        """Write whose model name this is."""
        self._put(get_name_key(name), record, NameRecord)

    def get_model(self, name: ModelName, version: ModelVersion) -> ModelRecord | None:
        """Get a published model version."""
        return self._get(get_model_key(name, version), ModelRecord)

    def put_model(self, record: ModelRecord) -> None:
        """Write a published model version."""
        self._put(get_model_key(record.name, record.version), record, ModelRecord)

    def put_package_name(self, package: Digest, record: PackageNameRecord) -> None:
        """Write a name that a package was published under."""
        key = get_package_name_key(package, record.name, record.version)
        self._put(key, record, PackageNameRecord)

    def get_publisher(self, account: Address) -> PublisherRecord | None:
        """Get which key signs an account's packages."""
        return self._get(get_publisher_key(account), PublisherRecord)

    def put_publisher(self, record: PublisherRecord) -> None:
        """Write which key signs an account's packages."""
        self._put(get_publisher_key(record.account), record, PublisherRecord)

    def get_publisher_key(self, key_id: Digest) -> PublisherKeyRecord | None:
        """Get whose packages a key signs or signed."""
        return self._get(get_publisher_key_key(key_id), PublisherKeyRecord)

    def put_publisher_key(self, key_id: Digest, record: PublisherKeyRecord) -> None:
        """Write whose packages a key signs or signed."""
        self._put(get_publisher_key_key(key_id), record, PublisherKeyRecord)

    def get_offer(
        self, operator: Address, package: Digest, arithmetic: ArithmeticClass
    ) -> OfferRecord | None:
        """Get an operator's offer."""
        return self._get(get_offer_key(operator, package, arithmetic), OfferRecord)

    def put_offer(self, record: OfferRecord) -> None:
        """Write an operator's offer."""
        key = get_offer_key(record.operator, record.package, record.arithmetic)
        self._put(key, record, OfferRecord)

    def remove_offer(self, operator: Address, package: Digest, arithmetic: ArithmeticClass) -> None:
        """Delete an operator's offer."""
        self._put(get_offer_key(operator, package, arithmetic), None, OfferRecord)

    def get_log(self, operator: Address, session: int) -> LogRecord | None:
        """Get a log session."""
        return self._get(get_log_key(operator, session), LogRecord)

    def put_log(self, record: LogRecord) -> None:
        """Write a log session."""
        self._put(get_log_key(record.operator, record.session), record, LogRecord)

    def get_challenge(self, operator: Address, session: int, index: int) -> ChallengeRecord | None:
        """Get the open challenge of a log's entry."""
        return self._get(get_challenge_key(operator, session, index), ChallengeRecord)

    def put_challenge(self, record: ChallengeRecord) -> None:
        """Open a challenge."""
        key = get_challenge_key(record.operator, record.session, record.index)
        self._put(key, record, ChallengeRecord)

    def remove_challenge(self, record: ChallengeRecord) -> None:
        """Delete a challenge that ended."""
        key = get_challenge_key(record.operator, record.session, record.index)
        self._put(key, None, ChallengeRecord)

    def get_escrow(self, escrow: Digest) -> EscrowRecord | None:
        """Get an escrow."""
        return self._get(get_escrow_key(escrow), EscrowRecord)

    def put_escrow(self, escrow: Digest, record: EscrowRecord) -> None:
        """Write an escrow."""
        self._put(get_escrow_key(escrow), record, EscrowRecord)

    def get_charge(self, operator: Address, first_record: Digest) -> OffenceRecord | None:
        """Get a gateway's conviction."""
        return self._get(get_charge_key(operator, first_record), OffenceRecord)

    def put_charge(self, first_record: Digest, record: OffenceRecord) -> None:
        """Write a gateway's conviction."""
        self._put(get_charge_key(record.operator, first_record), record, OffenceRecord)

    def get_loss(self, operator: Address) -> LossRecord | None:
        """Get the last loss that an operator's node declared."""
        return self._get(get_loss_key(operator), LossRecord)

    def put_loss(self, record: LossRecord) -> None:
        """Write the last loss of an operator's node."""
        self._put(get_loss_key(record.operator), record, LossRecord)

    def get_return(self, operator: Address, session: int, index: int) -> ReturnRecord | None:
        """Get where a lost entry is now."""
        return self._get(get_return_key(operator, session, index), ReturnRecord)

    def put_return(self, record: ReturnRecord) -> None:
        """Write where a lost entry is now."""
        key = get_return_key(record.operator, record.session, record.index)
        self._put(key, record, ReturnRecord)

    def get_offence(
        self, operator: Address, session: int, kind: OffenceKind, index: int
    ) -> OffenceRecord | None:
        """Get a conviction."""
        return self._get(get_offence_key(operator, session, kind, index), OffenceRecord)

    def put_offence(self, record: OffenceRecord) -> None:
        """Write a conviction."""
        key = get_offence_key(record.operator, record.session, record.kind, record.index)
        self._put(key, record, OffenceRecord)

    def get_consensus_params(self) -> ConsensusParams | None:
        """Get the parameters of validators; None where there are none."""
        return self._get(CONSENSUS_PARAMS_KEY, ConsensusParams)

    def get_validator(self, account: Address) -> ValidatorRecord | None:
        """Get who validates, or did."""
        return self._get(get_validator_key(account), ValidatorRecord)

    def put_validator(self, record: ValidatorRecord) -> None:
        """Write who validates."""
        self._touched.add(record.account)
        self._put(get_validator_key(record.account), record, ValidatorRecord)

    def get_touched_validators(self) -> frozenset[Address]:
        """Get whose validators were written in this block, even if it was undone."""
        return frozenset(self._touched)

    def get_consensus_key(self, address: ConsensusAddress) -> ConsensusKeyRecord | None:
        """Get whose consensus key this is or was."""
        return self._get(get_consensus_key_key(address), ConsensusKeyRecord)

    def put_consensus_key(self, address: ConsensusAddress, record: ConsensusKeyRecord) -> None:
        """Write whose consensus key this is."""
        self._put(get_consensus_key_key(address), record, ConsensusKeyRecord)

    def get_validator_set(self) -> ValidatorSet:
        """Get who has a seat; genesis has put it there where there are validators."""
        found = self._get(VALIDATOR_SET_KEY, ValidatorSet)
        assert found is not None, "a state without validators"
        return found

    def put_validator_set(self, record: ValidatorSet) -> None:
        """Write who has a seat."""
        self._put(VALIDATOR_SET_KEY, record, ValidatorSet)

    def get_missed(self, account: Address) -> MissedRecord | None:
        """Get how many votes a validator missed in the last window in which it missed any."""
        return self._get(get_missed_key(account), MissedRecord)

    def put_missed(self, record: MissedRecord) -> None:
        """Write how many votes a validator missed."""
        self._put(get_missed_key(record.account), record, MissedRecord)

    def remove_missed(self, account: Address) -> None:
        """Forget missed votes that were punished."""
        self._put(get_missed_key(account), None, MissedRecord)

    def get_infraction(self, account: Address, height: int) -> InfractionRecord | None:
        """Get a validator's conviction of two votes for one height."""
        return self._get(get_infraction_key(account, height), InfractionRecord)

    def get_attack(self, account: Address) -> InfractionRecord | None:
        """Get a validator's conviction of an attack on light clients."""
        return self._get(get_attack_key(account), InfractionRecord)

    def put_infraction(self, record: InfractionRecord) -> None:
        """Write a validator's conviction."""
        key = get_attack_key(record.account)
        if record.kind == "duplicate-vote":
            key = get_infraction_key(record.account, record.height)
        self._put(key, record, InfractionRecord)
