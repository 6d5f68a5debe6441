"""The application's part of the API."""
