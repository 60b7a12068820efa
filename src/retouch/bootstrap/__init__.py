"""The composition root: the only package that knows every concrete class.

Builds the ports from `Settings` and hands them to the services, the web app and the worker.
Nothing here imports torch; a family does, in the process that loads it.
"""
