"""Addresses of the classifier's API, under `/api/v1/`."""

from django.urls import path

from classifier.api import (
    batch_bulk_views,
    batch_views,
    export_views,
    map_views,
    model_views,
    neighbour_views,
    original_views,
    picture_views,
    prediction_views,
    share_views,
)

urlpatterns = [
    path("classes", model_views.ClassesView.as_view(), name="classes"),
    path("model/info", model_views.ModelInfoView.as_view(), name="model_info"),
    path("predict", picture_views.PredictView.as_view(), name="predict"),
    path("batch_predict", picture_views.BatchPredictView.as_view(), name="batch_predict"),
    path("batches", batch_views.BatchesView.as_view(), name="batches"),
    path("batches/cancel", batch_bulk_views.BatchesCancelView.as_view(), name="batches_cancel"),
    path("batches/delete", batch_bulk_views.BatchesDeleteView.as_view(), name="batches_delete"),
    path("batches/<int:pk>", batch_views.BatchDetailView.as_view(), name="batch"),
    path("batches/<int:pk>/cancel", batch_views.BatchCancelView.as_view(), name="batch_cancel"),
    path("batches/<int:pk>/resume", batch_views.BatchResumeView.as_view(), name="batch_resume"),
    path("batches/<int:pk>/items", batch_views.BatchItemsView.as_view(), name="batch_items"),
    path("batches/<int:pk>/results.csv", batch_views.BatchCsvView.as_view(), name="batch_csv"),
    path("batches/<int:pk>/results.jsonl", batch_views.BatchJsonLinesView.as_view(), name="batch_jsonl"),
    path("predict_base64", picture_views.EncodedPredictView.as_view(), name="predict_base64"),
    path("predictions", prediction_views.PredictionsView.as_view(), name="predictions"),
    path("predictions/delete", prediction_views.PredictionDeletionView.as_view(), name="predictions_delete"),
    path("predictions/export.csv", export_views.CsvExportView.as_view(), name="predictions_csv"),
    path("predictions/export.jsonl", export_views.LinesExportView.as_view(), name="predictions_jsonl"),
    path("predictions/<int:pk>", prediction_views.PredictionView.as_view(), name="prediction"),
    path("predictions/<int:pk>/label", prediction_views.PredictionLabelView.as_view(), name="prediction_label"),
    path(
        "predictions/<int:pk>/thumbnail",
        prediction_views.PredictionThumbnailView.as_view(),
        name="prediction_thumbnail",
    ),
    path("predictions/<int:pk>/seen", map_views.PredictionSeenView.as_view(), name="prediction_seen"),
    path("predictions/<int:pk>/activation_map", map_views.ActivationMapView.as_view(), name="activation_map"),
    path(
        "predictions/<int:pk>/activation_map.png",
        map_views.ActivationMapDrawingView.as_view(),
        name="activation_map_drawing",
    ),
    path("predictions/<int:pk>/neighbours", neighbour_views.NeighboursView.as_view(), name="prediction_neighbours"),
    path("predictions/<int:pk>/share", share_views.PredictionShareView.as_view(), name="prediction_share"),
    path("predictions/<int:pk>/original", original_views.PredictionOriginalView.as_view(), name="prediction_original"),
]
