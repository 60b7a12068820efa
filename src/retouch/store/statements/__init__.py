"""Every statement the store makes, readable on its own.

A move is one guarded UPDATE: it names the states it may leave, and its row count says whether it
won. Times of claims, beats and moves are the database's own, so hosts may disagree about the time.
"""
