"""Random graphs of random primitives on hostile elements: evaluated is judged (`CANON-4`).

A round of `make nightly` draws other graphs, and more. Read `Maker`, then `compare_all`.
"""

from math import prod

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import get_bits, get_numpy_dtype, widen
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    WEIGHT,
    Attribute,
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.graph.sizes import bind_size, make_dim
from probatum.canon.graph.types import DTYPES, TensorType
from probatum.canon.primitives.admitting import admit_graph
from probatum.canon.primitives.judging import judge_element
from probatum.canon.primitives.maps.elementwise import ElementMap
from probatum.canon.primitives.registry import PRIMITIVES, get_newest
from probatum.errors import Refusal
from tests.unit.canon.evaluate.oracle import from_bits, make_hostile

GRAPHS, MORE = 30, 600
"""Graphs of one test, in every run and in a round of many."""
SHARES = 5
NODES = 6
JUDGED = 24
FLOATS = ("float32", "float32", "float32", "float16", "bfloat16", "float64")
INTS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
LONG = (1023, 1024, 1025, 2049)


def make_floats(rng, dtype, shape):
    """Floats that meet midpoints, cancel, spread over all exponents, or hold one special."""
    count = prod(shape)
    kind = rng.integers(0, 7)
    if kind == 0:
        values = make_hostile(dtype, count, int(rng.integers(1 << 30)))
    elif kind == 1:  # sums of these lie on midpoints, or next to them
        powers = rng.choice([0, -1, -8, -9, -11, -12, -23, -24, -25, -53, -54, -60, -100], count)
        values = round_to(dtype, rng.choice([-1.0, 1.0, 1.0], count) * 2.0**powers)
    elif kind == 2:  # cancels along the last axis
        half = rng.standard_normal(count) * 2.0 ** rng.integers(-20, 20, count)
        values = round_to(dtype, half)
        flat = get_bits(values)
        flat[1::2] = flat[: count - 1 : 2] ^ flat.dtype.type(1 << (8 * values.dtype.itemsize - 1))
    elif kind == 3:  # every exponent
        values = from_bits(dtype, rng.integers(0, 1 << 8 * get_numpy_dtype(dtype).itemsize,
                                               count, dtype=np.uint64))  # fmt: skip
        values = np.where(np.isfinite(widen(values, dtype)), values, round_to(dtype, np.ones(1)))
    elif kind == 4:
        values = round_to(dtype, rng.integers(-3, 4, count) * 0.5)
    elif kind == 5:  # what infinities meet: signs, zeros, each other
        values = round_to(dtype, rng.choice([np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0], count))
    else:
        values = round_to(dtype, rng.standard_normal(count) * 2.0 ** rng.integers(-3, 4))
    if count and rng.random() < 0.2:
        specials = make_hostile(dtype, 15)
        values[rng.integers(count)] = rng.choice(specials)
    return values.astype(get_numpy_dtype(dtype), copy=False).reshape(shape)


@np.errstate(all="ignore")
def make_elements(rng, dtype, shape):
    """Elements of any type."""
    if DTYPES[dtype].kind == "float":
        return make_floats(rng, dtype, shape)
    if dtype == "bool":
        return rng.integers(0, 3, shape).astype(np.uint8).view(np.bool_)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    low = max(limits.min, -5)
    small = rng.integers(low, 6, shape).astype(dtype)
    ends = rng.choice(np.array([limits.min, limits.max, 0, 1], dtype), shape)
    chosen = rng.random(shape)
    return np.where(chosen < 0.6, small, np.where(chosen < 0.8, ends, values)).astype(dtype)


class Maker:
    """Draws a graph, its weights and its inputs."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.n = int(self.rng.choice([0, 1, 2, 3, 5]))
        self.dims = {"n": self.n}
        self.types, self.inputs, self.weights, self.nodes = [], [], [], []
        self.wide = 0
        for number in range(2):
            dtype = self.draw((*FLOATS[:4], "float64", *INTS, "bool"))
            shape = (make_dim("n"), *self.draw_shape(most=2)) if number == 0 else self.draw_shape()
            self.add(self.inputs, INPUT, dtype, shape)

    def draw(self, options):
        return options[int(self.rng.integers(len(options)))]

    def flip(self, chance=0.5):
        return bool(self.rng.random() < chance)

    def draw_shape(self, least=0, most=3):
        rank = int(self.rng.integers(least, most + 1))
        shape = [int(self.rng.choice([0, 1, 2, 3, 4, 7], p=[0.03, 0.22, 0.2, 0.2, 0.2, 0.15]))
                 for _ in range(rank)]  # fmt: skip
        if rank and self.flip(0.06):
            shape[-1] = self.draw(LONG)
            shape[:-1] = [min(size, 2) for size in shape[:-1]]
        return tuple(shape)

    def bind(self, shape):
        return tuple(bind_size(size, self.dims) for size in shape)

    def add(self, to, space, dtype, shape):
        elements = make_elements(self.rng, dtype, self.bind(shape))
        to.append((dtype, shape, elements))
        self.types.append((Ref(space=space, number=len(to) - 1), TensorType(dtype, shape)))
        return self.types[-1]

    def get(self, dtypes, shape=None, fits=lambda _: True):
        """Get a tensor of one of some dtypes, of a shape if asked: one that is there, or a new."""
        there = [
            one
            for one in self.types
            if one[1].dtype in dtypes and shape in (None, one[1].shape) and fits(one[1].shape)
        ]
        if there and self.flip(0.75):
            return self.draw(there)
        if shape is None:
            shape = self.draw_shape(least=1)
            if not fits(shape):
                shape = (2, 3, 4)
        if not all(isinstance(size, int) for size in shape) or not fits(shape):
            raise Refusal("test.nothing-fits", "no such tensor")
        return self.add(self.weights, WEIGHT, self.draw(dtypes), shape)

    def get_number(self, fits=lambda shape: len(shape) >= 1):
        return self.get(FLOATS if self.flip(0.8) else INTS, fits=fits)

    def node(self, operator, reads, dtype=None, **attributes):
        values = {
            name: value if isinstance(value, str | tuple) else (value,)
            for name, value in attributes.items()
        }
        kinds = tuple(kind for _, kind in reads)
        primitive = get_newest(operator)
        output = primitive.infer(kinds, values, dtype)
        if prod(self.bind(output.shape)) > 30_000:
            raise Refusal("test.too-large", "too many elements for a test")
        self.nodes.append(
            NodeRecord(
                operator=operator,
                version=primitive.version,
                attributes=tuple(Attribute(name=k, value=v) for k, v in sorted(values.items())),
                reads=tuple(ref for ref, _ in reads),
                dtype=output.dtype,
                shape=output.shape,
            )
        )
        made = (Ref(space=ENTRY, number=len(self.nodes) - 1), output)
        self.types.append(made)
        try:
            admit_graph(self.get_graph())
        except Refusal:
            self.nodes.pop()
            self.types.pop()
            raise
        return made

    def get_graph(self):
        allowed = [one for one in self.types if one[1].dtype != "bfloat16"]
        return CanonicalGraph(
            dims=(DimRecord(name="n", least=0, greatest=5),),
            inputs=tuple(
                InputRecord(name=f"x{at}", dtype=dtype, shape=shape)
                for at, (dtype, shape, _) in enumerate(self.inputs)
            ),
            weights=tuple(
                WeightRecord(dtype=dtype, shape=shape, root=bytes(32))
                for dtype, shape, _ in self.weights
            ),
            nodes=tuple(self.nodes),
            outputs=tuple(
                OutputRecord(name=f"y{at}", ref=ref) for at, (ref, _) in enumerate(allowed[-3:])
            ),
        )

    def step(self):
        """Add one node of any primitive."""
        name = self.draw([operator for operator, _ in PRIMITIVES])
        if isinstance(PRIMITIVES[name, 1], ElementMap):
            self.add_map(name)
        else:
            getattr(self, f"add_{name.lower()}")(name)

    def add_map(self, name):
        kinds = tuple(sorted(PRIMITIVES[name, 1].admitted))
        if "float32" in kinds and self.flip(0.6):
            kinds = FLOATS
        one = self.get(kinds)
        if PRIMITIVES[name, 1].operands == 1:
            return self.node(name, [one])
        shape = one[1].shape
        other = self.draw((shape, shape[1:], (*shape[:-1], 1) if shape else (), (), (1, *shape)))
        two = self.get((one[1].dtype,), shape=other)
        return self.node(name, [one, two] if self.flip() else [two, one])

    def add_cast(self, name):
        self.node(name, [self.get(tuple(DTYPES))], self.draw(tuple(DTYPES)))

    def add_gumbel(self, name):
        fixed = [self.get(("int64",), shape=shape) for shape in ((4,), (1,))]
        tokens = self.get(("int64",))
        shape = tokens[1].shape
        places = self.get(("int64",), shape=self.draw((shape, shape[1:], ())))
        self.node(name, [*fixed, places, tokens])

    def add_reshape(self, name):
        one = self.get(tuple(DTYPES))
        shape = one[1].shape
        self.node(name, [one], shape=self.draw((shape[::-1], (1, *shape), (*shape, 1))))

    def add_transpose(self, name):
        one = self.get(tuple(DTYPES))
        perm = tuple(self.rng.permutation(len(one[1].shape)).tolist())
        self.node(name, [one], perm=perm)

    def add_slice(self, name):
        one = self.get(tuple(DTYPES))
        rank = len(one[1].shape)
        steps = tuple(int(self.rng.choice([1, 1, 2, -1, -3, 1 << 61])) for _ in range(rank))
        starts = tuple(int(self.rng.integers(-2, 6)) for _ in range(rank))
        self.node(name, [one], starts=starts, steps=steps, shape=self.draw_shape(rank, rank))

    def add_concat(self, name):
        one = self.get(tuple(DTYPES))
        two = self.get((one[1].dtype,), shape=one[1].shape)
        self.node(name, [one, two, one], axis=int(self.rng.integers(len(one[1].shape) or 1)))

    def add_expand(self, name):
        one = self.get(tuple(DTYPES))
        shape = tuple(3 if size == 1 else size for size in one[1].shape)
        self.node(name, [one], shape=(*self.draw(((), (2,), (make_dim("n"),))), *shape))

    def add_pad(self, name):
        one = self.get(tuple(DTYPES))
        scalar = self.get((one[1].dtype,), shape=())
        begins = tuple(int(self.rng.integers(-2, 9)) for _ in one[1].shape)
        shape = tuple(size + int(self.rng.integers(0, 12)) for size in one[1].shape)
        mode = self.draw(("constant", "edge", "reflect"))
        self.node(name, [one, scalar], begins=begins, mode=mode, shape=shape)

    def add_gather(self, name):
        one = self.get(tuple(DTYPES))
        axis = int(self.rng.integers(len(one[1].shape) or 1))
        self.node(name, [one, self.get(("int32", "int64"))], axis=axis)

    def add_gatherelements(self, name):
        one = self.get(tuple(DTYPES))
        axis = int(self.rng.integers(len(one[1].shape) or 1))
        shape = (*one[1].shape[:axis], int(self.rng.integers(0, 5)), *one[1].shape[axis + 1 :])
        self.node(name, [one, self.get(("int32", "int64"), shape=shape)], axis=axis)

    def add_where(self, name):
        one = self.get(tuple(DTYPES))
        shape = one[1].shape
        where = self.get(("bool",), shape=self.draw((shape, shape[1:], ())))
        self.node(name, [where, one, self.get((one[1].dtype,), self.draw((shape, ())))])

    def add_iota(self, name):
        start, step = (int(self.draw((0, 1, -7, (1 << 62) - 1, 1 - (1 << 62)))) for _ in "ab")
        self.node(name, [], start=start, step=step, shape=self.draw((make_dim("n"), 9, 0)))

    def add_dot(self, name):
        one = self.get_number(lambda shape: len(shape) >= 2)
        shape = one[1].shape
        batch = self.draw(((), (), shape[:-2], (1,) * len(shape[:-2]), (2, *shape[:-2])))
        rows = int(self.rng.integers(0, 6)) if self.flip(0.9) else 40
        two = self.get((one[1].dtype,), shape=(*batch, rows, shape[-1]))
        self.node(name, [one, two])

    def draw_geometry(self, kernel):
        big = self.flip(0.1)

        def numbers(least, most, large):
            return tuple(large if big else int(self.rng.integers(least, most)) for _ in kernel)

        return {
            "strides": numbers(1, 4, 1 << 20),
            "pads_begin": tuple(int(self.rng.integers(0, 4)) for _ in kernel),
            "pads_end": numbers(0, 4, 1 << 20),
            "dilations": numbers(1, 3, 1 << 20),
        }

    def add_conv(self, name):
        one = self.get_number(lambda shape: len(shape) in (3, 4) and isinstance(shape[-1], int))
        channels = one[1].shape[-1]
        group = int(self.draw([size for size in range(1, 8) if channels % size == 0]))
        kernel = tuple(int(self.rng.integers(1, 4)) for _ in one[1].shape[1:-1])
        maps = group * int(self.rng.integers(1, 4))
        two = self.get((one[1].dtype,), shape=(maps, *kernel, channels // group))
        self.node(name, [one, two], **self.draw_geometry(kernel), group=group)

    def add_window(self, name):
        dtypes = FLOATS if name == "WindowMean" or self.flip(0.7) else INTS
        one = self.get(dtypes, fits=lambda shape: len(shape) in (3, 4))
        kernel = tuple(int(self.rng.integers(1, 4)) for _ in one[1].shape[1:-1])
        more = {"count_include_pad": int(self.flip())} if name == "WindowMean" else {}
        self.node(name, [one], **self.draw_geometry(kernel), kernel=kernel, **more)

    add_windowmax = add_windowmean = add_window

    def add_reduction(self, name):
        self.node(name, [self.get(FLOATS) if name == "ReduceMean" else self.get_number()])

    add_reducesum = add_reducemean = add_reducemax = add_reducemin = add_reduction

    def add_arg(self, name):
        self.node(name, [self.get_number()], select_last=int(self.flip()))

    add_argmax = add_argmin = add_arg

    def add_topk(self, name):
        self.node(name, [self.get_number()], k=int(self.rng.integers(0, 4)),
                  largest=int(self.flip()))  # fmt: skip

    def add_scatterelements(self, name):
        one = self.get(tuple(DTYPES))
        shape = (*one[1].shape[:-1], int(self.rng.integers(0, 5)))
        indices = self.get(("int32", "int64"), shape=shape)
        self.node(name, [one, indices, self.get((one[1].dtype,), shape=shape)])

    def add_scatternd(self, name):
        one = self.get(tuple(DTYPES))
        depth = int(self.rng.integers(1, len(one[1].shape) + 2))
        before = self.draw(((), (0,), (3,), (2, 2)))
        indices = self.get(("int32", "int64"), shape=(*before, depth))
        updates = self.get((one[1].dtype,), shape=(*before, *one[1].shape[depth:]))
        self.node(name, [one, indices, updates])

    def add_treeensemble(self, name):
        x = self.get(("float32",), fits=lambda shape: len(shape) == 2)
        trees, rows, leaves = (int(self.rng.integers(0, 6)) for _ in range(3))
        table = self.rng.integers(0, 7, (trees, rows, 4)).astype(np.uint32)
        modes = self.rng.choice([0, 1, 2, 3, 4, 5, 6, 6, 6, 7], (trees, rows))
        table[..., 0] = self.rng.integers(0, 5, modes.shape) << 4 | self.rng.integers(
            0, 2, modes.shape
        ) << 3 | modes  # fmt: skip
        table[..., 1] = get_bits(make_elements(self.rng, "float32", modes.shape))
        self.weights.append(("uint32", table.shape, table))
        ref = Ref(space=WEIGHT, number=len(self.weights) - 1)
        values = self.get(("float32",), shape=(trees, leaves, int(self.rng.integers(0, 3))))
        nodes = (ref, TensorType("uint32", table.shape))
        bounds = {"depth": int(self.rng.integers(0, 6)), "stretches": int(self.rng.integers(1, 3))}
        self.node(name, [x, nodes, values], **bounds)


def try_graph(seed):
    """Draw one graph and judge it: how many elements, by operator, and those that differ."""
    maker = Maker(seed)
    for _ in range(4 * NODES):
        if len(maker.nodes) < NODES:
            try:
                maker.step()
            except Refusal:
                continue
    return compare_all(maker, seed)


def compare_all(maker, seed):
    graph, rng = maker.get_graph(), maker.rng
    given = [one[2] for one in maker.inputs]
    bound = bind_graph(graph, bind_dims(graph, tuple(one.shape for one in given)))
    entries = {}
    settings = {"threads": maker.draw((1, 1, 2)), "k_chunk": maker.draw((1, 3, 16, 384))}
    evaluator = Evaluator(graph, [one[2] for one in maker.weights], **settings)
    for _ in range(2):  # the second time with memory that was used before
        evaluator.evaluate(
            given, sink=lambda number, array: entries.update({number: flatten(array.copy())})
        )
    evaluator.close()
    spaces = (list(map(flatten, given)), [flatten(one[2]) for one in maker.weights], entries)
    wrong, seen = [], set()
    for number, node in enumerate(bound.nodes):
        reads = [spaces[ref.space][ref.number] for ref in node.reads]

        def fetch(read, reads=reads):
            return reads[read.source][read.first : read.first + read.length]

        count = node.output.count
        for element in rng.permutation(count)[:JUDGED].tolist():
            have = entries[number][element]
            seen.add(node.operator)
            judged = judge_element(node, element, fetch, claimed=have)
            if judged != have:
                kinds = [(one.dtype, one.shape) for one in node.inputs]
                wrong.append((seed, number, node.operator, kinds, element, hex(have), hex(judged)))
    return seen, wrong


def flatten(array):
    return get_bits(np.asarray(array, order="C")).reshape(-1).tolist()


@pytest.mark.parametrize("share", range(SHARES))
def test_random_graphs_are_judged_as_they_are_evaluated(share, seed_round):
    graphs = MORE if seed_round else GRAPHS
    first = (seed_round * SHARES + share) * MORE
    seen, wrong = set(), []
    for seed in range(first, first + graphs):
        found, more = try_graph(seed)
        seen |= found
        wrong += more
    assert not wrong, wrong[:5]
    assert len(seen) > len(PRIMITIVES) // 2


def test_every_primitive_is_drawn():
    drawn = set()
    for seed in range(400):
        maker = Maker(seed)
        for _ in range(8):
            try:
                maker.step()
            except Refusal:
                continue
        drawn |= {node.operator for node in maker.nodes}
    assert drawn == {operator for operator, _ in PRIMITIVES}
