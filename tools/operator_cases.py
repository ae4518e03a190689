"""What composite operators are measured on: inputs, and the operator in one piece in float64.

Float64 is at least 2^29 times finer than float32, so it stands for exact here; every reference is
written so that it does not cancel on its inputs. Must not know how operators are expanded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CASES", "Case"]

Doubles = npt.NDArray[np.float64]
_RNG = np.random.default_rng(20_260_101)
_erf = np.vectorize(math.erf, otypes=[np.float64])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operator, as it is measured.

    Attributes:
        operator: Its name.
        told: What is particular about this use; for people.
        exact: Computes the first output in float64.
        random: Usual inputs.
        hard: Inputs that bring out what the roundings between do.
        why: In which way these are hard.
        attributes: Of the node.
        domain: Empty for ``ai.onnx``.
        constants: How many inputs, from the second on, are constants of the model.
    """

    operator: str
    exact: Callable[..., Any]
    random: tuple[Any, ...]
    hard: tuple[Any, ...]
    why: str
    told: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    constants: int = 0


def _draw(*shape: int, scale: float = 1.0, around: float = 0.0) -> npt.NDArray[np.float32]:
    return (around + scale * _RNG.standard_normal(shape)).astype(np.float32)


def _sigmoid(x: Doubles) -> Doubles:
    result: Doubles = np.where(x >= 0, 1, np.exp(np.minimum(x, 0))) / (1 + np.exp(-np.abs(x)))
    return result


def _softmax(x: Doubles) -> Doubles:
    powers = np.exp(x - x.max(-1, keepdims=True))
    result: Doubles = powers / powers.sum(-1, keepdims=True)
    return result


def _log_softmax(x: Doubles) -> Doubles:
    apart = x - x.max(-1, keepdims=True)
    result: Doubles = apart - np.log(np.exp(apart).sum(-1, keepdims=True))
    return result


def _layer_norm(x: Doubles, scale: Doubles, bias: Doubles) -> Doubles:
    apart = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((apart * apart).mean(-1, keepdims=True) + float(np.float32(1e-5)))
    result: Doubles = apart / deviation * scale + bias
    return result


def _instance_norm(x: Doubles, scale: Doubles, bias: Doubles) -> Doubles:
    apart = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((apart * apart).mean(-1, keepdims=True) + float(np.float32(1e-5)))
    result: Doubles = apart / deviation * scale[:, None] + bias[:, None]
    return result


def _batch_norm(x: Doubles, *channel: Doubles) -> Doubles:
    scale, bias, mean, variance = (one[:, None] for one in channel)
    return (x - mean) / np.sqrt(variance + float(np.float32(1e-5))) * scale + bias


def _gelu_tanh(x: Doubles) -> Doubles:
    result: Doubles = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return result


def _conv(x: Doubles, weight: Doubles, bias: Doubles) -> Doubles:
    width = weight.shape[-1]
    patches = np.lib.stride_tricks.sliding_window_view(x, width, axis=-1)
    result: Doubles = np.einsum("ncpk,ock->nop", patches, weight) + bias[:, None]
    return result


def _lstm(x: Doubles, w: Doubles, r: Doubles, b: Doubles) -> Doubles:
    size = r.shape[-1]
    hidden = cell = np.zeros((x.shape[1], size))
    outputs = []
    for step in x:
        gates = step @ w[0].T + hidden @ r[0].T + b[0][: 4 * size] + b[0][4 * size :]
        entering, leaving, forgetting, candidate = np.split(gates, 4, axis=1)
        cell = _sigmoid(forgetting) * cell + _sigmoid(entering) * np.tanh(candidate)
        hidden = _sigmoid(leaving) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)[:, None]


def _attention(q: Doubles, k: Doubles, v: Doubles) -> Doubles:
    """Causal attention; heads of queries share keys in pairs."""
    k, v = (np.repeat(one, q.shape[1] // one.shape[1], axis=1) for one in (k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    hidden = np.triu(np.ones(scores.shape[-2:], bool), 1)
    result: Doubles = _softmax(np.where(hidden, -np.inf, scores)) @ v
    return result


def _rotate(x: Doubles, cosine: Doubles, sine: Doubles) -> Doubles:
    one, two = np.split(x, 2, axis=-1)
    c, s = cosine[:, None], sine[:, None]
    return np.concatenate([one * c - two * s, one * s + two * c], axis=-1)


def _rms_norm(x: Doubles, scale: Doubles) -> Doubles:
    mean = (x * x).mean(-1, keepdims=True)
    result: Doubles = x / np.sqrt(mean + float(np.float32(1e-5))) * scale
    return result


def _cancel(rows: int, terms: int, columns: int) -> tuple[Any, Any, Any]:
    """Products that almost cancel a bias, which is large."""
    left, right = _draw(rows, terms), _draw(terms, columns)
    return left, right, (-(left.astype(np.float64) @ right)[0]).astype(np.float32)


def _draw_heads(scale: float = 1.0) -> tuple[Any, ...]:
    """Queries, keys and values of 24 rows, heads of 16."""
    return (
        _draw(2, 4, 24, 16, scale=scale),
        _draw(2, 2, 24, 16, scale=scale),
        _draw(2, 2, 24, 16),
    )


def _line(scale: float, around: float = 0.0) -> tuple[Any]:
    return (_draw(4096, scale=scale, around=around),)


def _map(operator: str, exact: Callable[..., Any], **told: Any) -> Case:
    """Make the case of an operator of one element."""
    hard, why = told.pop("hard", _line(30.0)), told.pop("why", "thirty times as wide")
    return Case(operator=operator, exact=exact, random=_line(1.0), hard=hard, why=why, **told)


_CHANNELS = (_draw(8, around=1, scale=0.1), _draw(8, scale=0.1))
_STATISTICS = (_draw(8), np.abs(_draw(8)) + np.float32(0.1))
_GATES = (_draw(1, 64, 12, scale=0.3), _draw(1, 64, 16, scale=0.3), _draw(1, 128, scale=0.1))
_AFFINE = (_draw(256, around=1, scale=0.1), _draw(256, scale=0.1))
_KERNELS = (_draw(6, 8, 5, scale=0.2), _draw(6))
_COEFFICIENTS = [float(one) for one in _draw(64)]
_TINY = _line(1e-3)
_PLACES = np.arange(24)[None, :, None] * 100.0 ** (-np.arange(8) / 8)
_ANGLES = tuple(np.repeat(turn(_PLACES), 2, axis=0).astype(np.float32) for turn in (np.cos, np.sin))

CASES: tuple[Case, ...] = (
    Case(
        operator="Gemm",
        told="alpha 0.7, beta 1.3",
        attributes={"alpha": 0.7, "beta": 1.3},
        exact=lambda a, b, c: float(np.float32(0.7)) * (a @ b) + float(np.float32(1.3)) * c,
        random=(_draw(16, 256), _draw(256, 32), _draw(32)),
        hard=_cancel(1, 256, 32),
        why="one row, which the bias nearly cancels",
    ),
    Case(
        operator="Gemm",
        told="with a bias",
        exact=lambda a, b, c: a @ b + c,
        random=(_draw(16, 256), _draw(256, 32), _draw(32)),
        hard=(_draw(16, 256), _draw(256, 32), _draw(32, around=4096)),
        why="a bias 256 times as large as the product",
    ),
    Case(
        operator="Conv",
        told="with a bias",
        exact=_conv,
        random=(_draw(2, 8, 40), *_KERNELS),
        hard=(_draw(2, 8, 40, around=1000), *_KERNELS),
        why="pixels around 1000",
    ),
    Case(
        operator="LayerNormalization",
        exact=_layer_norm,
        random=(_draw(32, 256), *_AFFINE),
        hard=(_draw(32, 256, around=1000), *_AFFINE),
        why="a mean of 1000 deviations",
    ),
    Case(
        operator="BatchNormalization",
        exact=_batch_norm,
        random=(_draw(4, 8, 64), *_CHANNELS, *_STATISTICS),
        hard=(
            _draw(4, 8, 64, around=1000),
            *_CHANNELS,
            _draw(8, around=1000),
            _STATISTICS[1],
        ),
        why="a mean of 1000 deviations",
    ),
    Case(
        operator="InstanceNormalization",
        exact=_instance_norm,
        random=(_draw(4, 8, 64), *_CHANNELS),
        hard=(_draw(4, 8, 64, around=1000), *_CHANNELS),
        why="a mean of 1000 deviations",
    ),
    Case(
        operator="Softmax",
        exact=_softmax,
        random=(_draw(32, 256),),
        hard=(_draw(32, 256, scale=100, around=1000),),
        why="logits around 1000, a hundred times as wide",
    ),
    Case(
        operator="LogSoftmax",
        exact=_log_softmax,
        random=(_draw(32, 256),),
        hard=(_draw(32, 256, scale=100, around=1000),),
        why="logits around 1000, a hundred times as wide",
    ),
    Case(
        operator="LSTM",
        told="16 steps, 16 cells",
        attributes={"hidden_size": 16},
        constants=3,
        exact=_lstm,
        random=(_draw(16, 4, 12), *_GATES),
        hard=(_draw(16, 4, 12, scale=10), *_GATES),
        why="inputs ten times as wide: gates open and shut",
    ),
    _map("Gelu", lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), told="exact"),
    _map("Gelu", _gelu_tanh, told="tanh", attributes={"approximate": "tanh"}),
    _map(
        "HardSigmoid",
        lambda x: np.clip(float(np.float32(0.2)) * x + 0.5, 0, 1),
        hard=_line(1e-4, -2.5),
        why="where the line crosses 0",
    ),
    _map("Softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    _map(
        "Mish", lambda x: x * np.tanh(np.logaddexp(0, x)), hard=_line(5.0), why="five times as wide"
    ),
    _map("Elu", lambda x: np.where(x < 0, np.expm1(x), x), hard=_TINY, why="near 0"),
    _map(
        "Selu",
        lambda x: (
            float(np.float32(1.0507009873554805))
            * np.where(x > 0, x, float(np.float32(1.6732632423543772)) * np.expm1(x))
        ),
        hard=_TINY,
        why="near 0",
    ),
    _map("Swish", lambda x: x * _sigmoid(x)),
    _map("Softsign", lambda x: x / (1 + np.abs(x))),
    _map(
        "HardSwish",
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        hard=_line(1e-3, -3.0),
        why="where it leaves 0",
    ),
    Case(
        operator="ReduceL2",
        attributes={"keepdims": 0},
        exact=lambda x: np.sqrt((x * x).sum(axis=None)),
        random=_line(1.0),
        hard=_line(1.0, 1000.0),
        why="elements around 1000",
    ),
    Case(
        operator="ReduceSumSquare",
        attributes={"keepdims": 0},
        exact=lambda x: (x * x).sum(axis=None),
        random=_line(1.0),
        hard=_line(1.0, 1000.0),
        why="elements around 1000",
    ),
    Case(
        operator="Sum",
        told="of four",
        exact=lambda *terms: np.sum(terms, axis=0),
        random=tuple(_draw(4096) for _ in range(4)),
        hard=(_draw(4096, around=1e6), _draw(4096), _draw(4096), _draw(4096, around=-1e6)),
        why="the first and the last cancel",
    ),
    Case(
        operator="Scaler",
        domain="ai.onnx.ml",
        attributes={"offset": [1000.0] * 8, "scale": [0.3] * 8},
        exact=lambda x: (x - 1000) * float(np.float32(0.3)),
        random=(_draw(64, 8),),
        hard=(_draw(64, 8, around=1000),),
        why="the offset cancels",
    ),
    Case(
        operator="LinearRegressor",
        domain="ai.onnx.ml",
        told="64 coefficients",
        attributes={"coefficients": _COEFFICIENTS, "intercepts": [0.25]},
        exact=lambda x: x @ np.array(_COEFFICIENTS)[:, None] + 0.25,
        random=(_draw(64, 64),),
        hard=(_draw(64, 64, around=1000),),
        why="features around 1000",
    ),
    Case(
        operator="Normalizer",
        domain="ai.onnx.ml",
        told="L2",
        attributes={"norm": "L2"},
        exact=lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True)),
        random=(_draw(32, 64),),
        hard=(_draw(32, 64, around=1000),),
        why="elements around 1000",
    ),
    Case(
        operator="Attention",
        told="4 heads, 2 of keys, causal",
        attributes={"is_causal": 1},
        exact=_attention,
        random=_draw_heads(),
        hard=_draw_heads(scale=30.0),
        why="queries and keys thirty times as wide: one key has all",
    ),
    Case(
        operator="RotaryEmbedding",
        exact=_rotate,
        random=(_draw(2, 4, 24, 16), *_ANGLES),
        hard=(np.ones((2, 4, 24, 16), np.float32), *_ANGLES),
        why="pairs of ones: their turned halves cancel",
    ),
    Case(
        operator="RMSNormalization",
        exact=_rms_norm,
        random=(_draw(32, 256), _AFFINE[0]),
        hard=(_draw(32, 256, around=1000), _AFFINE[0]),
        why="elements around 1000",
    ),
)
"""Every operator that is expanded into several roundings, with what it is measured on."""
