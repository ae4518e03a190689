"""What a follower knows of the ledger: the records under the prefixes that it follows.

Filled from `BlockView`s that `sync` has checked. The headers are signed; the changes are the word
of the full node that was asked (whoever needs a proof asks for one: `pending`, `client`). Must
not know messages, timers or rules of the ledger.
"""

from __future__ import annotations

from typing import Final, TypeVar

from probatum.ledger.params import Params
from probatum.protocol import limits, records
from probatum.protocol.blocks import BlockView
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.primitives import Address, Digest, OperatingKey

__all__ = ["LedgerView"]

R = TypeVar("R", bound=LedgerValue)

_KINDS: Final[tuple[tuple[bytes, type[LedgerValue]], ...]] = (
    (records.ACCOUNT, records.Account),
    (records.CHALLENGE, records.ChallengeRecord),
    (records.ESCROW, records.EscrowRecord),
    (records.KEY, records.KeyRecord),
    (records.LOG, records.LogRecord),
    (records.LOSS, records.LossRecord),
    (records.MODEL, records.ModelRecord),
    (records.NODE, records.NodeRecord),
    (records.OFFENCE, records.OffenceRecord),
    (records.OFFER, records.OfferRecord),
    (records.RETURNED, records.ReturnRecord),
    (records.STAKE, records.StakeRecord),
    (records.SUPPLY_KEY, records.Supply),
    (records.PARAMS_KEY, Params),
)


def _find_kind(key: bytes) -> type[LedgerValue] | None:
    return next((kind for prefix, kind in _KINDS if key.startswith(prefix)), None)


def _note(groups: dict[bytes, set[bytes]], name: bytes, key: bytes, *, there: bool) -> None:
    """Keep an index of keys by group; a group without keys is not kept."""
    group = groups.setdefault(name, set())
    (group.add if there else group.discard)(key)
    if not group:
        del groups[name]


class LedgerView:
    """The followed records at one height.

    Attributes:
        header: The last header that was applied, None before the first.
    """

    def __init__(self) -> None:
        """Make the view of a ledger of which nothing is known."""
        self.header: SignedHeader | None = None
        self._records: dict[bytes, LedgerValue] = {}
        self._offers: dict[bytes, set[bytes]] = {}
        self._models: dict[bytes, set[bytes]] = {}
        self._listed: dict[bytes, tuple[records.OfferRecord, ...]] = {}
        self._newest: dict[str, records.ModelRecord] = {}
        self._challenges: dict[bytes, set[bytes]] = {}

    @property
    def height(self) -> int:
        """Height of the last header, 0 before the first."""
        return self.header.header.height if self.header else 0

    @property
    def time_ms(self) -> int:
        """Time of the last header in Unix milliseconds, 0 before the first."""
        return self.header.header.time_ms if self.header else 0

    def apply(self, block: BlockView, *, snapshot: bool) -> None:
        """Take a block's changes; with `snapshot`, take them as all the records there are.

        Nothing is changed unless every change can be read. Records of a kind that this version
        does not know are left out.

        Raises:
            Refusal: `encoding.*`, for a record that is not one.
        """
        read: list[tuple[bytes, LedgerValue | None]] = []
        for change in block.changes:
            kind = _find_kind(change.key)
            if kind is None:
                continue
            value = change.value
            read.append(
                (
                    change.key,
                    None
                    if value is None
                    else decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES),
                )
            )
        if snapshot:
            self._records.clear()
            self._offers.clear()
            self._models.clear()
            self._challenges.clear()
        if read:
            # What was answered before; asked for by every request, changed by few blocks.
            self._listed.clear()
            self._newest.clear()
        for key, record in read:
            self._put(key, record)
        self.header = block.header

    def _put(self, key: bytes, record: LedgerValue | None) -> None:
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record
        if key.startswith(records.OFFER):
            _note(self._offers, key[len(records.OFFER) :][:32], key, there=record is not None)
        elif key.startswith(records.MODEL):
            name = key[len(records.MODEL) :].partition(b"/")[0]
            _note(self._models, name, key, there=record is not None)
        elif key.startswith(records.CHALLENGE):
            operator = key[len(records.CHALLENGE) :][:20]
            _note(self._challenges, operator, key, there=record is not None)

    def _get(self, key: bytes, kind: type[R]) -> R | None:
        record = self._records.get(key)
        return record if isinstance(record, kind) else None

    def _list(self, kind: type[R]) -> tuple[R, ...]:
        found = [(key, record) for key, record in self._records.items() if type(record) is kind]
        return tuple(record for _, record in sorted(found, key=lambda pair: pair[0]))

    def get_account(self, account: Address) -> records.Account | None:
        """Get an account's balance and nonce."""
        return self._get(records.get_account_key(account), records.Account)

    def get_node(self, account: Address) -> records.NodeRecord | None:
        """Get an operator's node."""
        record = self._records.get(records.NODE + account)
        return record if isinstance(record, records.NodeRecord) else None

    def get_nodes(self) -> tuple[records.NodeRecord, ...]:
        """List all nodes by account."""
        return self._list(records.NodeRecord)

    def get_offers(self, package: Digest) -> tuple[records.OfferRecord, ...]:
        """List all offers to run a package, by operator."""
        listed = self._listed.get(package)
        if listed is None:
            keys = sorted(self._offers.get(package, ()))
            found = (self._get(key, records.OfferRecord) for key in keys)
            listed = tuple(offer for offer in found if offer is not None)
            if listed:  # anybody may ask for anything: only what is there is kept
                self._listed[package] = listed
        return listed

    def get_model(self, name: str, version: str | None) -> records.ModelRecord | None:
        """Get a model by name and version; without a version the one published last."""
        if version is not None:
            return self._get(records.get_model_key(name, version), records.ModelRecord)
        newest = self._newest.get(name)
        if newest is None:
            keys = sorted(self._models.get(name.encode(), ()))
            models = (self._get(key, records.ModelRecord) for key in keys)
            found = (model for model in models if model is not None)
            newest = max(found, key=lambda model: (model.published_at, model.version), default=None)
            if newest is not None:
                self._newest[name] = newest
        return newest

    def get_models(self) -> tuple[records.ModelRecord, ...]:
        """List all models by name and version."""
        return self._list(records.ModelRecord)

    def get_log(self, operator: Address, session: int) -> records.LogRecord | None:
        """Get a log session with its last settled size and root."""
        return self._get(records.get_log_key(operator, session), records.LogRecord)

    def get_challenges(self, operator: Address) -> tuple[records.ChallengeRecord, ...]:
        """List the open challenges of an operator's receipts, by session and index."""
        keys = sorted(self._challenges.get(operator, ()))
        found = (self._get(key, records.ChallengeRecord) for key in keys)
        return tuple(challenge for challenge in found if challenge is not None)

    def get_challenge(
        self, operator: Address, session: int, index: int
    ) -> records.ChallengeRecord | None:
        """Get the open challenge of an entry."""
        key = records.get_challenge_key(operator, session, index)
        return self._get(key, records.ChallengeRecord)

    def get_offence(
        self, operator: Address, session: int, kind: records.OffenceKind, index: int
    ) -> records.OffenceRecord | None:
        """Get a conviction."""
        key = records.get_offence_key(operator, session, kind, index)
        return self._get(key, records.OffenceRecord)

    def get_charge(self, operator: Address, first_record: Digest) -> records.OffenceRecord | None:
        """Get a gateway's conviction of charging twice for a request."""
        return self._get(records.get_charge_key(operator, first_record), records.OffenceRecord)

    def get_loss(self, operator: Address) -> records.LossRecord | None:
        """Get the last loss that an operator's node declared."""
        return self._get(records.get_loss_key(operator), records.LossRecord)

    def get_return(
        self, operator: Address, session: int, index: int
    ) -> records.ReturnRecord | None:
        """Get where a lost entry is now."""
        return self._get(records.get_return_key(operator, session, index), records.ReturnRecord)

    def get_key(self, key: OperatingKey) -> records.KeyRecord | None:
        """Get whose operating key this is or was."""
        return self._get(records.get_key_key(key), records.KeyRecord)

    def get_escrow(self, escrow: Digest) -> records.EscrowRecord | None:
        """Get an escrow by its id."""
        return self._get(records.get_escrow_key(escrow), records.EscrowRecord)

    def get_escrows(self) -> tuple[records.EscrowRecord, ...]:
        """List all escrows by id."""
        return self._list(records.EscrowRecord)

    def get_params(self) -> Params | None:
        """Get the ledger's parameters, if their record is followed."""
        record = self._records.get(records.PARAMS_KEY)
        return record if isinstance(record, Params) else None
