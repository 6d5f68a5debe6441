"""Batch jobs: archives of pictures, from the upload to the downloads, on the web's side and on the worker's."""
