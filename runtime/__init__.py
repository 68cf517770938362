"""The base Clearance stands on: its state folder, the embedded PostgreSQL, and the supervisor of its
processes.

Nothing in here imports Django, so that it can start before the settings can be read.
"""
