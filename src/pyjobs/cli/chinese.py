"""
The Chinese of what is written in English where it belongs: helps of flags, meanings of settings, built-in functions.

A table that only a call in Chinese imports. What is missing in it is shown in English.
"""

from __future__ import annotations

import re

__all__ = ["FUNCTIONS", "HELPS", "SETTINGS", "help_in_chinese"]

#: The parser's own words on a help page.
_HEADINGS = {"Usage: ": "用法：", "Arguments": "参数", "Options": "选项", "Commands": "命令", "Examples": "示例"}

#: The English help of a flag or an argument -> the same in Chinese.
HELPS = {
    **_HEADINGS,
    "Show this message and exit.": "显示此帮助并退出。",
    "The home to work on. (env: PYJOBS_HOME)": "要使用的主目录。（环境变量：PYJOBS_HOME）",
    "Language of messages. (env: PYJOBS_LANG, LC_ALL, LANG)": "消息语言。（环境变量：PYJOBS_LANG、LC_ALL、LANG）",
    "When to use colour. (env: NO_COLOR)": "何时使用颜色。（环境变量：NO_COLOR）",
    "Say nothing but warnings and errors.": "只输出警告和错误。",
    "Say what caused an error.": "显示错误的起因。",
    "Print the version.": "显示版本号。",
    # any command
    "table, json, jsonl, csv, yaml or name.": "table、json、jsonl、csv、yaml 或 name。",
    "The same as `-o json`.": "等同于 `-o json`。",
    "Only show what would be done.": "只显示将要做什么。",
    "Do not ask.": "不询问。",
    "Wait no longer, then exit with 7.": "最多等待这么久，超过则以 7 退出。",
    "Show control characters on a terminal as they are.": "在终端上原样输出控制字符。",
    "A job: its name, id, or a unique beginning.": "任务：名称、id 或唯一的开头。",
    "Jobs: names, ids, or unique beginnings.": "任务：名称、id 或唯一的开头，可写多个。",
    "A run: its exec id, or a unique beginning.": "执行：执行编号或唯一的开头。",
    "Runs: exec ids, or unique beginnings.": "执行：执行编号或唯一的开头，可写多个。",
    "How many at most.": "最多多少条。",
    "How many instants.": "显示多少个时间。",
    # what a job is
    "The name of the new job.": "新任务的名称。",
    "Its new name.": "新的名称。",
    "When: a cron expression of 5 or 6 fields, or `@daily` …": "时间：5 或 6 个字段的 cron 表达式，或 `@daily` 等。",
    "When: every so often, such as `1h30m`.": "时间：固定间隔，如 `1h30m`。",
    "When: once, such as `2026-12-24 18:00`.": "时间：单次，如 `2026-12-24 18:00`。",
    "When: only by hand.": "时间：仅手动执行。",
    "What: an HTTP request to this address.": "内容：向该地址发送 HTTP 请求。",
    "What: a shell text.": "内容：Shell 命令。",
    "What: a function, see `pyjobs funcs list`.": "内容：函数，参见 `pyjobs funcs list`。",
    "What: the whole command text, tags and all; needs --mode.": "内容：完整的命令文本（含标签），需同时给出 --mode。",
    "Mode of a --raw text: http, command or func.": "--raw 文本的模式：http、command 或 func。",
    "http: the method.  [default: GET]": "http：请求方法。  [默认：GET]",
    "http: a header; may be repeated.": "http：请求头，可多次使用。",
    "http: the body.": "http：请求体。",
    "http: cookies, `a=1; b=2`.": "http：Cookie，如 `a=1; b=2`。",
    "http: http://, https://, socks5:// or socks5h://.": "http：代理，http://、https://、socks5:// 或 socks5h://。",
    "http: text that the answer must hold.": "http：响应中必须包含的文本。",
    "command: the folder it runs in.": "command：工作目录。",
    "command: a variable; may be repeated.": "command：环境变量，可多次使用。",
    "func: the arguments, split at commas.": "func：参数，以逗号分隔。",
    "Time-out of one attempt; 0: none.  [default: JOB_TIMEOUT, 5m]":
        "单次尝试的超时，0 表示不限。  [默认：JOB_TIMEOUT，5m]",
    "Attempts after one that failed.": "失败后重试的次数。",
    "Pause between attempts.": "重试间隔。",
    "When one still runs: parallel (0), serial (1), immediate (2) or replace (3).":
        "上一次仍在执行时：parallel（0，并行）、serial（1，串行）、immediate（2，立即）或 replace（3，替换）。",
    "Only this job.": "仅此任务。",
    "Which jobs come first.": "哪些任务排在前面。",
    "How many jobs at most.": "最多显示多少个任务。",
    "Draw it by day to a .png or .svg file.": "按天绘制到 .png 或 .svg 文件。",
    "From then on.  [default: 7d]": "从何时起。[默认：7d]",
    "Whether that pause is fixed or exponential.": "间隔固定（fixed）或按指数增长（exponential）。",
    "Failures to retry: timeout, error, statuses such as 75 or 500-599.":
        "哪些失败要重试：timeout、error，或 75、500-599 这样的状态。",
    "When nobody knows how a run ended.": "无人知道执行如何结束时。",
    "What to tell, such as `failures=3,recovery,late=5m,silent=26h`.":
        "何时告警，如 `failures=3,recovery,late=5m,silent=26h`。",
    "What becomes of missed fires.": "如何处理错过的触发。",
    "How old a missed fire may be to run.": "错过多久以内的触发仍可补执行。",
    "Stop after so many runs; 0: never.": "执行这么多次后停止，0 表示不限。",
    "Its zone, such as `Europe/Berlin`.": "时区，如 `Europe/Berlin`。",
    "A time that the clock jumps over.": "时钟跳过的时间如何处理。",
    "A time that comes twice.": "出现两次的时间如何处理。",
    "Between the polite and the hard kill.": "从请求结束到强制终止的宽限。",
    "What it is for.": "用途说明。",
    "Do not fire it until it is started.": "添加后保持停止，启动之前不触发。",
    # jobs
    "Only names that hold this.": "只列出名称包含该文本的任务。",
    "Only these.": "只列出该状态。",
    "Only http, command or func.": "只列出该模式：http、command 或 func。",
    "Show the command text as it is stored, tags and secrets and all.": "原样显示保存的命令文本，包括标签和机密。",
    "End what runs, too; else it goes on.": "同时终止正在进行的执行，否则让其继续。",
    "Count its runs from zero again.": "执行次数从零重新计算。",
    "Print the exec id and do not wait; needs the daemon.": "输出执行编号后立即返回，需要守护进程。",
    "Start it whatever its --allow-mode says.": "忽略 --allow-mode，直接启动。",
    "Wait no longer, then exit with 7. The run goes on; with no daemon it is ended.":
        "最多等待这么久，超过则以 7 退出；执行仍继续，没有守护进程时则被终止。",
    # runs
    "Of how many runs, the newest ones.": "最近多少次执行。",
    "Go on with what comes, until interrupted.": "持续输出，直到被中断。",
    "All that was kept, not head and tail only.": "保留的全部输出，而不只是开头和结尾。",
    "Rows of what never ran, too: missed and skipped fires.": "包括从未执行的记录：错过和跳过的触发。",
    "Only runs of this job.": "只看该任务的执行。",
    "Only in this state; may be repeated.": "只看该状态，可多次使用。",
    "Only what this made.": "只看该来源。",
    "Only from then on: `24h`, `2026-11-01`.": "只看此后：`24h`、`2026-11-01`。",
    "Only before then.": "只看此前。",
    "The next page: older than this run.": "下一页：早于该执行。",
    "Return when they have ended.": "等其结束后返回。",
    "What is older: `90d`, `2026-11-01`.": "早于：`90d`、`2026-11-01`。",
    "Of any age.": "不限时间。",
    # why
    "Only this instant, past or to come, due or not: `2026-11-01 09:00`.":
        "只看这一时间（可以是将来，也可以并非应触发的时间）：`2026-11-01 09:00`。",
    "From then on.  [default: 24h]": "从此时起。  [默认：24h]",
    "Every instant by itself, the newest of them.": "逐一列出每个时间（最新的若干个）。",
    "With --all: how many at most.": "与 --all 一起使用：最多多少条。",
    # documents and files of jobs
    "Where to; its end says the format. `-`: stdout.": "写入的文件，格式由其扩展名决定；`-` 为标准输出。",
    "A document; `-`: stdin.": "文档；`-` 为标准输入。",
    "json, yaml, toml or csv.": "json、yaml、toml 或 csv。",
    "What to do with a job whose name is taken.":
        "名称已存在时：fail（报错）、skip（跳过）、replace（替换）或 rename（改名）。",
    "Their runs too; in JSON and YAML.": "同时包含执行记录，仅限 JSON 和 YAML。",
    "Leave runs out.": "忽略执行记录。",
    "Where to; `-`: stdout.": "写入的文件；`-` 为标准输出。",
    "A folder for the files, else stdout.": "存放文件的目录，未指定则为标准输出。",
    "A crontab; `-`: stdin.": "crontab 文件；`-` 为标准输入。",
    "Your own crontab, as `crontab -l` shows it.": "当前用户的 crontab，即 `crontab -l` 的输出。",
    "Lines name a user.  [default: in /etc/crontab, /etc/cron.d]":
        "各行含有用户一列。  [默认：/etc/crontab 和 /etc/cron.d 中]",
    "Only say what each line is; 8 when one can be no job.": "只说明每一行；若有无法成为任务的行则以 8 退出。",
    "A TOML or YAML file of jobs; `-`: TOML on stdin.": "TOML 或 YAML 任务文件；`-` 为标准输入（TOML）。",
    "Whose the jobs are.  [default: the file's path]": "任务的归属。  [默认：文件路径]",
    "Remove jobs that came from this file and are not in it now.": "删除来自该文件但已不在其中的任务。",
    "Show what differs, and the next fires.": "显示差异和接下来的触发时间。",
    # functions, cron, settings, the daemon
    "Its name.": "名称。",
    "Its arguments, split at commas.": "参数，以逗号分隔。",
    "End it after this; 0: never.": "超过后终止，0 表示不限。",
    "5 or 6 fields in quotes, or `@daily`, `@every 1h30m` …":
        "用引号括起的 5 或 6 个字段，或 `@daily`、`@every 1h30m` 等。",
    "From then on, not from now.": "从该时间起，而不是从现在起。",
    "Do not wait for short work.": "不等待短任务结束。",
    "How many of the last lines.": "显示最后多少行。",
    "Mend what can be mended without harm, and say so.": "修复可以安全修复的问题，并说明所做的操作。",
    "Say where each value came from.": "显示每个值的来源。",
    "Your shell: bash, zsh, fish or powershell.": "你的 Shell：bash、zsh、fish 或 powershell。",
    "In the background.": "后台运行。",
    "Taken and not needed: it is always supervised.": "接受但无需使用：始终受监护。",
    "Leave the REST API out.": "不启动 REST API。",
    "For your own manager, without root.": "安装到用户级 systemd，无需 root。",
    "Only print the unit.": "仅输出单元文件。",
    # alerts
    "Alerts, as `alert list` numbers them.": "告警编号，见 `alert list`。",
    "Channels of alerting.yml; none: all of them.": "alerting.yml 中的渠道，省略则为全部。",
    "Those that are over, too.": "包括已恢复的告警。",
    # backups
    "The file to make, or a folder to make one in.  [default: backups in home]":
        "要创建的文件，或存放备份的目录。  [默认：主目录中的 backups]",
    "Delete older backups in that folder, never the newest; 0: none.":
        "删除该目录中更早的备份，最新的始终保留；0 表示不删。",
    "Restore it into a scratch folder and compare, before it gets its name.":
        "先恢复到临时目录并比对，无误后才生成备份文件。",
    "Leave settings, alert rules and user functions out.": "不包含配置、告警规则和自定义函数。",
    "Whether it is gzipped.  [default: up to 64 MiB, or as the name says]":
        "是否用 gzip 压缩。  [默认：不超过 64 MiB 时压缩，或由文件名决定]",
    "A backup, or a copy of the database file.": "备份文件，或数据库文件的副本。",
    "Stop the daemon for it, and start it again.": "恢复期间停止守护进程，完成后重新启动。",
    "Replace settings and functions that differ, too; the old ones are kept.":
        "同时替换有差异的配置和函数文件，旧文件予以保留。",
    # the API
    "An address or a network, such as `10.0.0.0/8`.": "IP 地址或网段，如 `10.0.0.0/8`。",
    "Even if the API answers this machine no more.": "即使 API 将不再响应本机。",
    "What it is for, or who has it.": "用途或持有者。",
    "Names of tokens.": "令牌的名称。",
    "The name that they log in with.": "登录名。",
    "read, run, edit or admin (all); may be repeated.": "read、run、edit 或 admin（全部），可多次使用。",
    "Read the password from stdin.": "从标准输入读取密码。",
    "Give one that is there another password.": "为已有的管理员重设密码。",
}  # fmt: skip

#: The name of a setting -> its meaning.
SETTINGS = {
    "database_url": "数据库的位置",
    "db_password": "MySQL 用户的密码（database_url 中未写时使用）",
    "database_pool_size": "每个进程保留的 MySQL 连接数",
    "database_max_overflow": "超出该数量后还可临时建立的连接数",
    "database_pool_timeout": "等待空闲连接的最长时间",
    "database_pool_recycle": "连接的最长使用时间，0 表示不限",
    "host": "API 监听的地址",
    "port": "API 监听的端口，0 表示任意空闲端口",
    "api_workers": "响应 API 的进程数",
    "api_header_timeout": "客户端发送请求头或保持空闲的最长时间",
    "api_body_timeout": "客户端发送请求体的最长时间",
    "ssl_certfile": "API 的证书（PEM，含证书链），为空则使用 HTTP",
    "ssl_keyfile": "证书的私钥",
    "timezone": "未指定时区的任务和所显示时间的时区（IANA 名称），为空则用系统时区",
    "lang": "消息语言，en 或 zh，为空则取自 LANG",
    "max_concurrent_jobs": "同时执行的数量，超出的会排队并可见",
    "job_timeout": "任务未指定时单次尝试的超时，0 表示不限",
    "run_output_bytes": "每个输出流在记录中保留的开头和结尾的大小",
    "spool_max_bytes": "单个输出流文件的最大大小",
    "http_response_max_bytes": "HTTP 执行记录的响应体大小",
    "http_deny_networks": "HTTP 任务不得访问的网段（pyjobs 自身的 API 始终拒绝）",
    "drain": "停止时等待短任务结束的时间",
    "quarantine_crashes": "任务在 72 小时内最多可处于多少次执行进程崩溃中，达到后停止该任务；0：不限",
    "on_stop": "停止时如何处理仍在进行的执行：leave（保留）、kill（终止）或 auto（仅在随 pyjobs 结束的容器中终止）",
    "functions_dir": "自定义函数所在的目录",
    "files_dir": "内置函数 File 唯一可以访问的目录",
    "import_timeout": "加载单个自定义函数文件的最长时间",
    "log_level": "DEBUG、INFO、WARNING 或 ERROR",
    "log_file": "系统日志",
    "log_format": "日志每行的格式：json 或 text",
    "log_rotation": "何时轮转：时间、大小或两者；留空：从不",
    "log_retention": "轮转后的日志保留多久；0：一直保留",
    "log_total_size": "轮转后的日志总共保留多少；0：不限",
    "log_compression": "on：压缩轮转后的日志；off：不压缩",
    "smtp_host": "内置函数 Email 和告警的邮件服务器",
    "smtp_port": "邮件服务器的端口",
    "smtp_user": "邮件服务器的用户，为空则不登录",
    "smtp_password": "邮件服务器的密码",
    "smtp_from": "发件人",
    "smtp_tls": "starttls、ssl 或 none",
    "sms_webhook": "内置函数 SMS 提交到的地址",
    "ip_whitelist": "API 允许的地址和网段，与保存的条目合并",
    "ip_blacklist": "API 拒绝的地址和网段，与保存的条目合并",
    "trusted_proxies": "信任其 X-Forwarded-For 的代理，为空则都不信任",
    "allowed_hosts": "除 localhost 和 IP 地址外，访问 API 可用的主机名",
    "cors_origins": "可以调用 API 的网页来源，如 `https://ops.example.com`",
    "api_token": "可使用全部 API 的令牌，为空则使用保存的令牌或不要求令牌",
    "api_secret_key": "用于签名管理员会话，为空则自动生成密钥文件",
    "docs": "on：在 /docs 提供 API 文档；off：不提供",
    "rate_limit": "单个客户端每分钟的请求数（按 API 进程计），0 表示不限",
    "databases": "内置函数 Database 可用的命名连接",
}

#: The name of a built-in function -> what it does.
FUNCTIONS = {
    "Backup": "备份数据库到 `backups`；keep_days 删除更早的备份（0 表示全部保留）。",
    "Cleanup": "删除旧文件：主目录下的目录、天数、文件名模式；dry_run=true 只列出。",
    "Database": "执行 SQL：query 或 execute；配置 `databases` 中的名称；一条语句；占位符的值。",
    "Dayin": "打印参数，作为示例。",
    "Echo": "重复输出参数。",
    "Email": "发送邮件：收件人（多个以 `;` 分隔）、主题、正文。",
    "File": "操作 FILES_DIR 中的文件：read、write、delete 或 list；路径；内容。",
    "Hello": "打招呼。",
    "Math": "计算：运算符（+ - * /）、数、数。",
    "Monitor": "监测 cpu、disk、memory、load 或 process：对象、阈值；target（目录或名称）；least（下限）。",
    "Report": "汇总一段时间的执行、失败和最慢的任务，如 `7d`、`12h`、daily、weekly 或 monthly。",
    "SMS": "通过 SMS_WEBHOOK 的网关发送短信：号码、内容。",
    "Test": "打印参数。",
    "Time": "显示时间，使用 Go 风格的格式，如 `2006-01-02 15:04:05`。",
    "Webhook": "调用 URL：地址、请求体（JSON 或文本）、方法；非 2xx 视为失败。",
}


def help_in_chinese(text: str) -> str:
    """A help as the parser writes it, with what it adds at its end: `[default: 20; required]`."""
    match = re.fullmatch(r"(.*?)(?:(?:  |^)(\[(?:[^\[\]]*)\]))?", text, re.DOTALL)
    if text in HELPS or not match or not match[2]:
        return HELPS.get(text, text)
    added = match[2].replace("default: ", "默认：").replace("required", "必填")
    return f"{HELPS.get(match[1], match[1])}  {added}".strip()
