"""What a prosecutor needs, over a chain in memory: its ledger facts, held receipts, tiles."""

from __future__ import annotations

from dataclasses import dataclass

from probatum.evidence.accusing import hold_receipt
from probatum.evidence.prosecution import Windows
from probatum.protocol.dsse import sign_envelope
from probatum.protocol.records import (
    ChallengeRecord,
    KeyRecord,
    LogRecord,
    LossRecord,
    OffenceRecord,
    ReturnRecord,
    get_challenge_key,
    get_key_key,
    get_log_key,
    get_loss_key,
    get_offence_key,
    get_return_key,
)
from probatum.protocol.tiles import parse_tile_path, tile_bytes
from tests.chain import Chain, key


@dataclass(frozen=True)
class ChainFacts:
    """`LedgerFacts` of a chain's committed state."""

    chain: Chain

    @property
    def height(self):
        return self.chain.engine.height

    @property
    def windows(self):
        params = self.chain.genesis.params
        return Windows(
            challenge_blocks=params.challenge_window_blocks,
            unbonding_blocks=params.unbonding_blocks,
            loss_epoch_blocks=params.loss_epoch_blocks,
        )

    def get_log(self, operator, session):
        return self.chain.record(get_log_key(operator, session), LogRecord)

    def get_key(self, operating_key):
        return self.chain.record(get_key_key(operating_key), KeyRecord)

    def get_challenge(self, operator, session, index):
        return self.chain.record(get_challenge_key(operator, session, index), ChallengeRecord)

    def get_offence(self, operator, session, kind, index):
        return self.chain.record(get_offence_key(operator, session, kind, index), OffenceRecord)

    def get_return(self, operator, session, index):
        return self.chain.record(get_return_key(operator, session, index), ReturnRecord)

    def get_loss(self, operator):
        return self.chain.record(get_loss_key(operator), LossRecord)


def hold(payload, signer=None):
    """Hold a receipt payload, signed by node 0 unless another signer is named."""
    return hold_receipt(sign_envelope(payload, (signer or key(0),)))


def tiles_of(log, paths):
    """The bytes of tiles of a log in memory, as its node would serve them."""
    tiles = {}
    for path in paths:
        name = parse_tile_path(path)
        tiles[path] = tile_bytes(log, name.level, name.index, name.width)
    return tiles
