"""Lines against doors that are well, and against those that are not."""

import asyncio

import pytest

from probatum.client.lines import LineCut, Lines, locate

HEAD = b"POST /message HTTP/1.1\r\nHost: toy"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/Toy; x=1\r\n"


class Door:
    """Answers each request of a connection with the next of some bytes; None hangs up."""

    def __init__(self, *answers, then_close=False):
        self.answers = list(answers)
        self.then_close = then_close
        self.requests = []
        self.connections = 0

    async def take(self, reader, writer):
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if self.then_close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def run(door, story, *, limit=4):
    async def tell():
        server = await asyncio.start_server(door.take, "127.0.0.1", 0)
        where = locate(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        lines = Lines(limit=limit)
        try:
            return await story(lines, where)
        finally:
            lines.close()
            server.close()

    return asyncio.run(tell())


async def exchange(lines, where, body=b"question", timeout_s=30):
    line = await lines.send(where, HEAD, body, timeout_s)
    try:
        found = b""
        while piece := await line.read():
            found += piece
        return line.status, line.content_type, found
    finally:
        lines.put_back(line)


def sized(body):
    return (b"%bContent-Length: %d\r\n\r\n%b" % (OK, len(body), body),)


def test_one_connection_serves_one_exchange_after_the_other():
    chunked = (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
    door = Door(sized(b"first"), chunked, sized(b""))

    async def story(lines, where):
        return [await exchange(lines, where, body) for body in (b"1", b"22", b"")]

    assert run(door, story) == [(200, "text/toy", body) for body in (b"first", b"abcde", b"")]
    assert door.connections == 1
    assert [body for _, body in door.requests] == [b"1", b"22", b""]
    assert door.requests[0][0].startswith(HEAD + b"\r\n")


def test_a_body_without_a_length_ends_with_the_connection():
    door = Door((b"HTTP/1.0 404 Not Found\r\n\r\n", b"gone"), then_close=True)
    assert run(door, exchange) == (404, "", b"gone")


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (b"HTTP/1.1 200",),
        (b"hello, this is no HTTP\r\n\r\n",),
        (OK + b"Content-Length: 9\r\n\r\n", b"short"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"no length\r\n"),
        (OK + b"X: " + b"x" * 70_000,),
    ],
)
def test_what_breaks_off_or_is_no_http_is_a_cut_line(answer):
    with pytest.raises(LineCut):
        run(Door(answer, then_close=True), exchange)


def test_whoever_says_nothing_is_out_of_time():
    class Silent(Door):
        async def take(self, reader, writer):
            await reader.read()
            writer.close()

    async def story(lines, where):
        with pytest.raises(TimeoutError):
            await exchange(lines, where, timeout_s=0.05)

    run(Silent(), story)


def test_a_line_that_was_closed_meanwhile_is_not_used_again():
    door = Door(sized(b"a"), sized(b"b"), then_close=True)

    async def story(lines, where):
        first = await exchange(lines, where)
        await asyncio.sleep(0.05)
        return first, await exchange(lines, where)

    assert [found for _, _, found in run(door, story)] == [b"a", b"b"]
    assert door.connections == 2


def test_a_line_whose_response_is_not_read_to_its_end_is_closed():
    door = Door((OK + b"Content-Length: 9\r\n\r\n", b"abc"), sized(b"b"))

    async def story(lines, where):
        line = await lines.send(where, HEAD, b"", 5)
        assert await line.read()
        lines.put_back(line)
        return await exchange(lines, where)

    assert run(door, story)[2] == b"b"
    assert door.connections == 2


def test_a_slow_reader_stops_the_sender_and_gets_everything():
    body = bytes(range(256)) * 100_000

    async def story(lines, where):
        line = await lines.send(where, HEAD, b"", 10)
        await asyncio.sleep(0.1)
        held = line._unread
        found = b""
        while piece := await line.read():
            found += piece
        lines.put_back(line)
        return held, found

    held, found = run(Door(sized(body)), story)
    assert held < 8 * 1024 * 1024
    assert found == body


def test_more_exchanges_than_there_is_room_for_wait():
    door = Door(*(sized(b"x") for _ in range(20)))

    async def story(lines, where):
        found = await asyncio.gather(*(exchange(lines, where) for _ in range(20)))
        held = await lines.send(where, HEAD, b"", 5), await lines.send(where, HEAD, b"", 5)
        with pytest.raises(TimeoutError):
            await lines.send(where, HEAD, b"", 0.05)
        for line in held:
            lines.put_back(line)
        return found

    door.answers += [sized(b"x")] * 2
    assert len(run(door, story, limit=2)) == 20
    assert door.connections == 2


@pytest.mark.parametrize(
    ("endpoint", "name", "path", "port"),
    [
        ("http://127.0.0.1:80/", b"127.0.0.1:80", b"", 80),
        ("http://[::1]:8080", b"[::1]:8080", b"", 8080),
        ("https://Node.example/below/", b"node.example", b"/below", 443),
        ("http://bücher.example:1", b"xn--bcher-kva.example:1", b"", 1),
    ],
)
def test_an_endpoint_is_read(endpoint, name, path, port):
    where = locate(endpoint)
    assert (where.name, where.path, where.port) == (name, path, port)
    assert where.secure == endpoint.startswith("https")


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "nonsense",
        "ftp://host:1",
        "http://",
        "http://a b:1",
        "http://user@host:1",
        "http://host:99999",
        "http://host:1/a?b",
        "http://host:1/a#b",
        "http://host:1/a b",
        "http://host:1/\x0b",
        "http://host\x00:1",
    ],
)
def test_what_could_not_stand_in_a_request_is_no_endpoint(endpoint):
    with pytest.raises(ValueError):
        locate(endpoint)


def test_a_second_response_that_nobody_asked_for_is_never_an_answer():
    first, second = sized(b"first")[0], sized(b"smuggled")[0]
    for extra in (second, second[:30]):
        door = Door((first + extra,), sized(b"true"))

        async def story(lines, where):
            return [await exchange(lines, where), await exchange(lines, where)]

        assert run(door, story) == [(200, "text/toy", b"first"), (200, "text/toy", b"true")]
        assert door.connections == 2


@pytest.mark.parametrize("end", [b"0\r\nX: ", b"1;"])
def test_trailers_and_chunks_heads_without_end_are_a_cut_line(end):
    class Endless(Door):
        sent = 0

        async def take(self, reader, writer):
            writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + end)
            try:
                while self.sent < 64 * 1024 * 1024:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                    self.sent += 65_536
            except ConnectionError:
                pass
            finally:
                writer.close()

    door = Endless()
    with pytest.raises(LineCut):
        run(door, exchange)
    assert door.sent < 32 * 1024 * 1024


def test_a_body_without_a_length_that_ran_out_of_time_is_not_whole():
    class Slow(Door):
        async def take(self, reader, writer):
            writer.write(b"HTTP/1.0 200 OK\r\n\r\nhalf")
            await reader.read()
            writer.close()

    async def story(lines, where):
        with pytest.raises(TimeoutError):
            await exchange(lines, where, timeout_s=0.1)

    run(Slow(), story)
