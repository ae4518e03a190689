"""A server that says what a test tells it to, whatever is asked."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def speak(reply):
    """Serve `reply(path, body) -> (status, chunks)`; give the address and what was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, body, dict(self.headers)))
            try:
                status, chunks = reply(self.path, body)
                self.send_response(status)
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(chunk)
                    self.wfile.flush()
            except OSError:
                pass  # who asked hung up

        do_GET = do_POST  # noqa: N815 - its caller looks for this name

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def events(*documents, done=True):
    """Server-sent events, one a document."""
    return [b"data: " + one + b"\n\n" for one in documents] + [b"data: [DONE]\n\n"] * done
