"""What strangers and hostile proposers send to a chain: transactions, questions, blocks."""

from __future__ import annotations

import random

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.transactions.kinds import FundEscrow, Stake, Transfer, Unstake, Withdraw
from probatum.protocol.transactions.signed import sign_transaction
from probatum.protocol.transactions.validators import (
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    WithdrawConsensus,
)
from tests.chain import FEE, account
from tests.validators import POWER, consensus_address

ACCOUNTS = 4
AMOUNTS = (0, 1, FEE, UNITS_PER_TOKEN, 999 * UNITS_PER_TOKEN, 2**63 - 1, 2**64 - 1)
BOMBS = (
    b"",
    b"\x00",
    b"\x91" * 100_000,
    b"\x81\xa1a" * 50_000,
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1_000,
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc1" * 50,
    b'{"body":' + b"[" * 100_000,
    b"\xd9\xff" + b"\xff" * 255,
    b"\xcb\x7f\xf8" + bytes(6),
    bytes(limits.TRANSACTION_BYTES),
    bytes(limits.TRANSACTION_BYTES + 1),
)


class Adversary:
    """Draws what strangers send, from a seed; the numbers of accounts that they sign for."""

    def __init__(self, seed, comet, accounts=tuple(range(ACCOUNTS + 1))):
        self.dice, self.comet, self.accounts = random.Random(seed), comet, accounts
        self.seen = []

    def draw_body(self):
        amount = self.dice.choice(AMOUNTS)
        return self.dice.choice(
            (
                lambda: Transfer(to=account(self.dice.randrange(6)).address, amount=amount),
                lambda: Stake(amount=amount),
                lambda: Unstake(amount=amount),
                Withdraw,
                lambda: FundEscrow(payee=account(self.dice.randrange(6)).address, amount=amount),
                lambda: StakeConsensus(amount=amount),
                lambda: UnstakeConsensus(amount=amount),
                WithdrawConsensus,
                Unjail,
            )
        )

    def draw_good(self):
        who = account(self.dice.choice(self.accounts))
        nonce = self.comet.nonce(who) + self.dice.choice((0, 0, 0, 0, 1, 2, 50, 2**63))
        fee = self.dice.choice((FEE, FEE, FEE, 0, FEE * 1_000, 2**62))
        while True:
            try:
                body = self.draw_body()()
                data = sign_transaction(
                    self.comet.domain, who, nonce=nonce, fee_units=fee, body=body
                )
                return encode(data)
            except (ValueError, TypeError):
                continue

    def draw_transaction(self):
        dice = self.dice
        match dice.randrange(8):
            case 0 | 1 | 2:
                data = self.draw_good()
            case 3:
                data = bytearray(self.draw_good())
                for _ in range(dice.randint(1, 4)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
            case 4:
                good = self.draw_good()
                cut = dice.randrange(len(good))
                data = dice.choice((good[:cut], good[cut:], good + good, good + b"\x00"))
            case 5:
                data = dice.randbytes(dice.randrange(300))
            case 6:
                data = dice.choice(BOMBS)
            case _:
                data = dice.choice(self.seen) if self.seen else b""
        self.seen.append(bytes(data))
        return bytes(data)

    def draw_transactions(self):
        return tuple(self.draw_transaction() for _ in range(self.dice.randrange(6)))

    def draw_query(self):
        dice = self.dice
        path = dice.choice(("state", "header", "outcome", "", "/state", "\ufffd\x00", "x" * 9_000))
        keys = [key for key, _ in self.comet.store.scan("record", b"", b"", 50)]
        data = dice.choice(
            (
                b"",
                dice.randbytes(dice.choice((1, 8, 20, 32, 33, 5_000))),
                dice.choice(keys),
                dice.choice(keys)[:-1],
                dice.randrange(5).to_bytes(8, "big"),
                b"\xff" * 8,
            )
        )
        height = dice.choice((0, 0, 0, 1, self.comet.tip.height, -1, 2**63 - 1, -(2**63)))
        return m.RequestQuery(path=path, data=data, height=height, prove=dice.random() < 0.5)

    def draw_block(self, txs):
        """A block of the next height, with votes and misbehaviour as an engine may have them."""
        dice, comet = self.dice, self.comet
        found = tuple(
            p.Misbehavior(
                type=dice.choice((1, 2)),
                validator=p.Validator(address=address, power=dice.choice((0, POWER, 2**60))),
                height=dice.choice((1, comet.tip.height, comet.tip.height + 9)),
                time=dice.choice((comet.time, p.GO_ZERO_TIME)),
                total_voting_power=dice.choice((3 * POWER, 2**60)),
            )
            for address in dice.sample([consensus_address(0), consensus_address(1), bytes(20)], 2)
            if dice.random() < 0.1
        )
        comet.time = p.Timestamp(seconds=comet.time.seconds + dice.choice((-5, 0, 1, 1, 3_600)))
        missing = {n for n in range(3) if dice.random() < 0.3}
        return comet.make_block(
            txs,
            votes=comet.make_votes(missing),
            proposer=dice.randrange(3),
            misbehavior=found,
        )
