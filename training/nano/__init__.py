"""How the weights in `src/retouch/weights/nano` are made: pictures, edits, words, training,
evaluation, export.
"""
