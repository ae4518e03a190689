"""The four connections of an engine that the test plays, through the real server, no sockets."""

from __future__ import annotations

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft.frames import decode_response, encode_request
from probatum.consensus.cometbft.server import Server, _Connection
from probatum.consensus.cometbft.varints import read_varint


class Wires:
    """The four connections of an engine that the test plays, without the sockets."""

    def __init__(self, adapter):
        self.adapter = adapter
        self.server = Server(adapter)
        self.connect()

    def connect(self):
        self.wires = [_Connection(self.server, 64 << 20) for _ in range(4)]
        self.outs = [Transport(wire) for wire in self.wires]
        for wire, out in zip(self.wires, self.outs, strict=True):
            wire.connection_made(out)

    def die(self):
        """The engine is killed; a request may have come in part."""
        self.wires[3].data_received(encode_request(m.RequestCheckTx(tx=b"half"))[:5])
        for wire in self.wires:
            wire.connection_lost(None)
        self.connect()

    def ask(self, request, wire=3):
        out = self.outs[wire]
        self.wires[wire].data_received(encode_request(request) + b"\x02\x12\x00")
        length, at = read_varint(bytes(out.written[:10]), 0)
        said = decode_response(bytes(out.written[at : at + length]))
        assert out.written[at + length :] == b"\x02\x1a\x00", "Flush is answered behind it"
        out.written.clear()
        assert not isinstance(said, m.ResponseException), said.error
        assert type(said).__name__ == type(request).__name__.replace("Request", "Response")
        return said


class Transport:
    def __init__(self, wire):
        self.wire, self.written, self.closed = wire, bytearray(), False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed
