"""How a party acts: the vocabulary that every acting party shares.

`events` are what the world tells a party, `wishes` what the party asks of the world, `machine`
the shape of a party, `budget` bounded queues. No page here knows sockets, asyncio or clocks.
"""
