"""Who does what: one package a role, and `shell`, the real world around them.

A role is a pure machine and its policy, with a thin ASGI app around it. Roles do not know each
other; the packages' own `__init__` pages are empty, so that a machine is imported without its web
server. Within `nodes` only `shell`, `app` and `run` pages know asyncio, HTTP and disks.
"""
