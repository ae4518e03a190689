from probatum.nodes.gateway.health import Observations
from tests.unit.nodes.network import Network, account

A = account("a").address


def make():
    settings = Network(()).gateway_settings(back_off_ms=100, back_off_limit_ms=1_000)
    return Observations(settings)


def test_latency_is_smoothed_and_never_zero_once_measured():
    seen = make()
    seen.succeed(A, 400)
    assert seen.get(0)[A].latency_ms == 400
    seen.succeed(A, 0)
    assert seen.get(0)[A].latency_ms == 300
    for _ in range(100):
        seen.succeed(A, 0)
    assert seen.get(0)[A].latency_ms == 1


def test_back_off_doubles_up_to_its_limit_and_ends():
    seen = make()
    for failures, pause in enumerate((100, 200, 400, 800, 1_000, 1_000), start=1):
        seen.fail(A, 0)
        assert seen.get(pause - 1)[A].failures == failures
        assert seen.get(pause)[A].failures == 0
    seen.succeed(A, 10)
    assert seen.get(1)[A].failures == 0


def test_what_is_under_way_is_counted():
    seen = make()
    seen.begin(A)
    seen.begin(A)
    seen.end(A)
    assert seen.get(0)[A].inflight == 1
    seen.end(A)
    seen.end(A)
    assert seen.get(0)[A].inflight == 0
