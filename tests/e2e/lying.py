"""A full node that lies about a real one's answers, and a person who may be lied to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from probatum.cli import main
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.trust import encode_trust

FRAMES = "application/x-probatum-frames"


class Liar:
    """A door before a validator; `bend` makes of question and true answer what it says."""

    def __init__(self, stage, bend):
        outer = self
        self.bend = bend

        class Door(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                (message,) = FrameReader().feed(body)
                data = encode_frame(outer.bend(message, stage.ask("validator-1", message, 20)))
                self.send_response(200)
                self.send_header("Content-Type", FRAMES)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Desk:
    """A person with the network's first trust file."""

    def __init__(self, stage, folder, capsys):
        self.path, self.folder, self.capsys = folder / "trust.json", folder, capsys
        self.path.write_bytes(encode_trust(stage.trust))

    def run(self, *words, ledgers):
        named = [word for one in ledgers for word in ("--ledger", one)]
        trusted = ["--trust", str(self.path), "--home", str(self.folder), "--json"]
        code = main([*words, *named, *trusted])
        said = self.capsys.readouterr()
        return code, json.loads(said.out or said.err)
