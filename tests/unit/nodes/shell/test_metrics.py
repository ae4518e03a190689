"""Figures in the text format that Prometheus reads."""

import re

from probatum.nodes.shell.metrics import SERIES, Counter, Gauges, Histogram, write_figures

LINE = re.compile(
    r"# (?:HELP|TYPE) [a-z_]+ .+"
    r"|[a-z_]+(?:\{[a-z]+=\"(?:[^\"\\\n]|\\.)*\"(?:,[a-z]+=\"(?:[^\"\\\n]|\\.)*\")*\})? [0-9.e+-]+"
)


def read(*figures):
    text = write_figures(figures).decode()
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if not LINE.fullmatch(line)] == []
    return text.splitlines()


def test_a_counter_counts_by_labels():
    counter = Counter("a_total", "What happened.", ("kind", "outcome"))
    counter.add("ask", "ok")
    counter.add("ask", "ok")
    counter.add("ask", "node.busy")
    assert read(counter) == [
        "# HELP a_total What happened.",
        "# TYPE a_total counter",
        'a_total{kind="ask",outcome="node.busy"} 1',
        'a_total{kind="ask",outcome="ok"} 2',
    ]


def test_a_histogram_counts_upwards_and_a_bound_is_inside():
    histogram = Histogram("t_seconds", "Time.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert read(histogram)[2:] == [
        't_seconds_bucket{le="0.1"} 2',
        't_seconds_bucket{le="1"} 3',
        't_seconds_bucket{le="+Inf"} 4',
        "t_seconds_sum 7.65",
        "t_seconds_count 4",
    ]


def test_labels_are_escaped():
    counter = Counter("a_total", "A.", ("code",))
    counter.add('a"b\\c\nd')
    assert read(counter)[2] == 'a_total{code="a\\"b\\\\c\\nd"} 1'


def test_series_are_bounded_whatever_words_come():
    counter, histogram = Counter("a_total", "A.", ("x",)), Histogram("b", "B.", (1.0,), ("x",))
    for number in range(SERIES + 50):
        counter.add(f"w{number}")
        histogram.observe(0.5, f"w{number}")
    counter.add("w0")
    lines = read(counter)
    assert len(lines) == 2 + SERIES + 1
    assert 'a_total{x="other"} 50' in lines
    assert 'a_total{x="w0"} 2' in lines
    assert len(read(histogram)) == 2 + 4 * (SERIES + 1)


def test_gauges_are_looked_up_when_they_are_written():
    values = {"b": 1.5}
    gauges = Gauges(lambda: values)
    values["a"] = True
    assert read(gauges) == ["# TYPE a gauge", "a 1", "# TYPE b gauge", "b 1.5"]
