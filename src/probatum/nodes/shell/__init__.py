"""The real world around the machines: the one place in `nodes` with asyncio, HTTP and disks."""
