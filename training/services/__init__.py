"""What may be asked of the training application. Pages, the API, the admin and commands all call these."""

from training.services.access import may_steer
from training.services.cancellations import (
    MOST_CANCELLED,
    Cancellations,
    NoRunsChosenError,
    cancel_jobs,
    cancel_runs,
)
from training.services.comparison import (
    FEWEST_COMPARED,
    MOST_COMPARED,
    ComparedFigure,
    ComparedSetting,
    Comparison,
    ComparisonError,
    compare_runs,
)
from training.services.datasets import accept_copies, record_checks
from training.services.evaluations import cancel_evaluation, find_evaluable, request_evaluation
from training.services.imports import cancel_import, prepare_import, queue_import, request_import
from training.services.packages import (
    ImportedPackage,
    export_package,
    import_package,
    import_upload,
    iterate_export,
    register_import,
    store_upload,
)
from training.services.queue_states import QueueState, find_pause, list_queues
from training.services.queues import pause_queue, set_priority, unpause_queue
from training.services.reruns import clone_run, extend_run, request_control, resume_run
from training.services.room import has_worker
from training.services.run_search import NEWEST_FIRST, SORTS, WantedRuns, find_runs, sort_runs
from training.services.runs import cancel_run, request_run
from training.services.versions import LONGEST_REASON, install_champion, promote_version, roll_back
from training.services.waiting import Waiting, WaitsFor, describe_waiting

__all__ = [
    "FEWEST_COMPARED",
    "LONGEST_REASON",
    "MOST_CANCELLED",
    "MOST_COMPARED",
    "NEWEST_FIRST",
    "SORTS",
    "Cancellations",
    "ComparedFigure",
    "ComparedSetting",
    "Comparison",
    "ComparisonError",
    "ImportedPackage",
    "NoRunsChosenError",
    "QueueState",
    "Waiting",
    "WaitsFor",
    "WantedRuns",
    "accept_copies",
    "cancel_evaluation",
    "cancel_import",
    "cancel_jobs",
    "cancel_run",
    "cancel_runs",
    "clone_run",
    "compare_runs",
    "describe_waiting",
    "export_package",
    "extend_run",
    "find_evaluable",
    "find_pause",
    "find_runs",
    "has_worker",
    "import_package",
    "import_upload",
    "install_champion",
    "iterate_export",
    "list_queues",
    "may_steer",
    "pause_queue",
    "prepare_import",
    "promote_version",
    "queue_import",
    "record_checks",
    "register_import",
    "request_control",
    "request_evaluation",
    "request_import",
    "request_run",
    "resume_run",
    "roll_back",
    "set_priority",
    "sort_runs",
    "store_upload",
    "unpause_queue",
]
