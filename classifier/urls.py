"""Addresses of the pages about pictures."""

from django.urls import path

from classifier import history_views, map_views, share_views, views
from classifier.batches import several_views
from classifier.batches import views as batch_views

urlpatterns = [
    path("", views.classify, name="classify"),
    path("classify/", views.classify_answer, name="classify_answer"),
    path("history/", history_views.history, name="history"),
    path("history/delete/", history_views.delete, name="history_delete"),
    path("history/<int:pk>/", views.prediction, name="prediction"),
    path("history/<int:pk>/thumbnail.jpg", views.thumbnail, name="prediction_thumbnail"),
    path("history/<int:pk>/seen.png", map_views.seen, name="prediction_seen"),
    path("history/<int:pk>/map/", map_views.activation_map, name="prediction_map"),
    path("history/<int:pk>/map.png", map_views.map_drawing, name="prediction_map_drawing"),
    path("history/<int:pk>/neighbours/", map_views.neighbours, name="prediction_neighbours"),
    path("history/<int:pk>/original", views.original, name="prediction_original"),
    path("history/<int:pk>/original/delete/", views.original_delete, name="prediction_original_delete"),
    path("history/<int:pk>/share/", share_views.share, name="prediction_share"),
    path("history/<int:pk>/share/revoke/", share_views.share_revoke, name="prediction_share_revoke"),
    path("shared/<slug:token>/", share_views.shared, name="shared"),
    path("shared/<slug:token>/picture.jpg", share_views.shared_picture, name="shared_picture"),
    path("history/<int:pk>/label/", views.label, name="prediction_label"),
    path("history/<int:pk>/delete/", views.delete, name="prediction_delete"),
    path("batches/", batch_views.batches, name="batches"),
    path("batches/cancel/", several_views.BatchesCancelView.as_view(), name="batches_cancel"),
    path("batches/delete/", several_views.BatchesDeleteView.as_view(), name="batches_delete"),
    path("batches/<int:pk>/", batch_views.batch, name="batch"),
    path("batches/<int:pk>/live/", batch_views.batch_live, name="batch_live"),
    path("batches/<int:pk>/cancel/", batch_views.batch_cancel, name="batch_cancel"),
    path("batches/<int:pk>/resume/", batch_views.batch_resume, name="batch_resume"),
    path("batches/<int:pk>/delete/", batch_views.batch_delete, name="batch_delete"),
    path("batches/<int:pk>/results.csv", batch_views.batch_csv, name="batch_csv"),
    path("batches/<int:pk>/results.jsonl", batch_views.batch_json_lines, name="batch_jsonl"),
]
