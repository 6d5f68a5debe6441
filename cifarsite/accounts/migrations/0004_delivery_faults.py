"""What a delivery's last attempt met, as a code with the answer's status instead of an English sentence."""

from django.db import migrations, models

_BEGINNINGS = {
    "The answer was ": "answer",
    "No answer": "unreachable",
    "The host's name": "no_host",
    "The host is in": "private",
    "The mail server": "mail_server",
    "There is no webhook": "nowhere",
    "The account has no": "nowhere",
}


def name_faults(apps, schema_editor):
    """Turn each sentence into its code."""
    deliveries = apps.get_model("accounts", "Delivery").objects.using(schema_editor.connection.alias)
    for row in deliveries.exclude(fault="").iterator():
        sentence = row.fault
        row.fault = next((code for start, code in _BEGINNINGS.items() if sentence.startswith(start)), "unfinished")
        number = sentence.removeprefix("The answer was ")
        row.status_code = int(number) if number.isdecimal() else None
        row.save(update_fields=["fault", "status_code"])


class Migration(migrations.Migration):

    dependencies = [("accounts", "0003_account_page_and_notifications")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="attempted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="last attempt"),
        ),
        migrations.AddField(
            model_name="delivery",
            name="status_code",
            field=models.PositiveSmallIntegerField(
                blank=True, null=True, verbose_name="HTTP status of the last answer"
            ),
        ),
        migrations.RunPython(name_faults, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="delivery",
            name="fault",
            field=models.CharField(
                blank=True,
                choices=[
                    ("answer", "The address did not answer with success"),
                    ("unreachable", "The address could not be reached"),
                    ("too_slow", "There was no answer in time"),
                    ("no_host", "The host’s name could not be looked up"),
                    ("private", "The host is in a private network, to which this site does not post"),
                    ("mail_server", "The mail server did not take it"),
                    ("unfinished", "The attempt was not finished"),
                    ("nowhere", "There was no address for it any more"),
                ],
                default="",
                max_length=16,
                verbose_name="what the last attempt met",
            ),
        ),
    ]
