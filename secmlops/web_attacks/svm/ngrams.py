"""Hashed character and token n-grams of many short texts at once, in NumPy alone.

All texts of a batch lie in one byte array with a separator between them, so a few array operations do the
work of a loop over characters. A model looks its weights up per position; the sum over any stretch of a text is then a
difference of one cumulative sum.

Two views of a text:
- characters: lower case, every digit `0`, white space one blank, bytes outside ASCII one class; runs of
  digits, blanks and non-ASCII shrink to one;
- tokens: words of `KEYWORDS` as themselves, other words as one class, numbers as another, punctuation as
  itself, blanks dropped; so the grammar of a text remains when its names and numbers change.

Source: the hashing trick, Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_KEYWORD_LINES: Final = """
select union all from where and or not like rlike regexp having group order by limit offset insert into values
update set delete drop table create alter exec execute declare cast convert varchar nvarchar char nchar chr
concat concat_ws group_concat substring substr mid ascii ord hex unhex sleep benchmark waitfor delay pg_sleep
dbms_pipe dbms_lock receive_message xp_cmdshell sp_executesql information_schema schema_name table_name
column_name sysobjects syscolumns sysusers all_users dual rownum null is in between exists case when then else
end if iif ifnull coalesce distinct count floor rand round extractvalue updatexml make_set elt md5 sha1 version
user database schema current_user system_user load_file outfile dumpfile procedure analyse utl_inaddr
get_host_address utl_http ctxsys generate_series regexp_substring repeat right left length len reverse begin
shutdown xor div mod true false as join inner outer on using desc asc top sys master mysql pg_catalog sqlite_master
printf row quote cursor fetch open loop while for print xmltype json_keys exp pow bulk
script iframe img svg body input form object embed style link meta base video audio source details marquee math
table td div span a b p br html head title textarea button select option isindex frame frameset layer
applet xml image animate foreignobject template noscript
src href action formaction data srcdoc background poster lowsrc dynsrc xlink content http-equiv onerror
onload onclick onmouseover onmouseout onfocus onblur onchange onsubmit onkeydown onkeyup onkeypress ontoggle
onstart onbegin onend onresize onscroll onwheel ondrag ondrop oncopy onpaste oncut onanimationstart
onanimationend onpointerover onpointerenter onhashchange onpageshow onmessage autofocus contenteditable
javascript vbscript livescript mocha alert confirm prompt eval fromcharcode document cookie domain location
window self top parent frames this constructor prototype function return var let const new throw try catch
settimeout setinterval atob btoa innerhtml outerhtml write writeln expression import url string charcodeat
unescape escape decodeuri array object number console log fetch xmlhttprequest
etc passwd shadow hosts group issue proc self environ cmdline fd windows win ini boot system32 config sam
inetpub wwwroot htaccess htpasswd web inf meta git svn env ssh id_rsa authorized_keys bash_history var usr bin
sbin tmp dev root home opt lib null zero tcp udp access error apache nginx httpd
cat ls dir echo id whoami uname ping wget curl nc netcat ncat bash sh zsh ksh csh dash cmd exe powershell pwsh perl
python python3 ruby php node java gcc sleep tail more less tac nl rev sort uniq xxd od strings grep egrep awk gawk
sed find xargs tee cp mv rm mkdir touch chmod chown kill ps top netstat ifconfig ipconfig nslookup dig host
traceroute telnet ssh scp ftp tftp net user type copy del ren reg certutil bitsadmin mshta rundll32 wmic set export
env printenv ifs path base64 openssl crontab nohup su sudo busybox lynx w who last time timeout
system passthru shell_exec popen proc_open exec phpinfo assert preg_replace create_function call_user_func
include require include_once require_once file_get_contents fopen readfile expect input filter convert
getruntime runtime processbuilder class forname getclass getmethod invoke java lang os subprocess
popen check_output __import__ __class__ __mro__ __subclasses__ __globals__ __builtins__ __init__ request
session application self config settings lipsum cycler joiner freemarker execute assign velocity range
t springframework util scanner mvel ognl struts context xwork
doctype entity system public element attlist xinclude parse xs xsi cdata stylesheet
jndi ldap ldaps rmi dns iiop corba nds lower upper sys ctx hostname date main bundle
ne gt gte lt lte nin eq regex where options expr elemmatch exists mapreduce
gopher dict file ftp sftp netdoc jar phar zip glob ssh2 localhost metadata computemetadata internal meta-data
latest iam security-credentials http https
location set-cookie crlf content-type content-length admin login username password passwd debug test backup bak
old sql dump tar gz zip conf cgi asp aspx jsp phpmyadmin wp wp-login wp-admin xmlrpc
"""

KEYWORDS: Final = tuple(_KEYWORD_LINES.split())
"""Words that keep their identity in the token view; order and repetition have no meaning."""

_SEPARATOR: Final = 0
_BLANK, _DIGIT, _FOREIGN = 32, 48, 128
_MULTIPLIER: Final = np.uint32(0x01000193)
_MIX: Final = np.uint32(0x9E3779B1)
_TOKEN_SALT: Final = np.uint32(0x5BD1E995)
_WORD, _NUMBER, _MIXED = np.uint32(0x1001), np.uint32(0x1002), np.uint32(0x1003)
_LONGEST_WORD: Final = 24


def _folding() -> npt.NDArray[np.uint8]:
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += 32
    table[ord("0") : ord("9") + 1] = _DIGIT
    table[:33] = _BLANK
    table[127:] = _FOREIGN
    table[_SEPARATOR] = _SEPARATOR
    return table


def _marks(characters: str, *codes: int) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, dtype=bool)
    table[[*map(ord, characters), *codes]] = True
    return table


_FOLD = _folding()
_SHRINKS = _marks(" 0", _FOREIGN)
_IN_WORD = _marks("abcdefghijklmnopqrstuvwxyz0_", _FOREIGN)
_POWERS = np.cumprod(np.full(_LONGEST_WORD + 1, 0x01000193, dtype=np.uint32), dtype=np.uint32)
_POWERS[-1] = 0


def _word_hash(word: bytes) -> int:
    codes = np.frombuffer(word, dtype=np.uint8)[:_LONGEST_WORD].astype(np.uint32)
    return int((codes * _POWERS[: len(codes)]).sum(dtype=np.uint32))


def _keyword_table() -> npt.NDArray[np.uint32]:
    """Open table by the low 16 bits of a word's hash; a slot holds the whole hash, 0 when free."""
    table = np.zeros(1 << 16, dtype=np.uint32)
    for keyword in KEYWORDS:
        for word in keyword.replace("-", " ").split():
            digest = _word_hash(word.translate(str.maketrans("123456789", "0" * 9)).encode())
            table[(digest * int(_MIX) & 0xFFFFFFFF) >> 16] = digest
    return table


_KEYWORD_TABLE = _keyword_table()
_NUMBER_HASH = np.uint32(_word_hash(b"0"))


@dataclass(frozen=True, slots=True)
class Shape:
    """Which n-grams a model uses.

    Attributes:
        bits: the weights lie in `2**bits` buckets.
        chars: shortest and longest character n-gram.
        tokens: shortest and longest token n-gram.
    """

    bits: int = 19
    chars: tuple[int, int] = (3, 5)
    tokens: tuple[int, int] = (2, 5)


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts laid out for hashing.

    Attributes:
        codes: folded bytes with a separator before, between and after the texts.
        origins: for each code, its byte offset in the joined UTF-8 texts.
        begins: index of each text's first code.
        ends: index after each text's last code (its separator).
    """

    codes: npt.NDArray[np.uint8]
    origins: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


def lay_out(texts: Sequence[str]) -> Batch:
    """Fold texts into one array; NUL characters in a text count as blanks."""
    joined = "\0".join(["", *[text.replace("\0", " ") if "\0" in text else text for text in texts], ""])
    codes = _FOLD[np.frombuffer(joined.encode("utf-8", "surrogatepass"), dtype=np.uint8)]
    keep = np.empty(len(codes), dtype=bool)
    keep[0] = True
    np.not_equal(codes[1:], codes[:-1], out=keep[1:])
    keep |= ~_SHRINKS[codes]
    origins = np.flatnonzero(keep)
    codes = codes[origins]
    separators = np.flatnonzero(codes == _SEPARATOR)
    return Batch(codes, origins, separators[:-1] + 1, separators[1:])


def features(batch: Batch, shape: Shape) -> list[tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.uint32]]]:
    """The hashed n-grams of a batch, one pair per n-gram length and view.

    Returns:
        `(positions, buckets)`: each n-gram's first code index (None: every index from 0 on) and its bucket.
        Bucket 0 stands for no n-gram (it would run over a text's end); its weight must be 0.
    """
    found = _rolled(batch.codes.astype(np.uint32), _room(batch.codes == _SEPARATOR), shape.chars, shape.bits)
    views: list[tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.uint32]]] = [(None, buckets) for buckets in found]
    starts, tokens, closing = _tokens(batch.codes)
    rolled = _rolled(tokens, _room(closing), shape.tokens, shape.bits)
    return views + [(starts, buckets) for buckets in rolled]


def _room(separators: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each index, how far the next separator after it lies."""
    places = np.flatnonzero(separators)
    following = np.empty_like(places)
    following[:-1] = places[1:]
    following[-1] = len(separators)
    return np.repeat(following, following - places) - np.arange(len(separators))


def _rolled(
    codes: npt.NDArray[np.uint32], room: npt.NDArray[np.int64], lengths: tuple[int, int], bits: int
) -> list[npt.NDArray[np.uint32]]:
    shift = np.uint32(32 - bits)
    digest = codes + np.uint32(1)
    found = []
    for length in range(1, lengths[1] + 1):
        if length > 1:
            digest = digest[:-1] * _MULTIPLIER + codes[length - 1 :]
        if length < lengths[0]:
            continue
        buckets = ((digest ^ (digest >> np.uint32(15))) * _MIX) >> shift
        fits = codes != _SEPARATOR if length == 1 else room[: len(digest)] >= length - 1
        found.append(np.where(fits, buckets, np.uint32(0)))
    return found


def _tokens(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    in_word = _IN_WORD[codes]
    starts_here = codes != _BLANK
    starts_here[1:] &= ~(in_word[1:] & in_word[:-1])
    starts = np.flatnonzero(starts_here)
    stops = np.empty_like(starts)
    stops[:-1] = starts[1:]
    stops[-1] = len(codes)
    inside = np.arange(len(codes)) - np.repeat(starts, stops - starts)
    values = codes * _POWERS[np.minimum(inside, _LONGEST_WORD)]
    values[codes == _BLANK] = 0
    digests = np.add.reduceat(values, starts, dtype=np.uint32)
    first = codes[starts]
    known = (_KEYWORD_TABLE[(digests * _MIX) >> np.uint32(16)] == digests) & (first != _SEPARATOR)
    number = digests == _NUMBER_HASH
    tokens = np.where(known, digests, np.where(first == _DIGIT, _MIXED, _WORD))
    tokens = np.where(number, _NUMBER, tokens)
    tokens = np.where(in_word[starts], tokens, first.astype(np.uint32)) + _TOKEN_SALT
    closing = first == _SEPARATOR
    tokens[closing] = _SEPARATOR
    return starts, tokens, closing
