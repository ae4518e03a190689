"""Sampled elements of a whole graph, each judged from integers and compared bit for bit."""

from __future__ import annotations

import numpy as np

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.graph.records import ENTRY, INPUT
from probatum.canon.primitives.judging import judge_element

UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def get_bits(array):
    return np.asarray(array, order="C").reshape(-1).view(UNSIGNED[array.dtype.itemsize])


def compare(expanded, inputs, samples, rng, threads=1):
    """Judge sampled elements of every entry; return how many, and those that differ."""
    graph = expanded.graph
    bound = bind_graph(graph, bind_dims(graph, tuple(one.shape for one in inputs)))
    entries = {}

    def keep(number, array):
        entries[number] = get_bits(np.array(array))

    evaluator = Evaluator(graph, expanded.weights, threads=threads)
    outputs = evaluator.evaluate(inputs, sink=keep)
    evaluator.close()
    weights = [get_bits(one) for one in expanded.weights]
    given = [get_bits(one) for one in inputs]
    spaces = {INPUT: given, 1: weights, ENTRY: entries}
    sizes = np.array([node.output.count for node in bound.nodes])
    # Every node has its share of the samples, however small its tensor is beside the others.
    share = max(1, samples // len(sizes))
    while np.minimum(sizes, share).sum() < min(samples, sizes.sum()):
        share *= 2
    judged, wrong = 0, []
    for number, node in enumerate(bound.nodes):
        bits = entries[number]
        for element in rng.choice(node.output.count, min(share, node.output.count), replace=False):

            def fetch(read, node=node):
                ref = node.reads[read.source]
                source = spaces[ref.space][ref.number]
                return [int(one) for one in source[read.first : read.first + read.length]]

            have = int(bits[element])
            judged += 1
            if judge_element(node, int(element), fetch, have) != have:
                wrong.append((number, node.operator, int(element)))
    return judged, wrong, outputs
