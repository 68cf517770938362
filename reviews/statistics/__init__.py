"""The figures of the weekly sample, as pure functions: how it is drawn, how well people agree, and what it says of
the week.
"""
