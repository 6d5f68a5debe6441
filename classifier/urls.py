"""Addresses of the pages about pictures."""

from django.urls import path

from classifier import views

urlpatterns = [
    path("", views.classify, name="classify"),
    path("classify/", views.classify_answer, name="classify_answer"),
    path("history/", views.history, name="history"),
    path("history/<int:pk>/", views.prediction, name="prediction"),
    path("history/<int:pk>/thumbnail.jpg", views.thumbnail, name="prediction_thumbnail"),
    path("history/<int:pk>/label/", views.label, name="prediction_label"),
    path("history/<int:pk>/delete/", views.delete, name="prediction_delete"),
]
