"""Which epochs MLflow has. Of runs that it knew before, it has what their workers could send then."""

from django.db import migrations, models
from django.db.models import Max, OuterRef, Subquery
from django.db.models.functions import Coalesce, Now


def mark_epochs_as_told(apps, _schema_editor):
    epochs = apps.get_model("training", "EpochMetric").objects.filter(run=OuterRef("pk")).order_by()
    last = Coalesce(Subquery(epochs.values("run").annotate(last=Max("step")).values("last")), 0)
    known = apps.get_model("training", "TrainingRun").objects.exclude(mlflow_run_id="")
    known.update(mlflow_offered_step=last, mlflow_taken_step=last)


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0005_watching"),
    ]

    operations = [
        migrations.AddField(
            model_name="epochmetric",
            name="measured_at",
            field=models.DateTimeField(db_default=Now(), verbose_name="measured"),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="mlflow_offered_step",
            field=models.PositiveIntegerField(default=0, verbose_name="MLflow may have epochs up to step"),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="mlflow_taken_step",
            field=models.PositiveIntegerField(default=0, verbose_name="MLflow has epochs up to step"),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="mlflow_stale_run_id",
            field=models.CharField(blank=True, default="", max_length=64, verbose_name="MLflow run to discard"),
        ),
        migrations.RunPython(mark_epochs_as_told, migrations.RunPython.noop),
    ]
