"""alerting.yml: what it may say, and how what is wrong in it is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyjobs.alerting.channels import AppriseChannel, Mail, Webhook
from pyjobs.alerting.file import Alerting, BadAlerting, read

SPECIFIED = """\
# alerting.yml
rules:
  - alert: JobExecutionFailed
    expr: failed_jobs > 5
    for: 5m
    labels:
      severity: warning
    annotations:
      summary: "Job execution failed"
      description: "More than 5 jobs failed in 5 minutes"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alerting.yml"


def said(file: Path, text: str) -> Alerting:
    file.write_text(text, encoding="utf-8")
    return read(file)


def problems(file: Path, text: str) -> list[str]:
    return [problem.text("en").removeprefix("alerting.yml:") for problem in said(file, text).problems]


def test_the_specifications_example_is_read(file: Path) -> None:
    found = said(file, SPECIFIED)
    [rule] = found.rules
    assert (rule.name, rule.expr, rule.for_ms) == ("JobExecutionFailed", "failed_jobs > 5", 300_000)
    assert rule.labels == {"severity": "warning"}
    assert rule.annotations["summary"] == "Job execution failed"
    assert found.problems == ()


def test_no_file_and_an_empty_one_say_nothing(file: Path) -> None:
    assert read(file) == Alerting()
    assert said(file, "rules:\nchannels:\n") == Alerting()
    assert said(file, "# nothing\n") == Alerting()


def test_channels_and_times_are_read(file: Path) -> None:
    (file.parent / "url").write_text("tgram://token/chat\n")
    found = said(
        file,
        "group: 0\nremind: 1h\nchannels:\n"
        "  mail: {type: email, to: [a@example.org, 'b@example.org; c@example.org']}\n"
        "  hook: {type: webhook, url: 'https://example.org/x', method: put, headers: {Authorization: Bearer x}}\n"
        "  chat: {type: apprise, url_file: url}\n",
    )
    assert found.problems == ()
    assert (found.group_ms, found.remind_ms) == (0, 3_600_000)
    assert found.channels == (
        Mail("mail", ("a@example.org", "b@example.org", "c@example.org")),
        Webhook("hook", "https://example.org/x", "PUT", (("Authorization", "Bearer x"),)),
        AppriseChannel("chat", "tgram://token/chat", 6),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rulse: []", "1:1: `rulse` is no key in the file; did you mean `rules`?"),
        ("rules: 5", "1:8: `rules` is no list"),
        ("channels: [1]", "1:11: `channels` is no mapping of names and values"),
        ("- a", "1:1: the file is no mapping of keys and values"),
        ("group: soon", "1:8: `soon` is not a duration"),
        ("rules:\n  - 5", "2:5: a rule is no mapping of keys and values"),
        ("rules:\n  - alert: A", "2:5: a rule needs `expr`"),
        ("rules:\n  - expr: failed_jobs > 1", "2:5: a rule needs `alert`"),
        ("rules:\n  - alert: A\n    expr: failed_job > 1",
         "3:11: rule `A`: there is no metric `failed_job`; did you mean `failed_jobs`?"),
        ("rules:\n  - alert: A\n    expr: 'failed_jobs >> 1'",
         "3:25: rule `A`: `>` where a metric or a number should be"),
        ("rules:\n  - alert: A\n    expr: |\n      failed_jobs > 1\n        and x > 1",
         "5:13: rule `A`: there is no metric `x`"),
        ("rules:\n  - {alert: A, expr: failed_jobs > 1, fro: 5m}",
         "2:39: `fro` is no key in a rule; did you mean `for`?"),
        ("rules:\n  - {alert: A, expr: failed_jobs > 1, for: 5}", "2:44: `5` has no unit"),
        ("rules:\n  - {alert: A, alert: B, expr: failed_jobs > 1}", "2:16: `alert` is there twice"),
        ("rules:\n  - {alert: A, expr: failed_jobs > 1}\n  - {alert: A, expr: failed_jobs > 2}",
         "3:13: there is another rule `A`"),
        ("rules:\n  - alert: A\n    expr: failed_jobs > 1\n    annotations: {summary: 'x {{ $valu }}'}",
         "4:31: `{{ $valu }}` is neither `{{ $value }}` nor `{{ $labels.NAME }}`"),
        ("channels:\n  a: {type: webhok}", "2:13: `webhok` is no kind of channel; did you mean `webhook`?"),
        ("channels:\n  a: {to: x@y.z}", "2:6: channel `a` needs `type`: email, webhook, apprise"),
        ("channels:\n  a b: {type: email}", "2:3: `a b` is no name for a channel"),
        ("channels:\n  a: {type: email}", "2:6: a channel of type email needs `to`"),
        ("channels:\n  a: {type: email, to: nobody}", "2:24: `nobody` is no mail address"),
        ("channels:\n  a: {type: email, to: a@b.c, url: 'http://x'}",
         "2:37: `url` is nothing that a channel of type email has"),
        ("channels:\n  a: {type: webhook}", "2:6: channel `a` needs one of `url` and `url_file`"),
        ("channels:\n  a: {type: webhook, url: 'ftp://x'}",
         "2:28: a webhook's address begins with http:// or https://"),
        ("channels:\n  a: {type: apprise, url: dingtalk}", "2:27: this is no address with `://`"),
        ("channels:\n  a: {type: apprise, url_file: none}",
         "2:32: `url_file` cannot be read: No such file or directory"),
        ("channels:\n  a: {type: webhook, url: 'http://x', method: get}", "2:47: `GET` is no method for a webhook"),
        ("channels:\n  a: {type: webhook, url: 'http://x', headers: {\"A\": \"b\\nc: d\"}}",
         "2:48: header `A` cannot be sent"),
        ('channels:\n  a:\n    type: webhook\n    url: http://x\n    template: |\n      {\n       "a": "$titel"}',
         "7:14: channel `a`: there is nothing named `$titel`; did you mean `$title`?"),
        ("channels:\n  a: {type: webhook, url: 'http://x', template: 'costs 5$ '}",
         "2:57: channel `a`: `$` begins no name here; a dollar sign is written `$$`"),
        ("channels:\n  a: {type: webhook, url: 'http://x', template: '{\"a\": $title}'}",
         "2:50: channel `a`: it makes no JSON: Expecting value"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_place_and_the_nearest_word(file: Path, text: str, expected: str) -> None:
    [problem] = problems(file, text)
    assert problem.startswith(expected)
    [same] = read(file).problems
    assert same.text("zh") != same.text("en")


def test_one_that_is_wrong_leaves_the_others_alone(file: Path) -> None:
    found = said(file, "rules:\n  - {alert: A, expr: x > 1}\n  - {alert: B, expr: failed_jobs > 1}\nchanels: {}\n")
    assert [rule.name for rule in found.rules] == ["B"]
    assert [problem.about for problem in found.problems] == ["", "A"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"rules: [", "alerting.yml: 1:9: is not YAML"),
        (b"a: b: c", "alerting.yml: 1:5: is not YAML"),
        (b"\xff\xfe\xfa", "cannot be read: it is no UTF-8 text"),
        (b"[" * 100_000, "alerting.yml: "),
        (b"#" * 2_000_000, "is larger than 1 MiB"),
    ],
)
def test_what_is_no_yaml_is_refused_as_a_whole(file: Path, content: bytes, expected: str) -> None:
    file.write_bytes(content)
    with pytest.raises(BadAlerting) as caught:
        read(file)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(BadAlerting, match="cannot be read: Is a directory"):
        read(file)


def test_secrets_of_channels_are_not_shown() -> None:
    hook = Webhook("h", "https://me:hunter22@hooks.example.org:8443/services/T0/B0/secret")
    assert hook.target == "https://hooks.example.org:8443/******"
    assert AppriseChannel("c", "dingtalk://secret@token").target == "dingtalk://******"
    assert os.linesep not in hook.target
