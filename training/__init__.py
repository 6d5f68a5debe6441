"""Datasets, training runs, model versions, and the jobs that make them."""
