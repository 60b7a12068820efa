"""Untrusted bytes to upright sRGB pixels, and pixels to files.

Nothing is imported here, so that the decoding child process starts with Pillow and little else.
"""
