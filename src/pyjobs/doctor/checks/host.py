"""Checks of files, disks, the listener and the system."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator

from pyjobs.doctor.facts import Facts
from pyjobs.doctor.finding import Finding, Fix, Said, Severity

__all__ = ["clock", "disk", "listener", "modes", "system"]

_FULL = 16 << 20
_LOW = 256 << 20
#: Clocks of a machine and its disks differ by less.
_AHEAD_S = 60
_WEAKER = {
    "pidfd": Said("this system has no pidfd", "此系统没有 pidfd"),
    "subreaper": Said("this system has no subreaper", "此系统没有 subreaper"),
    "proc": Said("this system has no /proc", "此系统没有 /proc"),
}
_WEAKER_WHY = {
    "pidfd": Said(
        "the weaker way is taken: the ends of runs are looked for 20 times a second",
        "采用较弱的方式：每秒检查 20 次执行是否结束",
    ),
    "subreaper": Said(
        "the weaker way is taken: the exit status of what goes on after a crash of pyjobs is lost",
        "采用较弱的方式：pyjobs 异常退出后仍在继续的命令，其退出状态会丢失",
    ),
    "proc": Said(
        "the weaker way is taken: processes that leave their group cannot be found when a run is ended",
        "采用较弱的方式：终止执行时无法找到脱离进程组的进程",
    ),
}


def modes(facts: Facts) -> Iterator[Finding]:
    """What others than its owner can read or write."""
    for path, mode, wanted in facts.open_places:
        yield Finding(
            code="open_mode",
            severity=Severity.WARNING,
            what=Said(f"`{path}` is open to others ({mode:04o})", f"`{path}` 对其他用户开放（{mode:04o}）"),
            why=Said(
                "commands, output and secrets of all jobs are in there",
                "其中有所有任务的命令、输出和机密",
            ),
            mend=f"chmod {wanted:o} {shlex.quote(str(path))}",
            fix=Fix("chmod", str(path), wanted),
        )


def disk(facts: Facts) -> Iterator[Finding]:
    """Room for the store, for output and for the log."""
    for folder, free in facts.disks:
        if free < _LOW:
            yield Finding(
                code="disk_full" if free < _FULL else "disk_low",
                severity=Severity.ERROR if free < _FULL else Severity.WARNING,
                what=Said(
                    f"the disk of `{folder}` has {free >> 20} MiB left", f"`{folder}` 所在磁盘仅剩 {free >> 20} MiB"
                ),
                why=Said("without room nothing new starts: no record, no launch", "空间耗尽后不会启动任何新的执行"),
                mend="pyjobs runs clear --before 30d",
            )


def listener(facts: Facts) -> Iterator[Finding]:
    """The API can be reached by anybody, or is read by anybody on the way."""
    if facts.daemon is not None and not facts.daemon.api_url:
        return
    settings = facts.settings
    if _loopback(settings.host):
        return
    outside = [network for network in facts.lists.allow if not network.is_loopback]
    everybody = any(network.prefixlen == 0 for network in outside)
    if everybody and not facts.asks_for_token:
        yield Finding(
            code="api_open",
            severity=Severity.ERROR,
            what=Said(
                f"the API listens on {settings.host}, lets everybody in and asks for no token",
                f"API 监听 {settings.host}，允许任何地址访问，且不要求令牌",
            ),
            why=Said("whoever reaches the port runs commands as this user", "能访问该端口的人都可以以当前用户执行命令"),
            mend="pyjobs api token add operator --scope admin",
        )
    if outside and not settings.ssl_certfile and not settings.trusted_proxies:
        yield Finding(
            code="api_plain",
            severity=Severity.WARNING,
            what=Said(f"the API listens on {settings.host} without TLS", f"API 监听 {settings.host}，但未使用 TLS"),
            why=Said(
                "tokens and commands can be read on the way; set SSL_CERTFILE and SSL_KEYFILE, or put a proxy before it"
                " and name it by TRUSTED_PROXIES",
                "令牌和命令可能被窃听；请设置 SSL_CERTFILE 和 SSL_KEYFILE，或使用代理并在 TRUSTED_PROXIES 中指明",
            ),
            mend="HOST=127.0.0.1 pyjobs daemon restart",
        )


def clock(facts: Facts) -> Iterator[Finding]:
    """Files that were changed in the future."""
    if facts.files_ahead_s > _AHEAD_S:
        yield Finding(
            code="clock_behind_files",
            severity=Severity.WARNING,
            what=Said(
                f"files of this home were changed {facts.files_ahead_s:.0f} s in the future",
                f"主目录中文件的修改时间比当前时间晚 {facts.files_ahead_s:.0f} 秒",
            ),
            why=Said(
                "the clock was set back, or the disk is another machine's with another clock",
                "时钟被调回，或磁盘位于时钟不同的其他机器上",
            ),
            mend="timedatectl set-ntp true",
        )


def system(facts: Facts) -> Iterator[Finding]:
    """What the system lacks, and what is done instead."""
    for name in facts.weaker:
        yield Finding(code=f"no_{name}", severity=Severity.NOTE, what=_WEAKER[name], why=_WEAKER_WHY[name])


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
