"""What the network has agreed: a pure state machine over a Merkle map.

Quiet: no clock, chance, disk, socket or floats; state is read and written through a store that
the caller passes. Import the pages themselves; this one stays empty.
"""
