"""What a job says that is to be told about it."""

from __future__ import annotations

import pytest

from pyjobs.alertpolicy import AlertPolicy, alert_policy, canonical
from pyjobs.errors import Invalid


def test_all_of_it_is_read() -> None:
    text = " Failures = 3, recovery ,late=5m,longer=1h30m,shorter=500ms,silent=26h, "
    assert alert_policy(text) == AlertPolicy(
        failures=3, recovery=True, late=300_000, longer=5_400_000, shorter=500, silent=93_600_000
    )
    assert canonical(text) == "failures=3,recovery,late=5m,longer=1h30m,shorter=500ms,silent=26h"


def test_nothing_asks_for_nothing() -> None:
    assert alert_policy("") == AlertPolicy()


def test_a_failure_is_the_first_one() -> None:
    assert alert_policy("failure").failures == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("failurs=3", "alerts: `failurs` is nothing that a job can be watched for; did you mean `failures`?"),
        ("on_monday", "alerts: `on_monday` is nothing that a job can be watched for"),
        ("late", "alerts: `late` needs a value, such as `late=5m`"),
        ("late=5", "alerts: late: `5` has no unit"),
        ("late=0s", "alerts: `late` is zero"),
        ("failures=0", "alerts: `0` is not usable for `failures`: a number from 1 to 10000"),
        ("failures=x", "alerts: `x` is not usable for `failures`: a number from 1 to 10000"),
        ("failure=2", "alerts: `failure` takes no value"),
        ("failure,failures=2", "alerts: `failures` is said twice"),
        ("recovery", "alerts: `recovery` is the end of something else that is told"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        alert_policy(text)
    assert str(caught.value) == expected
    assert caught.value.text("zh") != caught.value.text("en")
