"""The rules of `alerting.yml`, judged over the store's figures every so often."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

from pyjobs.alerting.figures import StoreFigures
from pyjobs.alerting.file import Rule, annotated
from pyjobs.alerting.incidents import Incidents
from pyjobs.alerting.tree import Labels
from pyjobs.alerts import Finding
from pyjobs.ports import Store

__all__ = ["SOURCE", "RuleJudge"]

_log = logging.getLogger(__name__)
SOURCE = "rule:"
#: Of one rule: what holds for more at once is one trouble, not many.
_MOST_FINDINGS = 50


class RuleJudge:
    """A source of findings: what the rules say now."""

    def __init__(self, store: Store, incidents: Incidents) -> None:
        """Take what is judged, and who is told."""
        self._store = store
        self._incidents = incidents
        self._figures = StoreFigures(store)
        self._rules: Sequence[Rule] = ()
        self._failed: set[str] = set()

    def use(self, rules: Sequence[Rule], now_ms: int) -> None:
        """Judge by these from now on; what a rule found that is gone is over, without a word."""
        self._rules = rules
        self._failed = set()
        names = {rule.name for rule in rules}
        for incident in self._store.incidents(limit=100_000):
            if incident.cause.startswith(SOURCE) and incident.labels.get("alertname") not in names:
                self._incidents.over(incident.cause, now_ms, quiet=True)

    def look(self, now_ms: int) -> None:
        """Judge all of them; one that fails is said once, and leaves the others alone."""
        if not self._rules:
            return
        self._figures.look(now_ms, [selector for rule in self._rules for selector in rule.node.selectors()])
        findings: list[Finding] = []
        keep: list[str] = []
        for rule in self._rules:
            try:
                findings += self._findings(rule)
            except (ArithmeticError, ValueError, RecursionError) as exc:
                keep.append(f"{SOURCE}{rule.name}{{")
                if rule.name not in self._failed:
                    self._failed.add(rule.name)
                    _log.error("rule `%s` failed: %s", rule.name, exc)
        self._incidents.settle(SOURCE, findings, now_ms, keep=keep)

    def _findings(self, rule: Rule) -> Iterable[Finding]:
        value = rule.node.value(self._figures)
        found = value if isinstance(value, dict) else {}
        worst = sorted(found.items(), key=lambda pair: (-pair[1], sorted(pair[0])))[:_MOST_FINDINGS]
        return [_finding(rule, labels, number) for labels, number in worst]


def _finding(rule: Rule, labels: Labels, value: float) -> Finding:
    said = {**dict(sorted(labels)), **rule.labels}
    texts = {name: annotated(text, value, said) for name, text in rule.annotations.items()}
    title = texts.pop("summary", "") or rule.name
    job_name = said.get("job_name", "")
    named = re.search(rf"(?<!\w){re.escape(job_name)}(?!\w)", title)
    about = f" ({job_name})" if job_name and not named else ""
    lines = [*texts.values(), f"{rule.expr} ({value:g})"]
    return Finding(
        cause=_cause(rule, labels),
        title=title + about,
        text="\n".join(lines),
        severity=rule.labels.get("severity", "warning"),
        labels={"alertname": rule.name, **said},
        for_ms=rule.for_ms,
    )


def _cause(rule: Rule, labels: Labels) -> str:
    inner = ",".join(f"{name}={value}" for name, value in sorted(labels))
    return f"{SOURCE}{rule.name}{{{inner}}}"
