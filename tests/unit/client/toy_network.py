"""A gateway with nodes and a ledger behind one door, real in all but the model; it lies on demand.

Answers are made of the ask itself with the keys of `tests.factories`; `spoil` changes the reply.
"""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from probatum.protocol.bundles import BUNDLE_FORMAT, Bundle, Settlement, encode_bundle
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.messages import (
    Answer,
    Ask,
    GetBundle,
    GetHeader,
    GetState,
    GotBundle,
    GotHeader,
    GotState,
    ListedState,
    ListState,
    Refused,
    StateItem,
)
from probatum.protocol.receipts import LogPosition
from probatum.protocol.records import (
    MODEL,
    KeyRecord,
    ModelRecord,
    get_key_key,
    get_log_key,
    get_model_key,
)
from probatum.protocol.tensors import Tensor, compute_salt_commitment, make_tensor_head
from tests.factories import (
    GATEWAY,
    NODES,
    PACKAGE,
    digest_of,
    encode_header,
    make_facts,
    make_handover,
    make_header,
    make_log_record,
    make_receipt,
    make_release,
    make_state,
)

NODE = NODES[0]


def double(tensor: Tensor) -> Tensor:
    data = bytes(2 * byte % 256 for byte in tensor.data)
    return msgspec.structs.replace(tensor, name="doubled", data=data)


class ToyNetwork:
    """Serves /message on a free port."""

    def __init__(self):
        self.asked = []
        self.bundles = {}
        self.settled = False
        self.spoil = lambda message, reply: reply
        self.failure = None
        self.cuts = 0
        self.hang_s = 0.0
        self.raw = None
        self.log = MerkleLog()
        for number in range(5):
            self.log.append(leaf_hash(sha256(b"earlier %d" % number)))
        self.records = {}
        for version in ("1", "2"):
            package = PACKAGE if version == "2" else sha256(b"old")
            self.records[get_model_key("doubler", version)] = ModelRecord(
                name="doubler",
                version=version,
                publisher=NODE.account,
                package=package,
                size_bytes=1,
                published_at=int(version),
            )
        for actor in (GATEWAY, NODE):
            key = KeyRecord(account=actor.account, registered_at=1, retired_at=None)
            self.records[get_key_key(actor.signer.key)] = key
        self.height = 60

    async def __aenter__(self):
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/message", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.endpoint = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _serve(self, request):
        (message,) = FrameReader().feed(await request.read())
        self.asked.append(message)
        if self.raw is not None:
            return self.raw
        await asyncio.sleep(self.hang_s)
        reply = self.spoil(message, self.answer(message))
        if self.cuts and isinstance(message, Ask):
            self.cuts -= 1
            request.transport.abort()
        body = encode_frame(reply)
        return web.Response(body=body, content_type="application/x-probatum-frames")

    def answer(self, message):
        match message:
            case Ask():
                return self.ask(message)
            case GetBundle(request_id=request_id):
                if request_id not in self.bundles:
                    return Refused(code="gateway.unknown-request", message="never seen")
                bundle = self.bundles[request_id]
                if bundle.receipt is None:
                    return GotBundle(settled=True, bundle=encode_bundle(bundle))
                if self.settled:
                    bundle = self.settle(bundle)
                return GotBundle(settled=self.settled, bundle=encode_bundle(bundle))
            case GetState(keys=keys):
                state = self.make_state()
                header = make_header(self.height, state_root=state.root.digest)
                items = []
                for key in keys:
                    proof = state.prove(key)
                    value = None if proof.value is None else bytes.fromhex(proof.value)
                    items.append(StateItem(key=key, value=value, proof=encode_document(proof)))
                return GotState(header=header, items=tuple(items))
            case ListState(prefix=prefix):
                assert prefix.startswith(MODEL)
                items = tuple(
                    StateItem(key=key, value=encode(value), proof=b"")
                    for key, value in sorted(self.records.items())
                    if key.startswith(prefix)
                )
                return ListedState(height=self.height, items=items, more=False)
            case GetHeader():
                return GotHeader(header=make_header(self.height))
        return Refused(code="toy.unknown", message="")

    def make_state(self):
        records = {key: encode(value) for key, value in self.records.items()}
        records.setdefault(get_log_key(NODE.account, 0), encode(make_log_record(NODE, self.log)))
        return make_state(records)

    def ask(self, ask):
        facts = make_facts(
            request_id=ask.request_id,
            inputs=tuple(make_tensor_head(ask.salt, tensor) for tensor in ask.inputs),
            salt_commitment=compute_salt_commitment(ask.salt).hex(),
            nonce=ask.nonce.hex(),
        )
        custody = (make_handover(facts, 0, NODE),)
        if self.failure is not None:
            release = make_release(facts, custody, None, None)
            self.bundles[ask.request_id] = Bundle(
                format=BUNDLE_FORMAT, custody=custody, release=release
            )
            return msgspec.structs.replace(self.failure, request_id=ask.request_id)
        known = self.bundles.get(ask.request_id)
        outputs = (double(ask.inputs[0]),)
        if known is None:
            heads = tuple(make_tensor_head(ask.salt, tensor) for tensor in outputs)
            position = LogPosition(session=0, index=len(self.log), include_by=90)
            receipt = make_receipt(facts, NODE, custody[0], outputs=heads, log=position)
            self.log.append(leaf_hash(bytes.fromhex(digest_of(receipt))))
            release = make_release(facts, custody, receipt, 0)
            known = Bundle(format=BUNDLE_FORMAT, custody=custody, release=release, receipt=receipt)
            self.bundles[ask.request_id] = known
        return Answer(
            request_id=ask.request_id, outputs=outputs, salt=ask.salt, bundle=encode_bundle(known)
        )

    def settle(self, bundle):
        state = self.make_state()
        header = make_header(self.height, state_root=state.root.digest)
        size = len(self.log)
        index = next(
            number
            for number in range(size)
            if self.log.get_hash(0, number) == leaf_hash(bytes.fromhex(digest_of(bundle.receipt)))
        )
        proof = self.log.inclusion_proof(index, size)
        settlement = Settlement(
            inclusion=tuple(item.hex() for item in proof),
            header=encode_header(header),
            log=state.prove(get_log_key(NODE.account, 0)),
            keys=(state.prove(get_key_key(GATEWAY.signer.key)),),
        )
        return msgspec.structs.replace(bundle, settlement=settlement)
