"""Addresses of the training application's API, under `/api/v1/`."""

from django.urls import path

from training.api import views

urlpatterns = [
    path("workers", views.WorkersView.as_view(), name="workers"),
]
