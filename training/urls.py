"""Addresses of the training, model and data pages."""

from django.urls import path

from training.views import datasets, imports, learn, packages, queues, run_actions, runs, versions, workers

urlpatterns = [
    path("learn/", learn.LearnView.as_view(), name="learn"),
    path("training/", runs.RunListView.as_view(), name="runs"),
    path("training/new/", runs.RunCreateView.as_view(), name="run_new"),
    path("training/queue/pause/", queues.QueuePauseView.as_view(), name="queue_pause"),
    path("training/queue/go-on/", queues.QueueUnpauseView.as_view(), name="queue_unpause"),
    path("training/<int:pk>/", runs.RunView.as_view(), name="run"),
    path("training/<int:pk>/live/", runs.RunLiveView.as_view(), name="run_live"),
    path("training/<int:pk>/curve.json", runs.RunCurveView.as_view(), name="run_curve"),
    path("training/<int:pk>/control/", run_actions.RunControlView.as_view(), name="run_control"),
    path("training/<int:pk>/cancel/", run_actions.RunCancelView.as_view(), name="run_cancel"),
    path("training/<int:pk>/resume/", run_actions.RunResumeView.as_view(), name="run_resume"),
    path("training/<int:pk>/clone/", run_actions.RunCloneView.as_view(), name="run_clone"),
    path("training/<int:pk>/extend/", run_actions.RunExtendView.as_view(), name="run_extend"),
    path("training/<int:pk>/priority/", run_actions.RunPriorityView.as_view(), name="run_priority"),
    path("workers/", workers.WorkersView.as_view(), name="workers"),
    path("workers/live/", workers.WorkersLiveView.as_view(), name="workers_live"),
    path("models/", versions.VersionListView.as_view(), name="versions"),
    path("models/import/", packages.PackageImportView.as_view(), name="package_import"),
    path("models/rollback/", versions.VersionRollbackView.as_view(), name="version_rollback"),
    path("models/<int:pk>/", versions.VersionView.as_view(), name="version"),
    path("models/<int:pk>/promote/", versions.VersionPromoteView.as_view(), name="version_promote"),
    path("data/", datasets.DatasetListView.as_view(), name="datasets"),
    path("data/new/", imports.ImportCreateView.as_view(), name="import_new"),
    path("data/imports/<int:pk>/", imports.ImportView.as_view(), name="import_detail"),
    path("data/imports/<int:pk>/live/", imports.ImportLiveView.as_view(), name="import_live"),
    path("data/imports/<int:pk>/cancel/", imports.ImportCancelView.as_view(), name="import_cancel"),
    path("data/<int:pk>/", datasets.DatasetView.as_view(), name="dataset"),
    path("data/<int:pk>/accept-copies/", datasets.DatasetAcceptCopiesView.as_view(), name="dataset_accept_copies"),
    path("data/<int:pk>/sample/<int:class_index>.png", datasets.DatasetSampleView.as_view(), name="dataset_sample"),
]
