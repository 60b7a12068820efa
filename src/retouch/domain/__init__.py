"""The words of the project as values: standard library only, no I/O."""
