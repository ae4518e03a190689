"""The validators of an open network folder, ready to be started.

Must not know what they do. Read next: `validators`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from probatum.ops.children import Children
from probatum.ops.cometbft import find_cometbft
from probatum.ops.engines import place_engines
from probatum.ops.folder import NetworkFolder
from probatum.ops.homes import write_home
from probatum.ops.validators import Validators

__all__ = ["prepare_validators"]

_LEAST_STILL_S: Final = 15.0
_STILL_INTERVALS: Final = 10


def prepare_validators(folder: NetworkFolder, say: Callable[[str], None]) -> Validators:
    """Find CometBFT, bring homes up to date, and settle where everybody is; nothing runs yet.

    Raises:
        Refusal: `cometbft.*`; as `check_engine_home`.
        Fault: `cometbft.not-running`, `config.*`, `engine.unwritable`.
    """
    program = find_cometbft()
    for name in folder.validator_names:
        write_home(folder, name, ledger=None)
    members = place_engines(folder.path, folder.validator_homes, folder.genesis)
    return Validators(
        members,
        Children(folder.logs, inherited=(folder.lock,)),
        program=program,
        still_s=max(_LEAST_STILL_S, _STILL_INTERVALS * folder.block_interval_ms / 1_000),
        say=say,
    )
