"""Secrets are unreadable in whatever is shown or written."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyjobs.masking import MASK, Masker

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=6, max_size=30)
PLAIN = st.text("abc 0123.,;-/()", max_size=30)


class TestByForm:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("GET http://me:pw@host/x failed", "GET http://me:***@host/x failed"),
            ("mysql://root:p@ss@db:3306/jobs is down", "mysql://root:***@db:3306/jobs is down"),
            ("see http://h/?token=abc&page=2.", "see http://h/?token=***&page=2."),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("sent bearer  abc", "sent bearer  ***"),
            ("password=hunter2, user=me", "password=***, user=me"),
            ('{"api_key": "k\\"ey", "name": "x"}', '{"api_key": "***", "name": "x"}'),
            ("DB_PASSWORD='a b'", "DB_PASSWORD='***'"),
            ("X-Auth-Token: abc", "X-Auth-Token: ***"),
            # What only looks like one stays readable.
            ("keyword=x monkey: y at 10:30:00", "keyword=x monkey: y at 10:30:00"),
            ("job `token cleaner` ran", "job `token cleaner` ran"),
            ("http://host/a:b@c", "http://host/a:b@c"),
        ],
    )
    def test_it_is_recognised_by_what_stands_around_it(self, text: str, shown: str) -> None:
        assert Masker().mask(text) == shown

    @given(st.sampled_from(["password={}", "token: {}", '"secret": "{}"', "pwd='{}'", "http://u:{}@h/", "Bearer {}"]),
           PLAIN, st.text("abcdefXYZ0189_~", min_size=1, max_size=20), PLAIN)  # fmt: skip
    def test_it_is_gone_whatever_stands_before_and_behind(
        self, form: str, before: str, secret: str, after: str
    ) -> None:
        shown = Masker().mask(f"{before} {form.format(f'Q{secret}Q')} {after}")
        assert f"Q{secret}Q" not in shown
        assert MASK in shown


class TestByValue:
    @given(SECRETS, PLAIN, PLAIN)
    def test_a_known_one_is_gone_in_any_of_its_forms(self, secret: str, before: str, after: str) -> None:
        masker = Masker([secret])
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1]):
            assert form not in masker.mask(f"{before}{form}{after}").replace(before, "", 1)

    def test_the_longer_of_two_is_masked_whole(self) -> None:
        assert Masker(["abcdef", "abcdefghi"]).mask("x abcdefghi y abcdef") == "x *** y ***"

    def test_more_can_be_learnt_and_none_is_forgotten(self) -> None:
        masker = Masker(["first-one"])
        masker.learn(["second-one"])
        assert masker.mask("first-one, second-one") == "***, ***"

    def test_short_ones_would_be_found_by_chance(self) -> None:
        assert Masker(["a", ""]).mask("a banana") == "a banana"

    @given(st.text(max_size=60))
    def test_any_text_is_masked_and_masking_again_changes_nothing(self, text: str) -> None:
        shown = Masker(["canary-42"]).mask(text)
        assert Masker(["canary-42"]).mask(shown) == shown
