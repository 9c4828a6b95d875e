"""Jobs and runs as rows, rows as documents, and back; what is written wrong is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes import NOW_MS, a_job, a_run
from hypothesis import given, settings
from hypothesis import strategies as st

from pyjobs.errors import BadDocument, Invalid
from pyjobs.interchange import documents
from pyjobs.interchange.jobrows import JOB_COLUMNS, job_row, read_job
from pyjobs.interchange.runrows import read_run, run_row
from pyjobs.jobs import AllowMode, Backoff, Fold, Gap, JobState, Misfire, OnLost, Run, RunState, Source, TriggerType

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9)
counts = st.integers(0, 2**31 - 1)
instants = st.integers(10**11, 253402300799000)
seconds = instants.map(lambda ms: ms // 1000 * 1000)
jobs = st.builds(
    a_job,
    texts,
    id=counts,
    desc=texts,
    trigger_type=st.sampled_from(TriggerType),
    cron_expr=texts,
    interval_s=st.integers(1, 2**31),
    at_ms=instants,
    anchor_ms=instants,
    timezone=texts,
    dst_gap=st.sampled_from(Gap),
    dst_fold=st.sampled_from(Fold),
    mode=texts,
    command=texts,
    allow_mode=st.sampled_from(AllowMode),
    misfire=st.sampled_from(Misfire),
    catchup_window_s=counts,
    max_run_count=counts,
    run_count=counts,
    timeout_s=counts,
    grace_s=counts,
    retry_backoff=st.sampled_from(Backoff),
    retry_on=texts,
    on_lost=st.sampled_from(OnLost),
    state=st.sampled_from(JobState),
    stop_reason=texts,
    last_run_ms=seconds,
    last_state=st.sampled_from(RunState),
    last_duration_ms=counts,
    created_ms=seconds,
    updated_ms=seconds,
)


class TestJobs:
    @settings(max_examples=40)
    @given(st.lists(jobs, max_size=2), st.sampled_from(documents.FORMATS))
    def test_a_job_comes_back_from_every_format(self, those: list[Any], kind: str) -> None:
        text = "".join(documents.write(kind, "2030", [job_row(job) for job in those], []))
        back = documents.read(text, kind, "file")
        assert len(back.jobs) == len(those)
        for row, job in zip(back.jobs, those, strict=True):
            said = read_job(row)
            assert said.unknown == ()
            assert said.id == job.id
            for name, value in {**said.said, **said.kept}.items():
                assert value == getattr(job, name), name
            assert len(said.said) + len(said.kept) + 2 == len(JOB_COLUMNS)

    def test_the_older_names_are_understood(self) -> None:
        row = {"name": "a", "cron": "* * * * *", "mode": "http", "target": "http://x/", "timeout": "30", "state": 1,
               "next_run_time": None, "created_at": "2026-01-02 03:04:05",
               "updated_at": "2026-01-02T03:04:05.123456"}  # fmt: skip
        said = read_job(row)
        assert said.said == {"name": "a", "cron_expr": "* * * * *", "mode": "http", "command": "http://x/",
                             "timeout_s": 30, "state": 0}  # fmt: skip
        assert said.kept == {"created_ms": 1767323045000, "updated_ms": 1767323045123}

    def test_rows_of_the_store_and_of_job_list_are_understood(self) -> None:
        said = read_job(
            {"run_at": NOW_MS, "anchor_at": NOW_MS, "revision": 4, "next_fire_at": 3, "interval_seconds": 0}
        )
        assert (said.said, said.kept, said.unknown) == ({"at_ms": NOW_MS}, {"anchor_ms": NOW_MS}, ())
        said = read_job({"at": "2030-01-01T08:00:00.000+08:00", "state": "stopped", "allow_mode": "serial"})
        assert said.said == {"at_ms": NOW_MS, "state": 2, "allow_mode": 1}

    def test_columns_that_nothing_knows_are_told(self) -> None:
        assert read_job({"name": "x", "colour": 3}).unknown == ("colour",)

    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("name", True, "name: `True` is not a text: put it in quotes"),
            ("name", ["a"], "name: `['a']` is not a text"),
            ("timeout", "5m", "timeout: `'5m'` is not a whole number"),
            ("timeout", 1.5, "timeout: `1.5` is not a whole number"),
            ("grace", True, "grace: `True` is not a whole number"),
            ("state", 3, "state: `3` is not one of 0, 1, 2"),
            ("created_at", "yesterday", "created_at: `'yesterday'` is not a time such as"),
            ("created_at", 1.5, "created_at: `1.5` is not a time"),
            ("last_state", "odd", "last_state: `odd` is no state of a run"),
        ],
    )
    def test_a_value_of_a_wrong_type_is_named(self, column: str, value: object, words: str) -> None:
        with pytest.raises(Invalid) as caught:
            read_job({column: value})
        assert str(caught.value).startswith(words)


class TestRuns:
    @pytest.mark.parametrize("kind", ["json", "yaml"])
    def test_a_run_comes_back(self, kind: str) -> None:
        run = a_run(
            id=7, job_id=3, state=RunState.FAILED, source=Source.CATCHUP, scheduled_ms=NOW_MS + 1, first_ms=NOW_MS,
            fires=2, started_ms=NOW_MS + 3, ended_ms=NOW_MS + 9, duration_ms=6, attempt=2, exit_code=3, signal=None,
            error="exit status 3", output="out\nerr", stderr_at=4, retry_of="abc", kill_by="me", owner=None,
        )  # fmt: skip
        text = "".join(documents.write(kind, "2030", [], iter([run_row(run)])))
        assert read_run(documents.read(text, kind, "file").logs[0]) == run

    def test_the_older_names_are_understood(self) -> None:
        row = {"id": 1, "job_id": 2, "start_time": "2026-01-02 03:04:05", "end_time": "2026-01-02 03:04:07",
               "status": 1, "result": "hi", "error": "boom"}  # fmt: skip
        assert read_run(row) == Run(
            id=1, exec_id="", job_id=2, job_name="", mode="", command="", state=RunState.FAILED, source=Source.CRON,
            claimed_ms=1767323045000, started_ms=1767323045000, ended_ms=1767323047000, duration_ms=2000,
            output="hi", error="boom",
        )  # fmt: skip

    def test_one_that_had_not_ended_is_lost(self) -> None:
        run = read_run({"start_time": "2026-01-02 03:04:05", "status": None})
        assert (run.state, run.ended_ms, run.error) == (
            RunState.LOST, 1767323045000, "it had not ended when it was exported",
        )  # fmt: skip
        assert read_run(run_row(replace(a_run(), state=RunState.RUNNING))).state is RunState.LOST

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({}, "start_time: is missing"),
            ({"start_time": "2026-01-02", "state": "odd"}, "state: `odd` is no state"),
            ({"start_time": "2026-01-02", "source": "odd"}, "source: `odd` is no source"),
            ({"start_time": "2026-01-02", "exit_code": "x"}, "exit_code: `'x'` is not a whole number"),
        ],
    )
    def test_what_is_wrong_is_named(self, row: dict[str, object], words: str) -> None:
        with pytest.raises(Invalid) as caught:
            read_run(row)
        assert str(caught.value).startswith(words)


class TestSyntax:
    @pytest.mark.parametrize(
        ("kind", "text", "words"),
        [
            ("json", "{", "`file`: is no JSON: "),
            ("json", "[" * 100_000, "`file`: is "),
            ("json", '{"tasks": []}', "`file`: holds no `jobs`"),
            ("json", '"x"', "`file`: holds no `jobs`"),
            ("json", '{"jobs": {"a": 1}}', "`file`: its `jobs` is no list"),
            ("json", '{"jobs": [1]}', "`file`: jobs 1 is no table"),
            ("yaml", "jobs: [", "`file`: is no YAML: "),
            ("yaml", "jobs:\n- name: a\n  name: b\n", "line 3: `name` stands here for the second time"),
            ("yaml", "jobs: !!python/object/apply:os.system ['true']", "`file`: is no YAML: could not determine"),
            ("toml", "a = ", "`file`: is no TOML: "),
            ("csv", "name,mode\na\n", "`file:2`: has not as many cells as there are headings (2)"),
            ("csv", "name,mode\na,b,c\n", "`file:2`: has not as many cells"),
            ("csv", 'name\n"a', "`file:1`: is no CSV: "),
        ],
    )  # fmt: skip
    def test_the_place_is_named(self, kind: str, text: str, words: str) -> None:
        with pytest.raises(BadDocument) as caught:
            documents.read(text, kind, "file")
        assert words in str(caught.value)

    def test_a_list_alone_is_jobs(self) -> None:
        assert documents.read('[{"name": "a"}]', "json", "file").jobs == [{"name": "a"}]

    def test_yaml_may_take_another_mapping_in(self) -> None:
        text = "jobs:\n- &a {name: a, mode: http}\n- <<: *a\n  name: b\n"
        assert documents.read(text, "yaml", "file").jobs == [
            {"name": "a", "mode": "http"},
            {"name": "b", "mode": "http"},
        ]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("ok\n备份".encode("gb18030"), "`file:2`: the byte 0xb1 is no UTF-8"),
            ("x".encode("utf-16"), "`file`: is UTF-16, not UTF-8"),
        ],
    )
    def test_another_encoding_is_refused(self, content: bytes, words: str) -> None:
        with pytest.raises(BadDocument) as caught:
            documents.decoded(content, "file")
        assert words in str(caught.value)

    def test_a_mark_at_the_beginning_is_none_of_the_text(self) -> None:
        assert documents.decoded(b"\xef\xbb\xbfa", "file") == "a"

    @pytest.mark.parametrize(
        ("name", "kind"), [("a.JSON", "json"), ("b.yml", "yaml"), ("c.toml", "toml"), ("d", None), ("e.txt", None)]
    )
    def test_the_end_of_a_name_says_the_format(self, name: str, kind: str | None) -> None:
        assert documents.format_of(name) == kind
