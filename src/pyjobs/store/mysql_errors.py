"""What a MySQL server's errors mean to pyjobs. They are told by number; texts of a server may be in any language."""

from __future__ import annotations

from pyjobs.database_url import MysqlPlace
from pyjobs.errors import Invalid, NotAllowed, PyjobsError, StoreBusy, StoreUnusable

__all__ = ["LOST", "number_of", "translate"]

#: The connection is gone: closed, killed, refused for its age, or the server shut down.
LOST = frozenset({0, 1053, 1080, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031})
_UNREACHABLE = frozenset({1040, 1129, 1203, 1226, 2002, 2003, 2005})
#: Deadlock, lock wait, a row that another one changed, an interrupted statement: all rolled back.
_LOCKED = frozenset({1020, 1205, 1213, 1317, 1969, 3024, 4025})
_FULL = frozenset({1021, 1041, 1114, 1290, 1792, 1836, 3572})
_DENIED = frozenset({1044, 1045, 1130, 1142, 1143, 1227, 1251, 1370, 1698})
_NO_TRIGGERS = 1419
_NO_DATABASE = 1049
_BAD_VALUE = frozenset({1264, 1366, 1406, 1153})


def number_of(exc: BaseException) -> int:
    """The server's or the driver's number of an error; 0 for one without, which is that of a closed connection."""
    return next((arg for arg in exc.args if isinstance(arg, int)), 0)


def translate(exc: BaseException, place: MysqlPlace) -> PyjobsError:
    """The error that users see."""
    number, where = number_of(exc), place.shown
    why = next((arg for arg in reversed(exc.args) if isinstance(arg, str)), type(exc).__name__)
    if number in LOST | _UNREACHABLE:
        return StoreBusy(
            f"the store `{where}` cannot be reached: {why} ({number})",
            f"无法连接数据库 `{where}`：{why}（{number}）",
            hint="check that the server runs and may be reached from here; pyjobs tries again",
            hint_zh="请检查数据库服务是否运行、网络是否可达；pyjobs 会自动重试",
        )
    if number in _LOCKED:
        return StoreBusy(
            f"the store `{where}` is locked by somebody else: {why} ({number})",
            f"数据库 `{where}` 被占用：{why}（{number}）",
            hint="try again; `SHOW PROCESSLIST` on the server shows who holds it",
            hint_zh="请重试；在服务器上用 `SHOW PROCESSLIST` 查看占用者",
        )
    if number in _FULL:
        return StoreBusy(f"the store `{where}` cannot be written: {why}", f"数据库 `{where}` 无法写入：{why}")
    if number in _DENIED:
        return NotAllowed(
            f"the store `{where}` refuses its user: {why}",
            f"数据库 `{where}` 拒绝该用户：{why}",
            hint="check the user and password in DATABASE_URL or DB_PASSWORD, and what the user is granted",
            hint_zh="请检查 DATABASE_URL 或 DB_PASSWORD 中的用户与密码，以及该用户的权限",
        )
    return _unusable(number, why, place)


def _unusable(number: int, why: str, place: MysqlPlace) -> PyjobsError:
    where = place.shown
    if number in _BAD_VALUE:
        return Invalid("value", f"the store does not take it: {why}", f"数据库不接受：{why}")
    if number == _NO_DATABASE:
        return StoreUnusable(
            f"there is no database `{place.database}` at `{where}`",
            f"`{where}` 上没有数据库 `{place.database}`",
            hint=f"make it: CREATE DATABASE `{place.database}` CHARACTER SET utf8mb4",
        )
    if number == _NO_TRIGGERS:
        return NotAllowed(
            f"the user of `{where}` may not make triggers while the server writes a binary log",
            f"`{where}` 的用户在开启二进制日志时无权创建触发器",
            hint="let an administrator SET GLOBAL log_bin_trust_function_creators = 1, then try again",
            hint_zh="请管理员执行 SET GLOBAL log_bin_trust_function_creators = 1 后重试",
        )
    return StoreUnusable(
        f"`{where}` is not a usable pyjobs database: {why} ({number})",
        f"`{where}` 不是可用的 pyjobs 数据库：{why}（{number}）",
        hint="name another one by DATABASE_URL",
        hint_zh="请用 DATABASE_URL 指定其他数据库",
    )
