"""Addresses of the classifier's API, under `/api/v1/`."""

from django.urls import path

from classifier.api import views

urlpatterns = [
    path("classes", views.ClassesView.as_view(), name="classes"),
    path("model/info", views.ModelInfoView.as_view(), name="model_info"),
    path("predict", views.PredictView.as_view(), name="predict"),
]
