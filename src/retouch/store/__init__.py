"""The prediction table: the queue and the only truth."""
