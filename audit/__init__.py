"""The record of who did what. Its schema and roles exist from the first migration on; imports no
other room.
"""
