"""The Open Inference Protocol's binary tensor extension: tensors' bytes behind the JSON.

A body is then a JSON head, as long as the header ``Inference-Header-Content-Length`` says, and the
bytes of those tensors whose parameter ``binary_data_size`` says how many, in the head's order.
They are row-major and little-endian, as ours are, so NaN and infinities pass and nothing is
converted. Must not know the JSON's other fields (`oip`) nor HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

from probatum.errors import Refusal
from probatum.protocol.tensors import DTYPES, DtypeName, Tensor, check_tensor

__all__ = ["EXTENSION", "NO_TAIL", "Tail", "read_size", "split_body"]

EXTENSION: Final = "binary_tensor_data"
"""The extension's name in a server's metadata."""
_SIZE: Final = "binary_data_size"


class Tail:
    """The bytes behind a head, taken in order."""

    def __init__(self, data: memoryview) -> None:
        """Make it; nothing is copied before it is taken."""
        self._data = data
        self._at = 0

    def __len__(self) -> int:
        """Count the bytes, taken or not."""
        return len(self._data)

    def take(self, name: str, dtype: DtypeName, shape: tuple[int, ...], size: int) -> Tensor:
        """Take the next tensor's bytes.

        Raises:
            Refusal: `oip.bad-binary` if they are not there or not as many as the shape needs,
                `tensor.*` if they are no elements of the type.
        """
        need = prod(shape) * DTYPES[dtype].size_bytes
        if size != need:
            raise Refusal(
                "oip.bad-binary", f"{name!r} announces {size} bytes where its shape needs {need}"
            )
        data = bytes(self._data[self._at : self._at + size])
        if len(data) != size:
            raise Refusal("oip.bad-binary", f"the body ends within the bytes of {name!r}")
        self._at += size
        tensor = Tensor(name=name, dtype=dtype, shape=shape, data=data)
        check_tensor(tensor)
        return tensor

    def finish(self) -> None:
        """Check that nothing is left. Raises Refusal `oip.bad-binary`."""
        left = len(self._data) - self._at
        if left:
            raise Refusal("oip.bad-binary", f"{left} bytes belong to no tensor")


NO_TAIL: Final = Tail(memoryview(b""))
"""Behind a body of JSON alone; it holds nothing, so it never changes."""


def split_body(body: bytes, head_bytes: int | None) -> tuple[bytes, Tail]:
    """Cut a body into its JSON head and what is behind it.

    Args:
        body: The whole body.
        head_bytes: What the header says; None if it is absent.

    Raises:
        Refusal: `oip.bad-binary` for a head longer than the body.
    """
    if head_bytes is None or head_bytes == len(body):
        return body, NO_TAIL
    if head_bytes > len(body):
        raise Refusal("oip.bad-binary", "the head is announced longer than the whole body")
    return body[:head_bytes], Tail(memoryview(body)[head_bytes:])


def read_size(name: str, parameters: Mapping[str, object]) -> int | None:
    """Read how many bytes a tensor announces; None if its data is JSON.

    Raises:
        Refusal: `oip.bad-binary`, `oip.unsupported-parameter`.
    """
    if "shared_memory_region" in parameters:
        raise Refusal(
            "oip.unsupported-parameter",
            f"{name!r} is in shared memory, which no server elsewhere can see",
            hint="send the data itself",
        )
    size = parameters.get(_SIZE)
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Refusal("oip.bad-binary", f"{_SIZE} of {name!r} is no number of bytes")
    return size
