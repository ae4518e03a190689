"""Every limit of the protocol: a name and a number, in one place.

Sizes are in bytes, spans in blocks unless the name says otherwise. A limit that operators may
tune is in their configuration and is at most the number here. Must not know any document.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Requests and answers
TENSORS_PER_REQUEST: Final = 64
TENSOR_RANK: Final = 8
TENSOR_BYTES: Final = 64 * MIB
NAME_CHARS: Final = 128
ENDPOINT_CHARS: Final = 256
REQUEST_BYTES: Final = 32 * MIB
"""Body of one request at a front door."""
ANSWER_BYTES: Final = 64 * MIB
"""Outputs of one answer together: with its documents it fits into a frame and a journal record."""
FRAME_BYTES: Final = 80 * MIB
"""One frame of a hand-over stream: tensors and their heads."""
LEDGER_FRAME_BYTES: Final = 24 * MIB
"""One message without tensors: a block, or the records that somebody follows."""
TEXT_TOKENS: Final = 1 << 20
"""Of a prompt and its answer together; a model may read fewer."""
LOGPROBS_BYTES: Final = 16 * MIB
"""Logprobs of one answer, as messages carry them."""
TEXT_PREFIX_TOKENS: Final = 16
"""A node signs the beginning of an answer each time that it is so much longer."""

TIME_MS_END: Final = 253_402_300_800_000
"""The year 10000: calendars of four digits, which engines write, end before it."""

# Documents
STATEMENT_BYTES: Final = 64 * KIB
ENVELOPE_BYTES: Final = 96 * KIB
ENVELOPE_SIGNATURES: Final = 4
CUSTODY_RECORDS: Final = 16
BUNDLE_BYTES: Final = 1 * MIB
TRUST_BYTES: Final = 64 * KIB
MANIFEST_BYTES: Final = 256 * KIB
PACKAGE_FILES: Final = 64
BOUND_INPUT_BYTES: Final = 4 * KIB
"""An input that a package binds to a constant; larger ones belong into the model's file."""
SIGNATURE_BYTES: Final = 128 * KIB
"""A package's `model.sig`: it lists every file."""
PACKAGE_BYTES: Final = 4 * 1024 * MIB
CHECKPOINT_BYTES: Final = 4 * KIB
PROOF_HASHES: Final = 64
"""Inclusion and consistency proofs: one hash a level, 2**63 leaves at most."""
MAP_PROOF_STEPS: Final = 256
STATE_KEY_BYTES: Final = 256
STATE_VALUE_BYTES: Final = 64 * KIB

# Ledger
TRANSACTION_BYTES: Final = 160 * KIB
"""Two statements and a proof fit in, so that any two receipts can be held against each other."""
SHARE_BYTES: Final = 8 * KIB
"""Of a transaction's body, for one share of the least fee; few are longer."""
VOUCHER_BYTES: Final = 256
"""One signed voucher, encoded."""
VOUCHERS: Final = 64
"""Of one transaction: each may cost a signature check."""
BLOCK_TRANSACTIONS: Final = 20_000
BLOCK_CHECKS: Final = 4_000
"""Transactions that are no transfers, of a proposal: each may have signatures of others in it, a
quarter of a millisecond to check as it is applied, while validators wait for the proposal."""
BLOCK_BYTES: Final = 16 * MIB
VALIDATORS: Final = 256
"""Of one set: a seal holds them all, and a vote of each."""
VALIDATOR_CANDIDATES: Final = 512
"""Validators that have a seat or wait for one; the weakest beyond are forgotten until they act."""
MISBEHAVIOURS: Final = 1_024
"""Of one block: more than `EVIDENCE_BYTES` of evidence can name."""
EVIDENCE_BYTES: Final = 128 * KIB
"""Evidence of misbehaviour in one block, as the engine encodes it."""
MEMPOOL_TRANSACTIONS: Final = 50_000
MEMPOOL_BYTES: Final = 64 * MIB
MEMPOOL_PER_ACCOUNT: Final = 4_096
TOTAL_POWER: Final = ((1 << 63) - 1) // 8
"""Voting power of a set together; CometBFT refuses more."""
ENGINE_CHAIN_ID_CHARS: Final = 50
SIGNED_HEADER_BYTES: Final = 48 * KIB
"""A header with its seal: 149 bytes a validator at most, and two headers."""
QUERY_KEYS: Final = 64
LISTED_RECORDS: Final = 1_000
SNAPSHOT_BYTES: Final = 16 * MIB
"""Keys and values of all records under the prefixes that somebody follows."""

# Parties
OPEN_REQUESTS: Final = 1_024
"""Requests that a gateway or node holds at one time; one more is refused as busy."""
BRANCHES: Final = 8
"""Hand-overs that a gateway opens for one request."""
