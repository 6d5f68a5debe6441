"""Sharing by link: one link for each prediction, made and taken back by its owner, and nothing private behind it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from cifarsite.accounts.models import User
from classifier.models import Prediction, Share
from classifier.sharing import find_share, find_shared, revoke_share, share_prediction
from tests.api_fixtures import make_user
from tests.factories import PredictionFactory
from training.models import ModelVersion

IN_PLACE = {"HX-Request": "true"}
SECRET = "my-holiday-with-eve.png"


@pytest.fixture
def page(user: User, client: Client) -> Client:
    """A browser in which `user` is signed in."""
    client.force_login(user)
    return client


@pytest.fixture
def made(user: User, champion: ModelVersion) -> Prediction:
    made: Prediction = PredictionFactory.create(
        owner=user, model_version=champion, file_name=SECRET, label_key="dog", width=640, height=480
    )
    return made


@pytest.fixture
def link(made: Prediction, user: User) -> str:
    return f"/shared/{share_prediction(owner=user, pk=made.pk).token}/"


def words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


class TestService:
    def test_sharing_twice_gives_the_same_link(self, made: Prediction, user: User) -> None:
        first, second = (share_prediction(owner=user, pk=made.pk) for _time in range(2))
        assert first.token == second.token
        assert re.fullmatch(r"[\w-]{43}", first.token)
        assert find_share(owner=user, pk=made.pk) == first
        assert find_shared(first.token) == made

    def test_a_link_that_was_taken_back_never_works_again(self, made: Prediction, user: User) -> None:
        first = share_prediction(owner=user, pk=made.pk).token
        assert revoke_share(owner=user, pk=made.pk)
        assert not revoke_share(owner=user, pk=made.pk)
        assert find_shared(first) is None
        second = share_prediction(owner=user, pk=made.pk).token
        assert second != first
        assert find_shared(first) is None

    def test_another_person_neither_makes_nor_finds_nor_revokes_it(self, made: Prediction, user: User) -> None:
        eve = make_user("eve")
        with pytest.raises(Prediction.DoesNotExist):
            share_prediction(owner=eve, pk=made.pk)
        share_prediction(owner=user, pk=made.pk)
        assert find_share(owner=eve, pk=made.pk) is None
        assert not revoke_share(owner=eve, pk=made.pk)
        assert Share.objects.count() == 1

    def test_it_goes_with_its_prediction_and_a_closed_account(self, made: Prediction, user: User) -> None:
        token = share_prediction(owner=user, pk=made.pk).token
        User.objects.update(is_active=False)
        assert find_shared(token) is None
        User.objects.update(is_active=True)
        assert find_shared(token) == made
        made.delete()
        assert not Share.objects.exists()


class TestPublicPage:
    def test_it_shows_picture_answer_and_bars_to_anybody(self, link: str, made: Prediction, client: Client) -> None:
        response = client.get(link)
        assert response.status_code == 200
        assert "cat 91.0%" in words(response)
        assert "Fairly sure." in words(response)
        assert response.content.decode().count("<meter") == 10
        assert f'src="{link}picture.jpg"' in response.content.decode()
        picture = client.get(f"{link}picture.jpg")
        assert (picture.headers["Content-Type"], picture.content) == ("image/jpeg", bytes(made.thumbnail))

    def test_it_shows_nothing_private(self, link: str, made: Prediction, user: User, client: Client) -> None:
        body = client.get(link).content.decode()
        for private in (SECRET, user.username, "640", "You said", f"history/{made.pk}", "<time", made.model_sha256):
            assert private not in body
        assert SECRET not in str(client.get(f"{link}picture.jpg").headers)

    @pytest.mark.parametrize("path", ["", "picture.jpg"])
    def test_no_robot_lists_it_and_no_cache_keeps_it(self, link: str, client: Client, path: str) -> None:
        response = client.get(link + path)
        assert response.headers["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert "no-store" in response.headers["Cache-Control"]
        assert response.headers["Referrer-Policy"] == "same-origin"

    def test_the_page_itself_says_so_too(self, link: str, client: Client) -> None:
        assert '<meta name="robots" content="noindex, nofollow, noarchive">' in client.get(link).content.decode()

    @pytest.mark.parametrize("path", ["", "picture.jpg"])
    def test_it_is_gone_once_it_was_taken_back(
        self, link: str, made: Prediction, user: User, client: Client, path: str
    ) -> None:
        revoke_share(owner=user, pk=made.pk)
        assert client.get(link + path).status_code == 404
        assert client.get(f"/shared/{'A' * 43}/{path}").status_code == 404
        assert client.get(f"/shared/{'é' * 500}/{path}").status_code == 404

    @pytest.mark.parametrize("path", ["", "picture.jpg"])
    def test_it_is_only_looked_at(self, link: str, client: Client, path: str) -> None:
        assert client.post(link + path).status_code == 405

    @pytest.mark.parametrize("path", ["", "picture.jpg"])
    def test_it_costs_one_query(
        self, link: str, client: Client, django_assert_num_queries: DjangoAssertNumQueries, path: str
    ) -> None:
        for share in Share.objects.all():
            for _more in range(2):
                PredictionFactory.create_batch(2, model_version=share.prediction.model_version)
                with django_assert_num_queries(1):
                    client.get(link + path)


class TestOwnersPage:
    def test_the_link_is_made_and_taken_back_in_place(self, page: Client, made: Prediction) -> None:
        assert "You alone see this page." in words(page.get(f"/history/{made.pk}/"))
        response = page.post(f"/history/{made.pk}/share/", headers=IN_PLACE)
        token = Share.objects.get().token
        assert "<html" not in response.content.decode()
        assert f"http://testserver/shared/{token}/" in words(response)
        assert f"http://testserver/shared/{token}/" in words(page.get(f"/history/{made.pk}/"))
        assert "shared" in words(page.get("/history/"))
        response = page.post(f"/history/{made.pk}/share/revoke/", headers=IN_PLACE)
        assert "The link leads nowhere any more." in words(response)
        assert not Share.objects.exists()

    def test_without_javascript_both_lead_back_to_the_page(self, page: Client, made: Prediction) -> None:
        for path, said in (
            ("share/", "Whoever has the link sees the answer now."),
            ("share/revoke/", "The link leads nowhere any more."),
        ):
            response = page.post(f"/history/{made.pk}/{path}", follow=True)
            assert response.redirect_chain == [(f"/history/{made.pk}/", 302)]
            assert said in words(response)

    def test_taking_back_what_is_not_shared_changes_nothing(self, page: Client, made: Prediction) -> None:
        assert page.post(f"/history/{made.pk}/share/revoke/").status_code == 302

    @pytest.mark.parametrize("path", ["share/", "share/revoke/"])
    def test_it_takes_a_post_with_a_token_by_the_owner(self, made: Prediction, user: User, path: str) -> None:
        stranger, strict = Client(), Client(enforce_csrf_checks=True)
        address = f"/history/{made.pk}/{path}"
        assert stranger.post(address).headers["Location"] == f"/accounts/login/?next={address}"
        stranger.force_login(make_user("eve"))
        assert stranger.post(address).status_code == 404
        strict.force_login(user)
        assert strict.post(address).status_code == 403
        assert strict.get(address).status_code == 405
        assert not Share.objects.exists()

    def test_the_page_costs_the_same_shared_or_not(
        self, page: Client, made: Prediction, user: User, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        page.get(f"/history/{made.pk}/")
        with django_assert_num_queries(6) as alone:  # session, person, prediction, evaluation, two of permissions
            page.get(f"/history/{made.pk}/")
        share_prediction(owner=user, pk=made.pk)
        with django_assert_num_queries(len(alone)):
            page.get(f"/history/{made.pk}/")
