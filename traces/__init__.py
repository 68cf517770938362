"""Ingest -> store -> settle -> search, metrics, explorer. Knows `features` and `audit`, and no room
above it.
"""
