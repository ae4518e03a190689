"""The published vectors of `canon` hold: `CANON-1`, `CANON-3`, `CANON-5`, partials of `CANON-9`."""

import json
from pathlib import Path

import pytest

from probatum.canon.arith import basic, functions, powers, sums
from probatum.canon.arith.formats import FORMATS, decode
from probatum.canon.arith.rounding import round_ratio
from probatum.canon.trace import roots
from probatum.canon.trace.compression import compute_chunk_value, compute_parent_value
from probatum.canon.trace.openings import Opening, check_chunks
from probatum.canon.trace.tree import Subtree, check_children
from probatum.errors import Refusal

FOLDER = Path(__file__).parents[2] / "vectors" / "canon"
ARITH = json.loads((FOLDER / "arith-1.json").read_text(encoding="utf-8"))
TRACE = json.loads((FOLDER / "trace-1.json").read_text(encoding="utf-8"))


def compute_input(length):
    """The input of BLAKE3's own vectors."""
    return bytes(number % 251 for number in range(length))


def unhex(values):
    return tuple(bytes.fromhex(value) for value in values)


def bits(values):
    return [int(value, 16) for value in values]


def test_every_kind_of_vector_is_tested():
    kinds = "numbers roundings binary unary conversions sums products joined_partials"
    assert list(ARITH) == [*kinds.split(), "refused_partials"]
    kinds = "keys chunks parents tensors openings refused_openings children traces"
    assert list(TRACE) == kinds.split()
    assert all(ARITH.values())
    assert all(TRACE.values())


def test_numbers():
    for one in ARITH["numbers"]:
        number = decode(FORMATS[one["format"]], int(one["bits"], 16))
        want = (one["kind"], one["negative"], int(one["mantissa"]), one["exponent"])
        assert number == want


def test_roundings():
    for one in ARITH["roundings"]:
        fmt = FORMATS[one["format"]]
        top, bottom = int(one["numerator"]), int(one["denominator"])
        assert round_ratio(fmt, top, bottom, one["exponent"]) == int(one["bits"], 16), one


def test_two_elements():
    for table in ARITH["binary"]:
        name, fmt = table["operation"], FORMATS[table["format"]]
        function = powers.power if name == "power" else getattr(basic, name)
        for case in table["cases"]:
            left, right, want = bits(case)
            assert function(fmt, left, right) == want, (fmt.name, name, case)


def test_one_element():
    for table in ARITH["unary"]:
        name, fmt = table["function"], FORMATS[table["format"]]
        function = basic.sqrt if name == "sqrt" else getattr(functions, name)
        for case in table["cases"]:
            element, want = bits(case)
            assert function(fmt, element) == want, (fmt.name, name, case)


def test_conversions():
    for table in ARITH["conversions"]:
        source, target = FORMATS[table["source"]], FORMATS[table["target"]]
        for case in table["cases"]:
            element, want = bits(case)
            assert basic.convert(source, target, element) == want, (table["target"], case)


def test_sums():
    for one in ARITH["sums"]:
        fmt = FORMATS[one["format"]]
        partial = sums.sum_elements(fmt, bits(one["elements"]))
        assert partial.hex() == one["partial"]
        assert sums.finish_sum(fmt, partial) == int(one["sum"], 16)
        for count, mean in one["means"].items():
            assert sums.finish_mean(fmt, partial, int(count)) == int(mean, 16)


def test_products():
    for one in ARITH["products"]:
        fmt = FORMATS[one["format"]]
        partial = sums.sum_products(fmt, bits(one["left"]), bits(one["right"]))
        assert partial.hex() == one["partial"]
        assert sums.finish_products(fmt, partial) == int(one["sum"], 16)


def test_partials():
    for one in ARITH["joined_partials"]:
        assert sums.combine(*unhex((one["left"], one["right"]))).hex() == one["joined"]
    for one in ARITH["refused_partials"]:
        with pytest.raises(Refusal) as caught:
            sums.decode_partial(bytes.fromhex(one["partial"]))
        assert caught.value.code == one["code"]


def test_keys_and_traces():
    for one in TRACE["keys"]:
        dtype, shape = one["dtype"], tuple(one["shape"])
        salt = bytes.fromhex(one["salt"])
        assert roots.derive_entry_key(salt, dtype, shape, one["number"]).hex() == one["entry_key"]
        assert roots.derive_weight_key(dtype, shape).hex() == one["weight_key"]
    for one in TRACE["traces"]:
        salt = bytes.fromhex(one["salt"])
        assert roots.derive_trace_key(salt).hex() == one["key"]
        assert roots.compute_trace_root(salt, unhex(one["roots"])).hex() == one["root"]


def test_chunks_and_parents():
    for one in TRACE["chunks"]:
        key, chunk = bytes.fromhex(one["key"]), compute_input(one["length"])
        assert compute_chunk_value(key, chunk, one["number"]).hex() == one["value"]
        if one["root"]:
            assert compute_chunk_value(key, chunk, 0, is_root=True).hex() == one["root"]
    for one in TRACE["parents"]:
        arguments = unhex((one["key"], one["left"], one["right"]))
        assert compute_parent_value(*arguments).hex() == one["value"]
        assert compute_parent_value(*arguments, is_root=True).hex() == one["root"]
    for one in TRACE["tensors"]:
        root = roots.compute_keyed_root(bytes.fromhex(one["key"]), compute_input(one["length"]))
        assert root.hex() == one["root"]


def check_opening(one, data):
    numbers = tuple(one["numbers"])
    chunks = tuple(data[number * 1024 : number * 1024 + 1024] for number in numbers)
    root, key = unhex((one["root"], one["key"]))
    opening = Opening(chunks=chunks, path=unhex(one["path"]))
    check_chunks(root, key, one["length"], numbers, opening)


def test_openings():
    for one in TRACE["openings"]:
        check_opening(one, compute_input(one["length"]))
    for one in TRACE["refused_openings"]:
        with pytest.raises(Refusal) as caught:
            check_opening(one, compute_input(102400))
        assert caught.value.code == one["code"], one


def test_children():
    for one in TRACE["children"]:
        key, value = unhex((one["key"], one["value"]))
        node = Subtree(one["first"], one["size"])
        check_children(key, one["length"], node, value, unhex(one["children"]))
