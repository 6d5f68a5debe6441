"""Pages of runs, model versions and data: a few lines around a service or a query each."""
