"""Training in the admin panel: the same services as on the pages; what a worker or a service writes is read-only."""

from training.admin import jobs, queues, results

__all__ = ["jobs", "queues", "results"]
