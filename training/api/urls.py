"""Addresses of the training application's API, under `/api/v1/`."""

from django.urls import path

from training.api import (
    comparison_views,
    dataset_views,
    model_views,
    run_bulk_views,
    run_export_views,
    run_report_views,
    views,
    worker_views,
)

urlpatterns = [
    path("runs", views.RunsView.as_view(), name="runs"),
    path("runs/cancel", run_bulk_views.RunsCancelView.as_view(), name="runs_cancel"),
    path("runs/export.csv", run_export_views.RunsCsvView.as_view(), name="runs_csv"),
    path("runs/export.jsonl", run_export_views.RunsLinesView.as_view(), name="runs_jsonl"),
    path("runs/compare", comparison_views.RunComparisonView.as_view(), name="runs_compare"),
    path("runs/<int:pk>", views.RunView.as_view(), name="run"),
    path("runs/<int:pk>/cancel", views.RunCancelView.as_view(), name="run_cancel"),
    path("runs/<int:pk>/resume", views.RunResumeView.as_view(), name="run_resume"),
    path("runs/<int:pk>/clone", views.RunCloneView.as_view(), name="run_clone"),
    path("runs/<int:pk>/extend", views.RunExtendView.as_view(), name="run_extend"),
    path("runs/<int:pk>/metrics", run_report_views.RunMetricsView.as_view(), name="run_metrics"),
    path("runs/<int:pk>/events", run_report_views.RunEventsView.as_view(), name="run_events"),
    path("datasets", dataset_views.DatasetsView.as_view(), name="datasets"),
    path("datasets/imports", dataset_views.ImportsView.as_view(), name="dataset_imports"),
    path("datasets/imports/<int:pk>", dataset_views.ImportView.as_view(), name="dataset_import"),
    path("datasets/imports/<int:pk>/cancel", dataset_views.ImportCancelView.as_view(), name="dataset_import_cancel"),
    path("datasets/<int:pk>", dataset_views.DatasetView.as_view(), name="dataset"),
    path(
        "datasets/<int:pk>/accept-copies",
        dataset_views.DatasetAcceptCopiesView.as_view(),
        name="dataset_accept_copies",
    ),
    path("queues", views.QueuesView.as_view(), name="queues"),
    path("queues/<str:name>/pause", views.QueuePauseView.as_view(), name="queue_pause"),
    path("queues/<str:name>/unpause", views.QueueUnpauseView.as_view(), name="queue_unpause"),
    path("workers", worker_views.WorkersView.as_view(), name="workers"),
    path("models", model_views.ModelsView.as_view(), name="models"),
    path("models/rollback", model_views.ModelRollbackView.as_view(), name="model_rollback"),
    path("models/promotions", model_views.PromotionsView.as_view(), name="promotions"),
    path("models/<int:pk>", model_views.ModelView.as_view(), name="model"),
    path("models/<int:pk>/package", model_views.ModelPackageView.as_view(), name="model_package"),
    path("models/<int:pk>/promote", model_views.ModelPromoteView.as_view(), name="model_promote"),
]
