"""Pressure, on purpose: the real machines on virtual time, by seed.

A storm is a whole network in one process: the same machines that the nodes run, over a network
and disks that lose, delay, repeat, corrupt, cut and crash. One seed draws all of it, so a seed
and a commit bring back every storm. This room alone holds a seeded generator; the real world
(clock, sockets, disks, threads) is out of its reach. Read next: `kernel`, `world`, `checkers`.
"""
