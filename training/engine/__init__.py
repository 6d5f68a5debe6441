"""Train, evaluate and package image classifiers: a PyTorch library and command line that knows no web site."""
