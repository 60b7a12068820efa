"""The process that claims predictions, drives an engine and finishes them."""

from retouch.worker.options import WorkerOptions
from retouch.worker.supervisor import Supervisor
from retouch.worker.worker import Worker

__all__ = ["Supervisor", "Worker", "WorkerOptions"]
