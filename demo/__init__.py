"""The demo: three agents that do not exist, their history, and a program that plays them against a running
server.

Not part of the product: the product imports nothing from here, and what happens here goes through its public
doors.
"""
