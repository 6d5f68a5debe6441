"""Addresses of the classifier's API, under `/api/v1/`."""

from django.urls import path

from classifier.api import model_views, picture_views

urlpatterns = [
    path("classes", model_views.ClassesView.as_view(), name="classes"),
    path("model/info", model_views.ModelInfoView.as_view(), name="model_info"),
    path("predict", picture_views.PredictView.as_view(), name="predict"),
    path("batch_predict", picture_views.BatchPredictView.as_view(), name="batch_predict"),
    path("predict_base64", picture_views.EncodedPredictView.as_view(), name="predict_base64"),
]
