"""The history's pages: what is found and shown, to whom, and what is deleted after which question."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cifarsite.accounts.models import User
from classifier.answers import HISTORY_PAGE
from classifier.choices import Source
from classifier.models import Prediction
from tests.api_fixtures import make_user
from tests.classifier.test_views import make_prediction, page, text_of
from tests.tiny_model import register_version
from training.choices import ModelState
from training.models import ModelVersion

__all__ = ["page"]

SHIP = 8


def test_the_history_is_empty_at_first_and_says_what_comes_here(page: Client) -> None:
    assert "Nothing here yet" in text_of(page.get("/history/"))


def test_the_history_lists_only_ones_own(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion, file_name="mine.png")
    make_prediction(make_user("blaise"), champion, file_name="theirs.png")
    text = text_of(page.get("/history/"))
    assert "mine.png" in text
    assert "theirs.png" not in text


def test_the_history_is_filtered_by_class_and_name(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion, class_id=3, file_name="Minou.png")
    make_prediction(user, champion, class_id=3, file_name="other.png")
    make_prediction(user, champion, class_id=SHIP, file_name="minou-at-sea.png")
    text = text_of(page.get("/history/?class_key=cat&name=minou"))
    assert "Minou.png" in text
    assert "other.png" not in text
    assert "minou-at-sea.png" not in text


def test_a_filter_that_matches_nothing_says_so(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion)
    text = text_of(page.get("/history/?class_key=cat"))
    assert "Nothing matches" in text
    assert "Show all" in text


@pytest.mark.parametrize(
    "query", ["before=x", "after=-1", "before=99999999999999999999", "zone=%2e%2e/x", "zone=Europe"]
)
def test_odd_addresses_do_no_harm(page: Client, user: User, champion: ModelVersion, query: str) -> None:
    make_prediction(user, champion)
    assert page.get(f"/history/?{query}").status_code == 200


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("class_key=" + "x" * 500, "Ensure this value has at most 63 characters (it has 500)."),
        ("name=%00", "Null characters are not allowed."),
        ("name=" + "y" * 500, "Ensure this value has at most 100 characters (it has 500)."),
        ("source=telegram", "Select a valid choice. telegram is not one of the available choices."),
        ("said=perhaps", "Select a valid choice. perhaps is not one of the available choices."),
        ("version=x", "Enter a whole number."),
        ("day_from=yesterday", "Enter a valid date."),
        ("day_to=0001-01-01", "Ensure this value is greater than or equal to 1970-01-02."),
        ("day_from=2026-02-02&day_to=2026-02-01", "This day is before the first one."),
        ("sure_from=101", "Ensure this value is less than or equal to 100."),
        ("sure_from=nan", "Enter a number."),
        ("sure_from=60&sure_to=50", "This is less than where the range begins."),
    ],
)
def test_a_filter_that_is_none_is_refused_where_it_stands(
    page: Client, user: User, champion: ModelVersion, query: str, sentence: str
) -> None:
    make_prediction(user, champion)
    response = page.get(f"/history/?{query}")
    assert response.status_code == 400
    text = text_of(response)
    assert sentence in text
    assert "These filters cannot be used" in text
    assert "harbour.png" not in text


def test_pages_go_on_without_gap_or_repetition(page: Client, user: User, champion: ModelVersion) -> None:
    made = [make_prediction(user, champion).pk for _ in range(2 * HISTORY_PAGE + 3)]
    seen: list[int] = []
    path = "/history/?class_key=ship"
    lengths = []
    while path:
        html = page.get(path).content.decode()
        rows = [int(pk) for pk in re.findall(r'class="history-row"\s+href="/history/(\d+)/"', html)]
        lengths.append(len(rows))
        seen += rows
        older = re.search(r'href="(\?[^"]*before=\d+[^"]*)"', html)
        path = "/history/" + older[1].replace("&amp;", "&") if older else ""
    assert lengths == [HISTORY_PAGE, HISTORY_PAGE, 3]
    assert seen == made[::-1]


def test_newer_leads_back_to_the_same_pictures(page: Client, user: User, champion: ModelVersion) -> None:
    made = [make_prediction(user, champion).pk for _ in range(HISTORY_PAGE + 2)][::-1]
    html = page.get(f"/history/?before={made[HISTORY_PAGE - 1]}").content.decode()
    assert f'href="?after={made[HISTORY_PAGE]}"' in html
    back = page.get(f"/history/?after={made[HISTORY_PAGE]}").content.decode()
    assert re.findall(r'class="history-row"\s+href="/history/(\d+)/"', back) == [str(pk) for pk in made[:HISTORY_PAGE]]
    assert "Newer" not in back


def test_a_longer_history_costs_no_more_queries(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion)
    page.get("/history/")
    with CaptureQueriesContext(
        connection,
    ) as one:
        page.get("/history/")
    for _ in range(HISTORY_PAGE + 5):
        make_prediction(user, champion)
    with CaptureQueriesContext(connection) as many:
        page.get("/history/")
    assert len(many) == len(one)
    listing = [query["sql"] for query in many if "classifier_prediction" in query["sql"]]
    assert len(listing) == 1
    assert "thumbnail" not in listing[0]
    assert '"manifest"' not in listing[0]


def test_the_history_is_downloaded_with_its_filters(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion)
    shown = page.get("/history/", {"class_key": "cat", "name": "c&t"}).content.decode()
    assert "/api/v1/predictions/export.csv" not in shown  # nothing matches
    shown = page.get("/history/", {"name": "."}).content.decode()
    assert 'href="/api/v1/predictions/export.csv?search=."' in shown
    response = page.get("/api/v1/predictions/export.csv?search=.")
    assert len(b"".join(response.streaming_content).splitlines()) == 2  # type: ignore[attr-defined]  # a stream


@pytest.mark.skipif(not settings.EMBEDDED, reason="Postgres reads so small a table whole, whatever its indexes")
@pytest.mark.parametrize(
    ("filters", "index"), [({}, "prediction_owner_filters"), ({"class_key": "cat"}, "prediction_owner_class")]
)
def test_a_page_of_the_history_is_read_off_an_index(user: User, filters: dict[str, str], index: str) -> None:
    plan = Prediction.objects.owned_by(user).filter(**filters, pk__lt=1000).order_by("-pk").explain()
    assert index in plan
    assert "TEMP B-TREE" not in plan  # nothing is sorted


def test_an_address_before_the_first_answer_offers_the_whole_history(
    page: Client, user: User, champion: ModelVersion
) -> None:
    made = make_prediction(user, champion)
    assert "Show all" in text_of(page.get(f"/history/?before={made.pk}"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("said=right", ["right"]),
        ("said=wrong", ["wrong"]),
        ("said=nothing", ["nothing"]),
        ("source=command", ["nothing"]),
        ("sure_from=91", ["right"]),
        ("sure_from=50.5&sure_to=90", ["wrong"]),
        ("sure_to=50", ["nothing"]),
        ("day_from=2026-03-02", ["wrong", "right"]),
        ("day_to=2026-03-01", ["nothing"]),
        ("day_from=2026-03-02&day_to=2026-03-02&zone=UTC", ["wrong"]),
        ("day_from=2026-03-02&day_to=2026-03-02&zone=Pacific/Kiritimati", []),
        ("day_from=2026-03-03&zone=Pacific/Kiritimati", ["wrong", "right"]),
    ],
)
def test_filters(page: Client, user: User, champion: ModelVersion, query: str, found: list[str]) -> None:
    rows: list[tuple[datetime, dict[str, Any]]] = [
        (datetime(2026, 3, 3, 9, tzinfo=UTC), {"file_name": "right.png", "label_key": "ship", "confidence": 0.95}),
        (datetime(2026, 3, 2, 12, tzinfo=UTC), {"file_name": "wrong.png", "label_key": "cat", "confidence": 0.7}),
        (datetime(2026, 3, 1, tzinfo=UTC), {"file_name": "nothing.png", "source": Source.COMMAND, "confidence": 0.3}),
    ]
    for moment, fields in rows:
        made = make_prediction(user, champion, **fields)
        Prediction.objects.filter(pk=made.pk).update(created_at=moment)
    html = page.get(f"/history/?{query}").content.decode()
    shown = re.findall(r'class="history-file">(\w+)\.png<', html)
    assert sorted(shown) == sorted(found)
    if found:
        assert len(exported(page, html)) == len(found)


def test_the_model_that_answered(page: Client, user: User, champion: ModelVersion) -> None:
    other = register_version(state=ModelState.ARCHIVED, shift=1)
    register_version(shift=2)
    make_prediction(user, champion, file_name="new.png")
    make_prediction(user, other, file_name="old.png")
    html = page.get(f"/history/?version={other.pk}").content.decode()
    assert re.findall(r'class="history-file">(\w+)\.png<', html) == ["old"]
    assert re.findall(r'<option value="(\d+)"( selected)?>v', html) == [
        (str(other.pk), " selected"),
        (str(champion.pk), ""),
    ]
    assert len(exported(page, html)) == 1


def exported(page: Client, html: str) -> list[str]:
    """Return the lines that the page's own link downloads."""
    address = re.search(r'href="(/api/v1/predictions/export\.jsonl[^"]*)"', html)
    assert address is not None
    response: Any = page.get(address[1].replace("&amp;", "&"))
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode().splitlines()


def test_the_filters_stay_in_the_address(page: Client, user: User, champion: ModelVersion) -> None:
    for _ in range(HISTORY_PAGE + 1):
        make_prediction(user, champion)
    html = page.get("/history/?class_key=ship&day_from=2020-01-31&sure_from=12.5").content.decode()
    assert '<details class="filters-further" open>' in html
    assert 'value="2020-01-31"' in html
    assert 'value="12.5"' in html
    assert re.search(r'href="\?class_key=ship&amp;day_from=2020-01-31&amp;sure_from=12.5&amp;before=\d+"', html)
    assert 'action="/history/delete/?class_key=ship&amp;day_from=2020-01-31&amp;sure_from=12.5"' in html


def test_numbers_and_days_are_read_in_french_too(page: Client, user: User, champion: ModelVersion) -> None:
    make_prediction(user, champion)
    response = page.get("/history/?sure_from=12.5&day_from=2020-01-31", headers={"Accept-Language": "fr"})
    html = response.content.decode()
    assert response.status_code == 200
    assert 'value="2020-01-31"' in html
    assert 'value="12.5"' in html


class TestDelete:
    """Two posts: the question, and the answer to it."""

    @pytest.fixture
    def made(self, user: User, champion: ModelVersion) -> Prediction:
        return make_prediction(user, champion)

    def ask(self, page: Client, query: str = "", **data: Any) -> Any:
        return page.post(f"/history/delete/{query}", data)

    def confirm(self, page: Client, asked: Any, query: str = "") -> Any:
        """Post what the question's own form holds."""
        form = asked.content.decode().split('<form class="actions"', 1)[1]
        fields: dict[str, list[str]] = {}
        for name, value in re.findall(r'<input type="hidden"\s+name="(\w+)"\s+value="([^"]*)"', form):
            if name != "csrfmiddlewaretoken":
                fields.setdefault(name, []).append(value)
        return page.post(f"/history/delete/{query}", fields, follow=True)

    def test_the_chosen_ones(self, page: Client, user: User, champion: ModelVersion) -> None:
        kept, *chosen = (make_prediction(user, champion).pk for _ in range(4))
        asked = self.ask(page, what="chosen", id=chosen)
        assert "Delete 3 predictions?" in text_of(asked)
        assert Prediction.objects.count() == 4
        answered = self.confirm(page, asked)
        assert "3 predictions are deleted." in text_of(answered)
        assert list(Prediction.objects.values_list("pk", flat=True)) == [kept]

    def test_another_persons_are_neither_counted_nor_shown_nor_deleted(
        self, page: Client, user: User, champion: ModelVersion
    ) -> None:
        mine, theirs = make_prediction(user, champion), make_prediction(make_user("blaise"), champion)
        asked = self.ask(page, what="chosen", id=[mine.pk, theirs.pk])
        assert "Delete 1 prediction?" in text_of(asked)
        assert f"/history/{theirs.pk}/" not in asked.content.decode()
        page.post("/history/delete/", {"what": "chosen", "confirmed": "1", "id": [mine.pk, theirs.pk]})
        page.post("/history/delete/", {"what": "matching", "confirmed": "1", "up_to": theirs.pk})
        assert list(Prediction.objects.all()) == [theirs]

    def test_all_that_match(self, page: Client, user: User, champion: ModelVersion) -> None:
        for _ in range(HISTORY_PAGE + 6):
            make_prediction(user, champion)
        kept = make_prediction(user, champion, class_id=3)
        query = "?class_key=ship"
        asked = self.ask(page, query, what="matching")
        text = text_of(asked)
        assert "Delete 30 predictions?" in text
        assert "These are all that fit your filters at this moment." in text
        assert "and 22 others" in text
        late = make_prediction(user, champion)
        answered = self.confirm(page, asked, query)
        assert answered.redirect_chain == [("/history/?class_key=ship", 302)]
        assert "30 predictions are deleted." in text_of(answered)
        assert list(Prediction.objects.order_by("pk")) == [kept, late]

    def test_not_more_than_go_at_once(
        self, page: Client, user: User, champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("classifier.history.MOST_DELETED", 2)
        monkeypatch.setattr("classifier.history_views.MOST_DELETED", 2)
        oldest, *_others = [make_prediction(user, champion) for _ in range(3)]
        asked = self.ask(page, what="matching")
        assert "Delete 3 predictions? This is your whole history at this moment." in text_of(asked)
        assert "At most 2 go at once, the newest first." in text_of(asked)
        assert "2 predictions are deleted. That is as many as go at once" in text_of(self.confirm(page, asked))
        assert list(Prediction.objects.all()) == [oldest]

    @pytest.mark.parametrize(
        ("query", "data", "sentence"),
        [
            ("", {}, "Nothing was deleted: choose again what shall go."),
            ("", {"what": "everything"}, "Nothing was deleted: choose again what shall go."),
            ("?sure_from=x", {"what": "matching"}, "Nothing was deleted: choose again what shall go."),
            ("?sure_from=x", {"what": "matching", "confirmed": "1", "up_to": "9"}, "Nothing was deleted"),
            ("", {"what": "matching", "confirmed": "1", "up_to": "x"}, "Nothing was deleted"),
            ("", {"what": "chosen"}, "Choose first which predictions shall go."),
            ("", {"what": "chosen", "id": ["x", "-1", "9" * 19, "9" * 99]}, "Choose first which predictions shall go."),
            ("?class_key=cat", {"what": "matching"}, "There is nothing to delete"),
        ],
    )
    @pytest.mark.usefixtures("made")
    def test_what_deletes_nothing(self, page: Client, query: str, data: dict[str, Any], sentence: str) -> None:
        response = page.post(f"/history/delete/{query}", data, follow=True)
        assert sentence in text_of(response)
        assert Prediction.objects.count() == 1

    def test_an_answer_without_its_question_is_asked_first(
        self, page: Client, user: User, champion: ModelVersion
    ) -> None:
        make_prediction(user, champion)
        assert "Delete 1 prediction?" in text_of(self.ask(page, what="matching", confirmed="1"))
        assert Prediction.objects.count() == 1

    def test_it_is_a_post_with_its_csrf_token(self, user: User) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(user)
        assert strict.get("/history/delete/?class_key=cat").url == "/history/?class_key=cat"  # type: ignore[attr-defined]
        assert strict.post("/history/delete/", {"what": "matching"}).status_code == 403

    def test_a_longer_history_costs_no_more_queries(self, page: Client, user: User, champion: ModelVersion) -> None:
        made = [make_prediction(user, champion).pk]
        self.ask(page, what="matching")
        counts = []
        for _round in range(2):
            for data in ({"what": "matching"}, {"what": "chosen", "id": made}):
                with CaptureQueriesContext(connection) as queries:
                    self.ask(page, **data)
                counts.append(len(queries))
            made += [make_prediction(user, champion).pk for _ in range(HISTORY_PAGE)]
        assert counts[:2] == counts[2:]
