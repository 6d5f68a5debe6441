"""The list of training runs: filters, order, pages, and what is done with several."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import (
    DatasetFactory,
    EpochMetricFactory,
    TrainingRunFactory,
    UserFactory,
    in_state,
    make_config,
)
from tests.training.people import Person, errors_of, text_of
from tests.training.views.test_runs import finished_run
from training.choices import JobStatus, Reason
from training.models import ModelVersion, TrainingRun

pytestmark = pytest.mark.django_db

REFRESH = {"hx-request": "true"}


@pytest.fixture
def trainer() -> Person:
    return Person("trainer", username="tara")


def listed(person: Person, **query: str) -> list[TrainingRun]:
    return list(person.get(reverse("runs"), query).context["runs"])


class TestList:
    def test_it_says_how_to_begin(self, trainer: Person) -> None:
        response = trainer.get(reverse("runs"))
        assert "Nothing has been trained here yet" in text_of(response)
        assert reverse("run_new") in response.content.decode()

    def test_its_number_of_queries_is_constant(
        self, trainer: Person, artifacts_root: object, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for count in (1, 8):
            for _row in range(count):
                finished_run()
                EpochMetricFactory.create(run=TrainingRunFactory.create(status=JobStatus.RUNNING))
            # Session, person, two of permissions, three of filters to offer, the count, the page of rows, whether the
            # queue is paused.
            with django_assert_num_queries(10):
                trainer.get(reverse("runs"))
            # The list that refreshes itself offers no filters, and looks up the one that is chosen.
            with django_assert_num_queries(7):
                trainer.get(reverse("runs"), headers=REFRESH)
            with django_assert_num_queries(8):
                trainer.get(reverse("runs"), {"architecture": "whitened_cnn"}, headers=REFRESH)

    def test_it_comes_in_pages(self, trainer: Person) -> None:
        TrainingRunFactory.create_batch(21)
        first, second = trainer.get(reverse("runs")), trainer.get(reverse("runs"), {"page": 2})
        assert [len(page.context["runs"]) for page in (first, second)] == [20, 1]
        assert trainer.get(reverse("runs"), {"page": "3"}).status_code == 404

    def test_one_state_can_be_kept(self, trainer: Person) -> None:
        kept = TrainingRunFactory.create(status=JobStatus.FAILED, reason=Reason.DIVERGED)
        TrainingRunFactory.create()
        response = trainer.get(reverse("runs"), {"status": "failed"})
        assert list(response.context["runs"]) == [kept]
        assert "The loss became infinite or undefined" in text_of(response)
        assert "No run fits these filters" in text_of(trainer.get(reverse("runs"), {"status": "running"}))

    def test_it_refreshes_itself_while_a_run_is_alive(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        assert 'hx-trigger="every 2s"' in trainer.get(reverse("runs")).content.decode()
        TrainingRun.objects.filter(pk=run.pk).update(**in_state(JobStatus.CANCELLED))
        assert "hx-get" not in trainer.get(reverse("runs")).content.decode()

    def test_a_refresh_brings_the_list_alone(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(status=JobStatus.RUNNING)
        page, part = trainer.get(reverse("runs")), trainer.get(reverse("runs"), headers=REFRESH)
        assert "id_search" in page.content.decode()
        assert part.content.decode().strip().startswith('<div id="run-list"')
        assert f'id="run-{run.pk}"' in part.content.decode()
        assert "id_search" not in part.content.decode()
        assert "HX-Request" in page.headers["Vary"]  # or a browser that goes back may show the part

    def test_it_shows_the_tested_accuracy_or_the_newest_validated_one(
        self, trainer: Person, artifacts_root: object
    ) -> None:
        finished_run()
        running = TrainingRunFactory.create(status=JobStatus.RUNNING)
        for epoch, accuracy in ((1, 0.25), (2, 0.375)):
            EpochMetricFactory.create(run=running, epoch=epoch, validation_accuracy=accuracy)
        shown = text_of(trainer.get(reverse("runs")))
        assert "100.0%" in shown
        assert "37.5%" in shown
        assert "25.0%" not in shown


class TestFilters:
    def test_each_keeps_what_it_names(self, trainer: Person) -> None:
        dataset = DatasetFactory.create(name="mine")
        kept = TrainingRunFactory.create(
            dataset=dataset,
            owner=UserFactory.create(username="grace"),
            recipe="accurate",
            config=make_config(architecture="resnet18", width_multiplier=1.0, depth=2, optimizer="sgd"),
        )
        TrainingRun.objects.filter(pk=kept.pk).update(requested_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
        other = TrainingRunFactory.create()
        named: dict[str, str] = {
            "dataset": "mine",
            "recipe": "accurate",
            "architecture": "resnet18",
            "owner": "grace",
            "until": "2026-03-01",
        }
        for name, value in named.items():
            assert listed(trainer, **{name: value}) == [kept], name
        for text in ("MIN", "ccura", "esnet", "grac", str(kept.pk)):
            assert kept in listed(trainer, search=text), text
        assert listed(trainer, since="2026-03-02") == [other]
        assert listed(trainer, since="2026-03-01") == [other, kept]
        assert listed(trainer, search="nothing like it") == []

    def test_accuracies_are_percentages(self, trainer: Person, artifacts_root: object) -> None:
        low, high = finished_run(), finished_run()
        ModelVersion.objects.filter(run=low).update(test_accuracy=0.8)
        ModelVersion.objects.filter(run=high).update(test_accuracy=0.9)
        TrainingRunFactory.create()
        assert listed(trainer, least="85") == [high]
        assert listed(trainer, most="80") == [low]
        assert listed(trainer, least="75", most="95") == [high, low]

    @pytest.mark.parametrize(
        ("query", "errors"),
        [
            ({"least": "300"}, {"least": ["Ensure this value is less than or equal to 100."]}),
            ({"since": "yesterday"}, {"since": ["Enter a valid date."]}),
            ({"search": "a\0b"}, {"search": ["Null characters are not allowed."]}),
            (
                {"owner": "nobody"},
                {"owner": ["Select a valid choice. nobody is not one of the available choices."]},
            ),
            (
                {"dataset": "a\0b"},
                {"dataset": ["Select a valid choice. a\0b is not one of the available choices."]},
            ),
            (
                {"recipe": "slow"},
                {"recipe": ["Select a valid choice. slow is not one of the available choices."]},
            ),
        ],
    )
    def test_a_refused_one_is_said_and_leaves_nothing_out(
        self, trainer: Person, query: dict[str, str], errors: dict[str, list[str]]
    ) -> None:
        run = TrainingRunFactory.create()
        response = trainer.get(reverse("runs"), query)
        assert response.status_code == 400
        assert errors_of(response) == errors
        assert list(response.context["runs"]) == [run]

    def test_they_stay_in_the_addresses_of_the_page(self, trainer: Person) -> None:
        TrainingRunFactory.create_batch(21, recipe="fast")
        page = trainer.get(reverse("runs"), {"recipe": "fast", "least": "", "sort": "owner"}).content.decode()
        assert "?recipe=fast&amp;least=&amp;sort=owner&amp;page=2" in page
        assert "?recipe=fast&amp;least=&amp;sort=owner&amp;status=failed" in page
        assert f"{reverse('api:runs_csv')}?recipe=fast" in page


class TestOrder:
    def test_runs_without_a_value_are_last_either_way(self, trainer: Person, artifacts_root: object) -> None:
        low, none, high = finished_run(), TrainingRunFactory.create(owner=None), finished_run()
        ModelVersion.objects.filter(run=low).update(test_accuracy=0.8)
        ModelVersion.objects.filter(run=high).update(test_accuracy=0.9)
        assert listed(trainer, sort="-accuracy") == [high, low, none]
        assert listed(trainer, sort="accuracy") == [low, high, none]
        assert listed(trainer, sort="run") == [low, none, high]
        assert listed(trainer) == [high, none, low]
        assert listed(trainer, sort="owner")[-1] == none

    def test_a_head_tells_the_order_and_turns_it(self, trainer: Person) -> None:
        TrainingRunFactory.create()
        page = trainer.get(reverse("runs"), {"sort": "recipe"}).content.decode()
        assert 'aria-sort="ascending"' in page
        assert "?sort=-recipe" in page
        assert "?sort=-accuracy" in page


class TestSeveral:
    def cancel(self, person: Person, *runs: TrainingRun) -> Any:
        return person.post(reverse("runs_cancel"), {"run": [run.pk for run in runs]}, follow=True)

    def test_the_question_names_those_that_can_be_cancelled(self, trainer: Person) -> None:
        own = TrainingRunFactory.create(owner=trainer.user)
        others = TrainingRunFactory.create()
        ended = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.FAILED)
        response = trainer.get(reverse("runs_cancel"), {"run": [own.pk, others.pk, ended.pk]})
        assert response.context["jobs"] == [own]
        assert "2 more cannot be cancelled" in text_of(response)
        assert own.pk in TrainingRun.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)

    def test_each_is_cancelled_or_the_page_says_why_not(self, trainer: Person) -> None:
        own = TrainingRunFactory.create_batch(2, owner=trainer.user)
        others = TrainingRunFactory.create()
        ended = TrainingRunFactory.create(owner=trainer.user, status=JobStatus.FAILED)
        shown = text_of(self.cancel(trainer, *own, others, ended))
        assert "2 runs are being cancelled." in shown
        assert f"Ended already: {ended.pk}." in shown
        assert f"Somebody else’s, and left alone: {others.pk}." in shown
        statuses = dict(TrainingRun.objects.values_list("pk", "status"))
        assert statuses == {
            own[0].pk: JobStatus.CANCELLED,
            own[1].pk: JobStatus.CANCELLED,
            others.pk: JobStatus.QUEUED,
            ended.pk: JobStatus.FAILED,
        }

    def test_an_operator_cancels_everybodys(self) -> None:
        run = TrainingRunFactory.create()
        self.cancel(Person("operator"), run)
        run.refresh_from_db()
        assert run.status == JobStatus.CANCELLED

    def test_the_list_is_shown_again_as_it_was(self, trainer: Person) -> None:
        run = TrainingRunFactory.create(owner=trainer.user)
        page = trainer.get(reverse("runs"), {"status": "queued", "search": "", "sort": "owner"}).content.decode()
        assert '<input type="hidden" name="status" value="queued">' in page
        assert '<input type="hidden" name="search"' not in page
        asked = reverse("runs_cancel", query={"status": "queued", "sort": "owner", "page": "2", "run": run.pk})
        back = f"{reverse('runs')}?status=queued&sort=owner"
        assert f'href="{back.replace("&", "&amp;")}&amp;page=2">No</a>' in trainer.get(asked).content.decode()
        assert trainer.post(asked, {"run": run.pk}).headers["Location"] == back
        assert trainer.post(asked, {"run": "x"}).headers["Location"] == back

    def test_nonsense_is_refused(self, trainer: Person) -> None:
        assert trainer.get(reverse("runs_cancel"), {"run": "x"}).status_code == 400
        assert "“x” is no number of a run." in text_of(trainer.post(reverse("runs_cancel"), {"run": "x"}, follow=True))
        assert "Choose 1 to 100 runs to cancel; these are 0." in text_of(self.cancel(trainer))

    def test_the_question_asks_a_constant_number_of_queries(
        self, trainer: Person, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for count in (1, 8):
            runs = TrainingRunFactory.create_batch(count, owner=trainer.user)
            with django_assert_num_queries(5):  # session, person, two of permissions, the runs
                trainer.get(reverse("runs_cancel"), {"run": [run.pk for run in runs]})
