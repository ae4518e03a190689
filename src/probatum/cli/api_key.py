"""`probatum node api-key`: keys for a gateway's door.

A key is shown once, when it is made; the gateway keeps a hash. A running gateway takes changes
within a second or two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from probatum.cli.amounts import format_units, parse_tokens
from probatum.cli.output import note, print_facts, print_json, print_lines
from probatum.cli.settings import DEFAULTS, Common
from probatum.nodes.shell.api_keys import ApiKey, add_key, load_keys, revoke_key, set_budget
from probatum.nodes.shell.config import GatewayConfig, load_config

__all__ = ["app"]

app = App(name="api-key", help="Make, list and revoke API keys of a gateway.")

Home = Annotated[Path, Parameter(help="The gateway's home folder.")]


@app.command
def new(
    home: Home,
    /,
    *,
    label: Annotated[str, Parameter(help="Whom it is for, in your words.")] = "",
    per_second: Annotated[
        float | None, Parameter(help="Requests a second; without it no limit.")
    ] = None,
    at_once: Annotated[
        int | None, Parameter(help="Requests at one time; without it no limit.")
    ] = None,
    budget: Annotated[
        str, Parameter(help="What its requests may cost in all, in tokens; you pay.")
    ] = "0",
    common: Common = DEFAULTS,
) -> None:
    """Make a key and show it: this once.

    Example: probatum node api-key new ./my-gateway --label alice --per-second 10
    """
    load_config(home, GatewayConfig)
    text, key = add_key(
        home,
        label=label,
        per_s=per_second,
        at_once=at_once,
        budget_units=parse_tokens(budget),
    )
    if common.json:
        print_json({"key": text, **_describe(key)})
        return
    print_facts({"key": text, "id": key.id})
    note("It is not kept here and cannot be shown again. Clients send: Authorization: Bearer KEY")


@app.command(name="budget")
def change_budget(
    home: Home,
    key: Annotated[str, Parameter(help="The key's id, as `list` shows it.")],
    budget: Annotated[str, Parameter(help="In tokens, with what was spent already.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Change what a key's requests may cost in all.

    Example: probatum node api-key budget ./my-gateway abcd2345 2.5
    """
    load_config(home, GatewayConfig)
    changed = set_budget(home, key, parse_tokens(budget))
    if common.json:
        print_json(_describe(changed))
        return
    print_lines((f"{changed.id} may spend {format_units(changed.budget_units)} tokens in all.",))


@app.command(name="list")
def list_(home: Home, /, *, common: Common = DEFAULTS) -> None:
    """List the keys: their public parts, whom they are for, what they may.

    Example: probatum node api-key list ./my-gateway
    """
    load_config(home, GatewayConfig)
    keys = load_keys(home)
    if common.json:
        print_json([_describe(key) for key in keys])
        return
    print_lines(
        tuple(
            f"{key.id}  {'revoked' if key.revoked else 'valid':7}  made {key.made_on}  "
            f"{_say_limits(key):24}  {key.label}".rstrip()
            for key in keys
        )
        or ("There are no API keys.",)
    )


@app.command
def revoke(
    home: Home,
    key: Annotated[str, Parameter(help="The key's id, as `list` shows it.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Revoke a key for ever.

    Example: probatum node api-key revoke ./my-gateway abcd2345
    """
    load_config(home, GatewayConfig)
    revoked = revoke_key(home, key)
    if common.json:
        print_json(_describe(revoked))
        return
    print_lines((f"Revoked {revoked.id}.",))


def _describe(key: ApiKey) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(key)
    del shown["sha256"]
    return shown


def _say_limits(key: ApiKey) -> str:
    parts = [
        f"{key.per_s:g}/s" if key.per_s is not None else "",
        f"{key.at_once} at once" if key.at_once is not None else "",
        f"{format_units(key.budget_units)} tokens" if key.budget_units else "",
    ]
    return ", ".join(part for part in parts if part) or "no limits"
