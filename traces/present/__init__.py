"""What the trace page shows: stored spans become view models here, without Django, so that each can be tested
alone.
"""
