"""Benign values that any site may see: what a model should not alarm on before it has met the site.

Everything is generated, or taken from the documentation that Python carries: technical prose, shop searches and
reviews full of words that merely look suspicious, names and addresses, and the plumbing of the web (client headers, cookies,
tokens, asset paths, analytics, error reports). No values of any data set are in here.
"""

import ast
import base64
import json
import random
import re
import string
import sysconfig
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

Chance = random.Random

_DOCUMENTED_MODULES: Final = (
    "argparse subprocess shutil tarfile zipfile logging/__init__ logging/config unittest/mock http/server "
    "http/cookiejar urllib/request urllib/parse xml/sax/saxutils xml/etree/ElementTree sqlite3/dump smtplib imaplib "
    "ftplib csv configparser optparse pathlib os posixpath glob fnmatch shlex cmd code pdb inspect tempfile threading "
    "queue sched asyncio/base_events asyncio/subprocess email/message json/decoder html/parser string textwrap "
    "datetime calendar random statistics decimal fractions heapq bisect collections/__init__ functools dataclasses "
    "enum typing contextlib traceback warnings pickle copy platform getpass webbrowser cgi wsgiref/handlers"
).split()


def normal_texts(count: int, seed: int) -> list[str]:
    """Benign values of all kinds, in a mix fixed by the seed.

    Args:
        count: how many; fewer come back only when duplicates cannot be avoided.
        seed: the same seed gives the same texts on the same Python release.
    """
    chance = Chance(seed)
    prose = _documentation()
    found: dict[str, None] = {}
    for _ in range(4 * count):
        if len(found) >= count:
            break
        kind = chance.choices(_KINDS, _SHARES)[0]
        found.setdefault(kind(chance, prose), None)
    return list(found)


@lru_cache(maxsize=1)
def _documentation() -> tuple[str, ...]:
    """Sentences of the language reference and of the docstrings of the standard library."""
    from pydoc_data import topics

    texts = list(topics.topics.values())
    folder = Path(sysconfig.get_paths()["stdlib"])
    for name in _DOCUMENTED_MODULES:
        source = folder / f"{name}.py"
        if source.is_file():
            texts += _docstrings(source)
    sentences = (
        " ".join(sentence.split())
        for text in texts
        for paragraph in re.split(r"\n\s*\n", text)
        for sentence in re.split(r"(?<=[.:;?!])\s+", paragraph)
    )
    return tuple(dict.fromkeys(sentence for sentence in sentences if 12 <= len(sentence) <= 400))


def _docstrings(source: Path) -> Iterator[str]:
    tree = ast.parse(source.read_text(encoding="utf-8", errors="replace"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


_WORDS: Final = (
    "time people way water day part place week case point hand problem company system group number night home room "
    "mother area money story fact month lot right study book eye job word business issue side kind head house service "
    "friend father power hour game line end member law car city community name president team minute idea kid body "
    "information back parent face others level office door health person art war history party result change morning "
    "reason research girl guy moment air teacher force education foot boy age policy process music market sense nation "
    "plan college interest death experience effect use class control field development role effort rate heart drug show "
    "leader light voice wife whole police mind finally pull return free military price report less according decision "
    "explain son hope even develop view relationship carry town road arm true federal break better difference thank "
    "receive value international building action full model join season society because tax director early position "
    "player agree especially record pick wear paper special space ground form support event official whose matter "
    "everyone center couple site project activity star table need court american oil half situation easy cost industry "
    "figure street image itself phone either data cover quite picture clear practice piece land recent describe product "
    "doctor wall patient worker news test movie certain north love personal open simply third technology catch step "
    "baby computer type attention draw film tree source red nearly organization choose cause hair look century evidence "
    "window difficult listen soon culture billion chance brother energy period course summer realize hundred available "
    "plant likely opportunity term short letter condition choice single rule daughter administration south husband "
    "floor campaign material population call economy medical hospital church close thousand risk current fire future "
    "wrong involve defense anyone increase security bank myself certainly west sport board seek per subject officer "
    "private rest behavior deal performance fight throw top quickly past goal second bed order author fill represent "
    "focus foreign drop blood upon agency push nature color store reduce sound note fine near movement page enter share "
    "common poor natural race concern series significant similar hot language usually response dead rise animal factor "
    "decade article shoot east save seven artist scene stock career despite central eight thus treatment beyond happy "
    "exactly protect approach lie size dog fund serious occur media ready sign thought list individual simple quality "
    "pressure accept answer resource identify left meeting determine prepare disease whatever success cup argue "
    "particularly amount ability staff recognize indicate character growth loss degree wonder attack herself region "
    "television box training pretty trade election everybody physical lay general feeling standard bill message fail"
).split()

_TECHNICAL: Final = (
    "kernel driver desktop package repository terminal partition installer boot loader display manager screen keyboard "
    "laptop wireless network adapter router firewall proxy printer scanner audio video codec player browser plugin "
    "extension theme font icon panel workspace launcher session login password user group permission folder directory "
    "file system disk drive mount volume cache memory swap processor thread process service daemon socket port server "
    "client cluster container image volume backup archive mirror database table index query column row view trigger "
    "procedure schema cursor transaction commit script shell alias variable environment path library module class "
    "function method argument parameter string integer list dictionary loop condition exception stack trace log level "
    "debug build compile link header source patch branch merge release version update upgrade downgrade dependency"
).split()

_PROGRAMS: Final = (
    "ubuntu debian fedora gnome kde unity compiz nautilus grub systemd upstart apt aptitude dpkg snap flatpak docker "
    "python bash zsh vim emacs nano gedit firefox chrome thunderbird libreoffice vlc mplayer skype steam wine "
    "virtualbox vmware nvidia pulseaudio alsa cups samba nfs ssh rsync apache nginx mysql postgres sqlite redis git "
    "eclipse gimp inkscape blender audacity rhythmbox transmission synaptic gparted htop cron sudo xorg wayland"
).split()

_SENTENCES: Final = (
    "how do i {verb} the {tech} in {program} {n}.{n}?",
    "i tried to {verb} {program} but the {tech} did not {verb}, any ideas?",
    "thanks, that worked for me :) the {tech} needed a {tech} first",
    "you can {verb} it from the {tech} menu or by pressing ctrl+alt+{letter}",
    "open a terminal and run `{command}`, then log out and log in again.",
    "edit {path} with {program} and change the line that says `{key}={n}` to `{key}={n}`.",
    "see [{word} {tech}]({url}) and also [this {word}]({url}).",
    "have a look at {url} - it explains {word} and {tech} (section {n}.{n}).",
    "@{name}: the {tech} is in {path}, not in {path}. did you read the {word}?",
    '@{name} yes, but only if you {verb} the {tech} before; otherwise it\'s "{word} {word}"...',
    'the script in `{path}` does not {verb}; i get "{word}: no such file or directory".',
    "when i type {command} it says: {word}: command not found",
    "possible duplicate of [how to {verb} {program} {tech}s?]({url})",
    "it's a bug, see {url}; it was fixed in {program} {n}.{n}.{n}-{n}{program}{n} (or later).",
    "1) {verb} the {tech}; 2) {verb} {path}; 3) restart. it's {word} & {word}, isn't it?",
    "my {tech} has {n} gb of ram, a {n}x{n} screen and {program} {n}.{n} <- could that be the {word}?",
    "i don't know if it'll {verb}, but you could add `{flag}` to the {command} line.",
    "for {n} and {n} bit {program}, select {word} from the list, then {verb} all {tech}s where the {word} is {word}.",
    "please {verb} the output of `{command}` and `{command}`.",
    "{word} {word}, {word} or {word} and {word} like {word}? i'd union them and order by {word}.",
    "how can i select all rows from a {tech} and insert them into another {tech} in {program}?",
    "the {tech} was dropped after the update; where can i get it from?",
    "drag the {word} from the {tech} (left) to the {tech} (right) | {word} > {word} > {word}",
    'settings -> {word} -> {tech} -> {word}; untick "{word} {word}".',
    "replace '{word}' with '{word}' ({word}-{word}), and {n}% of them are ok!",
    "so i uninstalled {program} ({word}), rebooted, and now... the {tech} is black?!",
    "if you {verb} /{word}/{word} to ~/{word}, don't forget the trailing slash (/) or the * at the end.",
    "what is the difference between `{word}` and `$({word})`? and what does 2>&1 mean?",
    'in {program}, `for i in *.{word}; do {program} "$i"; done` renames them all; works for me.',
    "use `{command} | grep {word}` or `{command} > {word}.txt` and paste it here: {url}",
    "add this line: deb http://{word}.{program}.org/{word}/ {word} main # {word} repository",
    "error: {word}_{word}() failed at {word}.c:{n} ({word}={n}): {word} {word}",
    "**edit:** {word} {word} {word}. *{word}* (see {path}{path}) -- {name}",
    "{url}/questions/{n}/{word}-{tech}-{word}/{n}#{n}",
)
"""Forum talk about computers: commands, paths and quotes inside prose."""

_COMMANDS: Final = (
    "sudo apt-get install {program}",
    "sudo apt-get update && sudo apt-get upgrade",
    "cat {path}",
    "ls -l {path}",
    "sudo {program} --{word} {path}",
    "ps aux | grep {program}",
    "dpkg -l | grep {program}",
    "chmod +x {word}.sh",
    "cd {path}",
    "sudo service {program} restart",
    "echo $path",
    "lspci -v",
    "find . -name '*.{word}'",
    "{program} -h",
    "wget {url}",
    "ping {word}.{word}.com",
    "sudo nano {path}",
    "uname -a",
    "whoami",
    "ifconfig",
    "tail -f {path}",
)

_SHOP: Final = (
    "select your {item} from our {word} collection",
    "{item} and {item} set, union jack design",
    "drop by our {word} store or order by phone",
    "drop leaf table {n}cm x {n}cm",
    "where is my order from {month}?",
    "insert coin to {verb}",
    "script for the school play ({n} roles)",
    "alert me when the {item} is back in stock!",
    "update my address; delete the old one",
    "having a party? order {n} {item}s or more and get {n}% off",
    "student union, {word} street {n}",
    "{surname}'s {item} - size {n}, colour '{word}'",
    "rock 'n' roll {item}",
    '{n}" {item} (black/white)',
    "cat food & dog treats; {n} kg",
    "how to sleep({n}h) better: tips & tricks",
    "1=1 is always true, my teacher says",
    "is {n} > {n} or {n} < {n}?",
    "i <3 this {item}!!!",
    "AT&T {item}, Q&A, R&B and D&D",
    "C++ or C# - which {item} for beginners?",
    "table for {n} at 7:{n} pm, window or terrace",
    '{name} said: "{word} {word}" -- really',
    "executive {item}, group of {n}, all from {month}",
    "create a table of contents; set the {word} to {n}",
    "it's like '{word}', but better",
    "select committee on {word} and {word}",
    "truncated text ... (more)",
    "cast iron pan, convert cm to inch",
    "{item}; {item}; {item}",
    "between {n} and {n} euro, not {word}, no {item}",
    "values: {word}, {word} and {word}",
    "grant {n} wishes; union of {word} and {word} or {word}",
    "null and void, i declare a {word}",
    "the end -- or is it?",
    "{word}/{word} or {word} (please call {phone})",
    "exec summary: {word} {word}. shutdown in {month}; waitfor {name}",
    "id: {n}; name: {name}; from: {city}",
    "image of a {word} on a {item}, iframe mount",
    "javascript: the good parts",
    "document your {word}; cookie recipes for {month}",
    "curl cream, bash brush & cat litter",
    "ping pong table; echo dot (generation {n})",
    "net curtains | {word}",
    "{item} \\ {item}",
    "(used) {item} [like new] {{n}}",
    "please give a {n}/10 for ../{word} & co.",
    "${n}.99 off your {item}!",
    "#{word} #{word} @{name}",
    "home -- {word} -- {item}",
    "{word}%20{word}",
    "100% {word}",
    "what's {name}'s {word}? i'd like {name}'s or {name}'s",
    "O'{surname} or D'{surname} and L'{surname}",
    "sql select from where book",
    "css style sheet for body & head",
    "onload {item} for trucks; onclick pen",
    "C:\\fakepath\\{word}_{word}.jpg",
    "{word} ({word}; {word}) = {n} + {n}",
)

_ITEMS: Final = (
    "lamp chair sofa mug gift card watch ring necklace jacket shirt shoe bag backpack bottle tent bike helmet phone case "
    "charger cable mouse keyboard monitor printer toner paper pen notebook puzzle doll train set board game book poster "
    "frame candle vase plant pot rug curtain pillow blanket towel brush cream soap perfume toothpaste vitamin tea coffee"
).split()
_VERBS: Final = (
    "install remove update find open close start stop select drop insert delete create set use get run execute merge "
    "load save copy move mount format restore reset enable disable configure compile build fix change print show hide"
).split()
_NAMES: Final = (
    "anna ben carla david elena felix grace hugo ines jan kim lea maria noah olga paul quinn rosa sam tina umar vera will "
    "yara zoe juan pedro lucia carmen jose antonio isabel francisco javier miguel angel dolores pilar teresa hans "
    "jürgen björn zoë andré françois łukasz øyvind"
).split()
_SURNAMES: Final = (
    "neil brien hara connor reilly sullivan garcia martinez lopez sanchez perez gomez ruiz fernandez diaz moreno alvarez "
    "romero navarro torres ramirez serrano smith jones taylor brown miller schmidt weber fischer müller rossi bianchi "
    "dupont moreau kowalski nowak larsen nielsen virtanen angelo arcy amico"
).split()
_CITIES: Final = (
    "berlin paris madrid toledo sevilla valencia bilbao alicante cordoba burgos lisbon porto rome milan vienna prague oslo "
    "seoul tokyo osaka beijing haifa london leeds york dublin boston austin denver lima quito bogota"
).split()
_MONTHS: Final = "january february march april may june july august september october november december".split()
_STREETS: Final = (
    "c/ {}",
    "calle {}",
    "avda. {}",
    "av {}",
    "plaza {}",
    "pza de {}",
    "rue de {}",
    "{}str.",
    "{} street",
    "via {}",
)
_DOMAINS: Final = "com net org de es fr it co.uk io dev info biz shop sh cat mobi nl se jp kr co.il cn ru pl".split()
_EXTENSIONS: Final = "js css png jpg svg woff2 json html php aspx pdf webp gif ico mp4 map xml txt min.js".split()
_FOREIGN: Final = (
    "שלום עולם חנות בית ספר מתנה לילדים מבצע חורף",
    "你好世界 我要买一个礼物 请问 价格 多少 中国 历史",
    "안녕하세요 세계 오늘 날씨 서울 맛집 추천 영화 예매",
    "größe straße über natürlich schön äpfel fußgänger übergröße",
    "niño corazón mañana español año cómo está señor",
    "привет мир магазин подарок купить недорого москва",
    "こんにちは 世界 東京 ホテル 予約 ありがとう",
    "ça va être l'été où à côté de chez l'hôtel d'époque",
    "مرحبا بالعالم سوق هدايا للأطفال",
)


def _fill(template: str, chance: Chance) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: _SLOTS[m[1]](chance), template)


def _token(chance: Chance, alphabet: str = string.ascii_letters + string.digits, least: int = 6, most: int = 40) -> str:
    return "".join(chance.choices(alphabet, k=chance.randint(least, most)))


def _word(chance: Chance) -> str:
    return chance.choice(_WORDS)


def _path(chance: Chance) -> str:
    top = chance.choice("etc usr var home opt tmp boot dev proc media mnt lib".split())
    inner = chance.choices(
        [*_PROGRAMS, *_TECHNICAL, "bin", "share", "local", "init.d", "default", "log", "conf.d"], k=2
    )
    end = chance.choice(["", "/", f".{chance.choice('conf list log txt sh py desktop d so'.split())}"])
    return f"/{top}/" + "/".join(inner[: chance.randint(1, 2)]) + end


def _host(chance: Chance) -> str:
    first = chance.choice(["www.", "", "api.", "cdn.", "img.", "m.", "help."])
    return first + chance.choice([_word, lambda c: c.choice(_PROGRAMS)])(chance) + "." + chance.choice(_DOMAINS)


def _url(chance: Chance) -> str:
    path = "/".join(chance.choices([*_WORDS, *_TECHNICAL], k=chance.randint(0, 4)))
    script = f"/{chance.choice(['show', 'view', 'index', ''])}{_word(chance)}.{chance.choice(['php', 'asp', 'cgi', 'html', 'htm', 'jsp'])}"
    number = chance.randint(1, 10**7)
    end = chance.choice(
        [
            "",
            "",
            "/",
            f"/{number}",
            f"?{_word(chance)}={_word(chance)}&p={number}",
            f"{script}?{chance.choice('tpfaq')}={number}&{_word(chance)}={number}",
            f"{script}?id={number}",
            script,
            f"/+{_word(chance)}/{chance.choice(_PROGRAMS)}/+{_word(chance)}/{number}",
            f"/how-to-{_word(chance)}-{_word(chance)}-{_word(chance)}-in-{chance.choice(_PROGRAMS)}",
        ]
    )
    anchor = chance.choice(["", "", "", f"#{_word(chance)}", f"#{chance.randint(1, 10**6)}"])
    return f"{chance.choice(['http', 'https', 'https'])}://{_host(chance)}/{path}{end}{anchor}"


def _number(chance: Chance) -> str:
    return str(chance.choice([chance.randint(1, 12), chance.randint(1, 99), chance.randint(100, 99_999)]))


_SLOTS: Final[dict[str, Callable[[Chance], str]]] = {
    "word": _word,
    "tech": lambda c: c.choice(_TECHNICAL),
    "program": lambda c: c.choice(_PROGRAMS),
    "verb": lambda c: c.choice(_VERBS),
    "item": lambda c: c.choice(_ITEMS),
    "name": lambda c: c.choice(_NAMES),
    "surname": lambda c: c.choice(_SURNAMES),
    "city": lambda c: c.choice(_CITIES),
    "month": lambda c: c.choice(_MONTHS),
    "letter": lambda c: c.choice("tfcdx"),
    "n": _number,
    "key": lambda c: f"{_word(c)}_{c.choice(_TECHNICAL)}",
    "flag": lambda c: f"--{_word(c)}={_word(c)}",
    "path": _path,
    "url": _url,
    "phone": lambda c: f"+{c.randint(1, 99)} {c.randint(100, 999)} {c.randint(1000, 9999999)}",
    "host": lambda c: _host(c),
    "command": lambda c: _fill(c.choice(_COMMANDS), c),
}


def _documented(chance: Chance, prose: tuple[str, ...]) -> str:
    start = chance.randrange(len(prose))
    return " ".join(prose[start : start + chance.choice([1, 1, 2, 3, 4])])


def _forum(chance: Chance, prose: tuple[str, ...]) -> str:
    pieces = [_fill(chance.choice(_SENTENCES), chance) for _ in range(chance.choice([1, 1, 2, 3, 4]))]
    if chance.random() < 0.3:
        pieces.insert(chance.randrange(len(pieces) + 1), chance.choice(prose))
    return " ".join(pieces)


def _shop(chance: Chance, prose: tuple[str, ...]) -> str:
    text = _fill(chance.choice(_SHOP), chance)
    if chance.random() < 0.2:
        text += chance.choice([". ", ", ", " - ", " & ", " "]) + _fill(chance.choice(_SHOP), chance)
    return text.title() if chance.random() < 0.1 else text


def _plain(chance: Chance, prose: tuple[str, ...]) -> str:
    words = chance.choices([*_WORDS, *_TECHNICAL, *_ITEMS, *_NAMES, *_VERBS], k=chance.choice([1, 1, 2, 3, 4, 8]))
    return chance.choice([" ", " ", "-", "_", ", ", "/"]).join(words)


def _foreign(chance: Chance, prose: tuple[str, ...]) -> str:
    words = chance.choice(_FOREIGN).split()
    text = " ".join(chance.choices(words, k=chance.randint(1, 6)))
    return chance.choice(
        [text, f"{text} {_number(chance)}", f'"{text}" ({_word(chance)})', f"{_word(chance)}: {text}!"]
    )


def _person(chance: Chance, prose: tuple[str, ...]) -> str:
    name, surname, other = chance.choice(_NAMES), chance.choice(_SURNAMES), chance.choice(_SURNAMES)
    number = _number(chance)
    return chance.choice(
        [
            f"{name} {surname}",
            f"{surname} {other}, {name}",
            f"{name} o'{surname}",
            f"{name} d'{surname}-{other}",
            f"{name[0]}. {surname} & {other}",
            f"{name}.{surname}@{_word(chance)}{_word(chance)}.{chance.choice(_DOMAINS)}",
            f"{surname}_{other}@{_word(chance)}{chance.choice(_CITIES)}{_word(chance)}{_word(chance)}.{chance.choice(_DOMAINS)}",
            f"{chance.choice(_STREETS).format(surname)} {number}, {chance.randint(1, 9)}?{chance.choice('abcd')}",
            f"{chance.choice(_STREETS).format(other)}, {number} s/n {chance.choice(_CITIES)}",
            f"{chance.choice(_CITIES)}, {chance.choice(['el', 'la', 'los', 'las'])}",
            f"{chance.randint(10**7, 10**8 - 1)}{chance.choice(string.ascii_uppercase)}",
            _fill("{phone}", chance),
            f"{chance.randint(1, 28):02}/{chance.randint(1, 12):02}/{chance.randint(1950, 2030)}",
            f"{_token(chance, string.ascii_lowercase + string.digits, 3, 14)}",
            f"{name}{number}!",
            f"{chance.randint(1, 999)},{chance.randint(0, 99):02} €",
        ]
    )


def _agent(chance: Chance) -> str:
    system = chance.choice(
        [
            "Windows NT 10.0; Win64; x64",
            "Windows NT 6.1; WOW64",
            "Macintosh; Intel Mac OS X 10_15_7",
            "X11; Linux x86_64",
            "X11; Ubuntu; Linux x86_64",
            "X11; CrOS x86_64 14541.0.0",
            f"Linux; Android {chance.randint(8, 15)}; SM-G99{chance.randint(0, 9)}B",
            f"Linux; U; Android {chance.randint(8, 15)}; en-us; Pixel {chance.randint(2, 9)} Build/TQ3A.{chance.randint(100000, 299999)}.001",
            "iPhone; CPU iPhone OS 16_5 like Mac OS X",
            "iPad; CPU OS 15_6 like Mac OS X",
            "compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0; .NET CLR 3.5.30729",
        ]
    )
    a, b = chance.randint(60, 140), chance.randint(0, 9999)
    webkit = "AppleWebKit/537.36 (KHTML, like Gecko)"
    return chance.choice(
        [
            f"Mozilla/5.0 ({system}; rv:{a}.0) Gecko/20100101 Firefox/{a}.0",
            f"Mozilla/5.0 ({system}; rv:{a}.0) Gecko/{a}.0 Firefox/{a}.0",
            f"Mozilla/5.0 ({system}) {webkit} Chrome/{a}.0.{b}.{chance.randint(0, 200)} Safari/537.36",
            f"Mozilla/5.0 ({system}) {webkit} Chrome/{a}.0.0.0 Mobile Safari/537.36 Edg/{a}.0.{b}.{chance.randint(0, 99)}",
            f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.{chance.randint(0, 6)} Safari/605.1.15",
            f"Mozilla/5.0 ({system}) {webkit} Chrome/{a}.0.0.0 Safari/537.36 OPR/{chance.randint(50, 99)}.0.{b}.16",
            f"Mozilla/5.0 (compatible; {chance.choice(['Googlebot', 'bingbot', 'YandexBot', 'AhrefsBot'])}/2.1; +http://{_host(chance)}/bot.html)",
            f"Mozilla/4.0 ({system})",
            f"curl/{chance.randint(7, 8)}.{chance.randint(0, 88)}.0",
            f"python-requests/2.{chance.randint(20, 32)}.0",
            f"okhttp/4.{chance.randint(0, 12)}.0",
            f"Wget/1.{chance.randint(17, 24)} (linux-gnu)",
            f"Dalvik/2.1.0 (Linux; U; Android {chance.randint(8, 15)}; SM-A5{chance.randint(10, 99)}F)",
            f"{_word(chance).title()}App/{chance.randint(1, 9)}.{chance.randint(0, 99)} (iOS; 16.{chance.randint(0, 9)}; iPhone14,{chance.randint(1, 9)}) Alamofire/5.4",
            f"Apache-HttpClient/4.5.{chance.randint(1, 14)} (Java/{chance.randint(8, 21)}.0.{chance.randint(1, 9)})",
            f"PostmanRuntime/7.{chance.randint(20, 40)}.0",
        ]
    )


def _header(chance: Chance, prose: tuple[str, ...]) -> str:
    version = chance.randint(80, 140)
    odd = "".join(chance.choice(" ;:/()?-_=.") for _ in range(1))
    languages = chance.choice(["en-US", "en-GB", "de", "fr-FR", "es-ES", "ko-KR", "zh-CN", "he-IL", "pt-BR", "ja", "*"])
    return chance.choice(
        [
            _agent(chance),
            _agent(chance),
            f'"Chromium";v="{version}", "{odd}Not{odd}A{chance.choice(";=_)")}Brand";v="{chance.choice([8, 24, 99])}", "Google Chrome";v="{version}"',
            f'"Not/A)Brand";v="{chance.choice([8, 24, 99])}.0.0.0", "Microsoft Edge";v="{version}.0.{chance.randint(0, 9999)}.{chance.randint(0, 99)}", "Chromium";v="{version}"',
            f"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.{chance.randint(5, 9)}",
            "application/json, text/plain, */*",
            "text/javascript, application/javascript, application/ecmascript, application/x-ecmascript, */*; q=0.01",
            "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "*/*",
            f"{languages},{languages[:2]};q=0.9,en;q=0.{chance.randint(1, 8)}",
            "gzip, deflate, br",
            "gzip, deflate, br, zstd",
            f"multipart/form-data; boundary=----WebKitFormBoundary{_token(chance, least=16, most=16)}",
            "application/x-www-form-urlencoded; charset=UTF-8",
            f"Bearer {_token(chance, least=20, most=60)}",
            f"Basic {base64.b64encode(f'{chance.choice(_NAMES)}:{_token(chance)}'.encode()).decode()}",
            f"max-age={chance.randint(0, 3600)}, no-cache",
            f"bytes={chance.randint(0, 999)}-{chance.randint(1000, 99999)}",
            "XMLHttpRequest",
            "same-origin",
            "no-cors",
            "navigate",
            "?1",
            '"Windows"',
            f'W/"{_token(chance, "0123456789abcdef")}"',
            f"{chance.randint(1, 255)}.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}, 10.0.{chance.randint(0, 255)}.{chance.randint(1, 254)}",
            f"for={chance.randint(1, 255)}.0.2.{chance.randint(1, 255)};proto=https;by=203.0.113.{chance.randint(1, 255)}",
            f"00-{_token(chance, '0123456789abcdef', 32, 32)}-{_token(chance, '0123456789abcdef', 16, 16)}-01",
            f"1.1 {_host(chance)} (squid/{chance.randint(3, 6)}.{chance.randint(0, 9)})",
            _url(chance),
        ]
    )


def _jwt(chance: Chance) -> str:
    pieces = [
        json.dumps({"alg": "RS256", "typ": "JWT"}),
        json.dumps({"sub": _token(chance), "iat": chance.randint(10**9, 2 * 10**9), "name": chance.choice(_NAMES)}),
    ]
    encoded = [base64.urlsafe_b64encode(piece.encode()).decode().rstrip("=") for piece in pieces]
    return ".".join([*encoded, _token(chance, string.ascii_letters + string.digits + "-_", 40, 90)])


def _state(chance: Chance) -> dict[str, object]:
    keys = [
        "id",
        "ts",
        "utm_source",
        "page",
        "lang",
        "cart",
        "ab",
        "ref",
        "consent",
        "v",
        "session",
        "items",
        "path",
        "user",
    ]
    values: list[Callable[[], object]] = [
        lambda: chance.randint(0, 10**10),
        lambda: _word(chance),
        lambda: _token(chance),
        lambda: chance.choice([True, False, None]),
        lambda: [_word(chance), chance.randint(0, 99)],
        lambda: _url(chance),
        lambda: {_word(chance): _number(chance)},
        lambda: _fill(chance.choice(_SHOP), chance),
    ]
    return {chance.choice([*keys, _word(chance)]): chance.choice(values)() for _ in range(chance.randint(1, 6))}


def _serialized(chance: Chance) -> str:
    """PHP's serialized arrays, as its session and statistics cookies carry them."""
    fields = []
    for _ in range(chance.randint(1, 4)):
        key, word = _word(chance), _word(chance)
        value = chance.choice(
            [
                f"i:{_number(chance)}",
                f"b:{chance.randint(0, 1)}",
                f's:{len(word)}:"{word}"',
                "a:0:{}",
                "N",
                f"d:{chance.random():.3f}",
            ]
        )
        fields.append(f's:{len(key)}:"{key}";{value};')
    return f"a:{len(fields)}:{{{''.join(fields)}}}"


def _opaque(chance: Chance, prose: tuple[str, ...]) -> str:
    hexadecimal = "0123456789abcdef"
    stamp = chance.randint(13 * 10**8, 20 * 10**8)
    return chance.choice(
        [
            lambda: _token(chance),
            lambda: _token(chance, hexadecimal, 16, 64),
            lambda: "-".join(_token(chance, hexadecimal, size, size) for size in (8, 4, 4, 4, 12)),
            lambda: "{" + "-".join(_token(chance, hexadecimal.upper(), size, size) for size in (8, 4, 4, 4, 12)) + "}",
            lambda: _token(chance, string.ascii_letters + string.digits + "+/", 22, 120) + "==",
            lambda: _token(chance, string.ascii_letters + string.digits + "-_", 22, 200),
            lambda: f"GA1.{chance.randint(1, 3)}.{chance.randint(10**8, 10**10)}.{stamp}",
            lambda: f"fb.{chance.randint(1, 2)}.{stamp}{chance.randint(100, 999)}.{chance.randint(10**8, 10**10)}",
            lambda: f"s%3A{_token(chance)}.{_token(chance, string.ascii_letters + string.digits + '+/', 30, 50)}",
            lambda: "|".join(_token(chance, string.digits + hexadecimal, 0, 9) for _ in range(chance.randint(2, 9))),
            lambda: ";".join(
                chance.choice(["", "", _word(chance), _number(chance)]) for _ in range(chance.randint(4, 30))
            ),
            lambda: "~".join(f"{_word(chance)}*{_number(chance)}" for _ in range(chance.randint(1, 5))),
            lambda: "&".join(f"{_word(chance)}={_token(chance, most=12)}" for _ in range(chance.randint(1, 6))),
            lambda: ",".join(_number(chance) for _ in range(chance.randint(2, 20))),
            lambda: f"{chance.uniform(-90, 90):.6f},{chance.uniform(-180, 180):.6f}",
            lambda: f"{stamp}.{chance.randint(0, 999)}",
            lambda: (
                f"{chance.randint(2000, 2030)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:00.{chance.randint(0, 999):03}Z"
            ),
            lambda: f"#{_token(chance, hexadecimal, 6, 6)}",
            lambda: f"{chance.randint(300, 3840)}x{chance.randint(300, 2160)}x24",
            lambda: (
                f"v{chance.randint(0, 20)}.{chance.randint(0, 99)}.{chance.randint(0, 99)}-beta.{chance.randint(0, 9)}"
            ),
            lambda: _jwt(chance),
            lambda: (
                f"isGpcEnabled=0&datestamp=Tue Aug {chance.randint(1, 30)} 2026 10:00:00 GMT+0300 (Central Time)&version=6.{chance.randint(0, 40)}.0&hosts=&groups=C0001:1,C0002:{chance.randint(0, 1)}"
            ),
            lambda: f"{_word(chance)}.{_word(chance)}.{_word(chance)}({_word(chance)})",
            lambda: "|".join(
                _token(chance, string.ascii_letters, 0, 4) if chance.random() < 0.5 else ""
                for _ in range(chance.randint(2, 6))
            ),
            lambda: f"{_token(chance, '0123', 1, 2)}|{_token(chance, '0123', 0, 1)}|",
            lambda: _serialized(chance),
            lambda: chance.choice(
                [
                    "javascript:void(0)",
                    "javascript:void(0);",
                    "javascript:;",
                    "about:blank",
                    "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
                ]
            ),
            lambda: f"anchor element selector: .{_word(chance)} > a",
            lambda: f"[{','.join(_number(chance) for _ in range(chance.randint(1, 8)))}]",
        ]
    )()


def _structured(chance: Chance, prose: tuple[str, ...]) -> str:
    state = json.dumps(_state(chance), ensure_ascii=False, separators=chance.choice([(",", ":"), (", ", ": ")]))
    column = chance.randint(1, 99_999)
    return chance.choice(
        [
            lambda: state,
            lambda: quote(state, safe=""),
            lambda: quote(quote(state, safe=""), safe=""),
            lambda: base64.b64encode(state.encode()).decode(),
            lambda: f"[{state},{json.dumps(_state(chance))}]",
            lambda: json.dumps({"events": [_state(chance)], "meta": state}),
            lambda: (
                f"query {_word(chance).title()}($id: ID!, $first: Int = {chance.randint(1, 50)}) {{ {_word(chance)}(id: $id) {{ id {_word(chance)} {_word(chance)}(first: $first) {{ edges {{ node {{ id name }} }} }} __typename }} }}"
            ),
            lambda: (
                f'mutation {{ update{_word(chance).title()}(input: {{id: "{_number(chance)}", {_word(chance)}: {chance.choice(["true", "null"])}}}) {{ ok }} }}'
            ),
            lambda: (
                f"TypeError: Cannot read properties of undefined (reading '{_word(chance)}')\n    at {_word(chance)} ({_url(chance)}.js:1:{column})\n    at Object.<anonymous> ({_url(chance)}.js:{chance.randint(1, 999)}:{chance.randint(1, 99)})"
            ),
            lambda: (
                f"Uncaught ReferenceError: {_word(chance)} is not defined at {_url(chance)}:{chance.randint(1, 999)}:{chance.randint(1, 99)}"
            ),
            lambda: (
                f"Script error. window.{_word(chance)}.{_word(chance)} is not a function (evaluating '{_word(chance)}.{_word(chance)}()')"
            ),
            lambda: (
                f"div.{_word(chance)} > ul#{_word(chance)} li:nth-child({chance.randint(1, 20)}) a[href^='{_url(chance)}']"
            ),
            lambda: f"#{_word(chance)}-{_word(chance)} .{_word(chance)}:not(.{_word(chance)})",
            lambda: f"{_word(chance)} eq '{_word(chance)}' and {_word(chance)} gt {_number(chance)}",
            lambda: f"{_word(chance)}:asc,{_word(chance)}:desc",
            lambda: f"{_word(chance)},-{_word(chance)},{_word(chance)}.{_word(chance)}",
            lambda: (
                f'({_word(chance)}:{_word(chance)} OR {_word(chance)}:"{_word(chance)} {_word(chance)}") AND NOT {_word(chance)}:[{_number(chance)} TO {_number(chance)}]'
            ),
            lambda: (
                f"eVar{chance.randint(1, 99)}={_word(chance)}|event{chance.randint(1, 99)}={_number(chance)};;;;{_word(chance)}"
            ),
            lambda: f"//{_host(chance)}/{_word(chance)}.js",
            lambda: f"android-app://{_host(chance)}/{_word(chance)}",
            lambda: f"<p>{_fill(chance.choice(_SHOP), chance)}</p>",
            lambda: f"{_word(chance)}<br>{_word(chance)}",
            lambda: f"* {_word(chance)}\n* {_word(chance)}\n\n> {_fill(chance.choice(_SENTENCES), chance)}",
            lambda: f"function({_word(chance)}) in {_word(chance)}.py, line {_number(chance)}",
        ]
    )()


_JAVASCRIPT: Final = (
    "var {word} = document.createElement('script'); {word}.type = 'text/javascript'; {word}.async = true;",
    "{word}.src = ('https:' == document.location.protocol ? 'https://' : 'http://') + '{host}/{word}.js';",
    "var s = document.getElementsByTagName('script')[0]; s.parentNode.insertBefore({word}, s);",
    "(function(i,s,o,g,r,a,m){{i['{word}']=r;i[r]=i[r]||function(){{(i[r].q=i[r].q||[]).push(arguments)}},i[r].l=1*new Date();",
    "window.dataLayer = window.dataLayer || []; function gtag(){{dataLayer.push(arguments);}} gtag('js', new Date());",
    "!function(f,b,e,v,n,t,s){{if(f.fbq)return;n=f.fbq=function(){{n.callMethod?n.callMethod.apply(n,arguments):n.queue.push(arguments)}};",
    "a._{letter}=a._{letter}||{{}};a._t[b]=+new Date;a._o=a._o||{{}};a._o[b]=c||{{}};c=document.createElement('script');",
    "function {word}({letter},b){{return {letter}.{word}===b?{letter}.{word}.{word}:null}}",
    "if (typeof {word} !== 'undefined' && {word}.{word}) {{ {word}.{word}({{ {word}: '{word}', id: {n} }}); }}",
    "$('#{word}-{word}').on('click', function(e) {{ e.preventDefault(); $(this).toggleClass('{word}'); }});",
    "$.ajax({{ url: '/{word}/{word}', type: 'POST', data: {{ id: {n} }}, success: function(data) {{ {word}(data); }} }});",
    "document.addEventListener('DOMContentLoaded', function() {{ var {word} = document.querySelector('.{word}'); }});",
    "window.{word} = window.{word} || {{}}; {word}.{word} = '{word}';",
    "try {{ {word}.push(['{word}', '{word}']); }} catch(e) {{ console.log(e); }}",
    "const {{ {word}, {word} }} = require('{word}'); export default class {tech} extends {word} {{}}",
    "for (var i = 0; i < {word}.length; i++) {{ {word}[i] = {word}[i] || {n}; }}",
    "return e.{letter}(0),t.{letter}=function(){{return {letter}(n[{n}])}},t.{word}=void 0;var r=n({n}),o=n({n});",
    '{word}:{{{word}:[],{word}Index:{n},{word}:"{word}",is{word}:!0}},{word}:{{{word}:null,{word}:!1}}',
    'var {word} = {{"@context":"https://schema.org","@type":"{word}","name":"{word} {word}"}};',
    "setTimeout(function() {{ {word}.style.display = 'none'; }}, {n});",
)
_MARKUP: Final = (
    '<div class="{word} {word}-{n}" id="{word}"><span>{word} {word}</span></div>',
    '<a href="{url}" title="{word}" target="_blank" rel="noopener">{word}</a>',
    '<li class="{word}"><a href="/{word}/{word}">{word} {word}</a></li>',
    '<link rel="stylesheet" href="{url}.css" type="text/css" media="all" />',
    '<meta name="{word}" content="{word} {word}, {word}"><meta property="og:{word}" content="{url}" />',
    '<img src="{url}.png" alt="{word} {word}" width="{n}" height="{n}" />',
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{word} {word}</title>',
    "<style>.{word} {{ color: #fff; background: url({url}.png) no-repeat; margin: 0 auto; }} @media (max-width: {n}px) {{ .{word} {{ display: none; }} }}</style>",
    '<form action="/{word}" method="post"><input type="hidden" name="{word}" value="{n}" /><input type="text" placeholder="{word}"></form>',
    "<!-- {word} {word} --><p>{word} {word} <b>{word}</b> <br/>{word}</p>",
    '<table class="{word}"><tr><td>{word}</td><td align="right">{n}</td></tr></table>',
    '<option value="{n}" selected="selected">{word}</option>',
    '<script type="text/javascript" src="{url}.js"></script>',
    '<noscript><img height="1" width="1" style="display:none" src="{url}"/></noscript>',
)


def _page(chance: Chance, prose: tuple[str, ...]) -> str:
    """A page or a script as sites send them to their own services: long, and full of code that is nobody's attack."""
    script = [
        _fill(chance.choice(_JAVASCRIPT).replace("{{", "\0").replace("}}", "\1"), chance)
        for _ in range(chance.randint(2, 8))
    ]
    code = chance.choice([" ", "\n", ""]).join(script).replace("\0", "{").replace("\1", "}")
    if chance.random() < 0.3:
        return code
    markup = [
        _fill(chance.choice(_MARKUP).replace("{{", "\0").replace("}}", "\1"), chance)
        for _ in range(chance.randint(6, 20))
    ]
    page = "\n".join(markup).replace("\0", "{").replace("\1", "}")
    return page + chance.choice([f"<script>{code}</script>", f'<script type="text/javascript">\n{code}\n</script>', ""])


def _resource(chance: Chance, prose: tuple[str, ...]) -> str:
    middle = "/".join(
        chance.choices(
            [
                *_WORDS,
                *_TECHNICAL,
                "assets",
                "static",
                "dist",
                "api",
                "v1",
                "v2",
                "wp-content",
                "themes",
                "plugins",
                "images",
                "media",
                "scripts",
                "css",
                "fonts",
                "_next",
                "chunks",
                "lib",
                "vendor",
                "node_modules",
                "shop",
                "product",
                "category",
                "search",
                "users",
                "login",
                "admin",
                "account",
                "echo",
                "bin",
                "include",
                "etc",
            ],
            k=chance.randint(1, 6),
        )
    )
    end = chance.choice(
        [
            "",
            "/",
            f"/{_word(chance)}.{chance.choice(_EXTENSIONS)}",
            f"/{_word(chance)}-{_token(chance, '0123456789abcdef', 8, 20)}.{chance.choice(_EXTENSIONS)}",
            f"/{_word(chance)}.{_token(chance, '0123456789abcdef', 8, 20)}.chunk.{chance.choice(_EXTENSIONS)}",
            f"/{chance.randint(1, 10**7)}",
            f"/{quote(chance.choice(_FOREIGN).split()[0])}",
            f"/@{chance.choice(_NAMES)}",
            f"/{_word(chance)};jsessionid={_token(chance, string.hexdigits, 32, 32)}",
            f"/{_word(chance)}({_number(chance)})",
            f"/{_word(chance)}%20{_word(chance)}.pdf",
            f"/{_word(chance)},{_number(chance)},{_word(chance)}.html",
            f"/$metadata/{_word(chance)}('{_word(chance)}')",
            f"/~{chance.choice(_NAMES)}/{_word(chance)}",
            f"/{_word(chance)}@{chance.randint(1, 9)}.{chance.randint(0, 9)}.{chance.randint(0, 9)}/{_word(chance)}.js",
            f"/{_word(chance)}:{_word(chance)}",
            f"/{_token(chance, '0123456789abcdef', 8, 12)}/{_url(chance)}",
            f"/http://{chance.randint(11, 99)}.{chance.randint(1, 255)}.{chance.randint(1, 255)}.{chance.randint(1, 255)}/",
            "/wp-admin/admin-ajax.php",
            f"/{_word(chance)}/{_word(chance)}.php",
            f"/index.php/{_word(chance)}/{_number(chance)}",
        ]
    )
    return chance.choice(["/", "/", "/", "//", ""]) + middle + end


def _address(chance: Chance, prose: tuple[str, ...]) -> str:
    url = _url(chance)
    inner = quote(_url(chance), safe="")
    return chance.choice(
        [
            url,
            quote(url, safe=""),
            f"{url}?url={inner}&{_word(chance)}={_number(chance)}",
            f"{_resource(chance, prose)}?{_word(chance)}={_word(chance)}&{_word(chance)}[]={_number(chance)}",
            f"{_resource(chance, prose)}?q={quote(_fill(chance.choice(_SHOP), chance), safe='')}",
            f"mailto:{chance.choice(_NAMES)}@{_host(chance)}",
            _host(chance),
        ]
    )


_KINDS: Final = (
    _documented,
    _forum,
    _shop,
    _plain,
    _foreign,
    _person,
    _header,
    _opaque,
    _structured,
    _resource,
    _address,
    _page,
)
_SHARES: Final = (20, 22, 10, 6, 3, 8, 6, 9, 8, 5, 6, 2)
