"""Predictions: pictures in, classes out, a history kept."""
