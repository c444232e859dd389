"""Several computers, one fusion: what travels between them, on which clock, over which engine (zenoh).

Nodes publish what they see of people (``node``); one listener, on the computer that fuses, takes it (``listener``).
"""
