"""The words of the lab's sites, per language, and the values visitors type into fields of a given kind."""

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from typing import Final
from urllib.parse import quote

from secmlops.web_attacks.lab.grammar import Grammar, Rule, rules

_ONSETS: Final = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "cl",
    "dr",
    "fl",
    "gr",
    "kl",
    "pr",
    "sl",
    "st",
    "tr",
    "sh",
    "ch",
]
_NUCLEI: Final = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "ou"]
_WORD: Final = re.compile("[a-z0-9]+")
_BUILDS: Final = ("3f2a91c0", "77be04d1", "c19ad52e", "0be41f6a", "9d33a7f8")
_CODAS: Final = ["", "", "", "n", "r", "s", "l", "x", "t", "m"]


def made_up_word(rng: Random) -> str:
    """A pronounceable word of two or three syllables, used for hosts, accounts and identifiers."""
    syllables = 2 + (rng.random() < 0.4)
    return "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(syllables)) + rng.choice(_CODAS)


_NETWORK: Final = rules(
    r"""
tld:
    com com com net org io co info de es eu co.uk dev site app me
domain:
    «label».«tld» «label».«tld» www.«label».«tld» «label»-«label».«tld» «sub».«label».«tld»
sub:
    cdn api img static mail shop docs blog m s«int:1-9» files data
octet:
    «int:1-254»
ip:
    «int:11-220».«octet».«octet».«octet»
private_ip:
    192.168.«int:0-9».«octet» 10.«int:0-99».«octet».«octet» 172.«int:16-31».«octet».«octet»
ident:
    id name user value data item code title price email status type login account order_id created_at «label»
    «label»_id «label»«int:1-9»
table:
    users orders products customers accounts items sessions members invoices logs payments employees articles
    «label»s tbl_«label» «label»_«label»
"""
)
NETWORK: Final[Mapping[str, Rule]] = {"label": made_up_word, **_NETWORK}

_EN: Final[Mapping[str, Rule]] = rules(
    r"""
first:
    Anna Ben Clara David Emma Frank Grace Henry Isla Jack Kate Liam Mia Noah Olivia Peter Rosa Sam Tom Zoe
last:
    Smith Jones Walker Clark Baker Turner Hill Cooper Reed Bailey Murphy Ward Brooks Price Hughes Fox Lane
city:
    London Leeds Bristol Boston Denver Austin Dublin Perth Toronto Glasgow Portland Wellington
street
    «int:1-240» «streetname» «streetkind»
    Flat «int:1-30», «int:1-99» «streetname» «streetkind»
streetname:
    Oak High Station Mill Church Park Queen Victoria Elm River Maple King
streetkind:
    Street Road Lane Avenue Close St. Ave
opener
    Bought this as a gift and
    After two weeks of use,
    To be honest,
    My «relative» recommended it and
    For the price,
    Second order from here:
    I was not sure at first, but
    Short version:
    We needed one urgently;
    Compared to the last one,
    As a beginner
    Every weekend
    On the train
    At work
relative:
    sister father neighbour teacher boss friend daughter colleague
verdict
    it does exactly what it should
    I am very happy with it
    it arrived a day late but well packed
    the quality is better than expected
    I would buy it again
    it is not worth «int:10-90» pounds
    the description is misleading
    we use it every day
    it broke after «int:2-9» days
    delivery was quick
    the colour is a little darker than in the picture
    I could not put it down
    it fits perfectly
closer
    Thanks!
    Recommended.
    Will order again.
    Three stars.
    Would be great in «adj», too.
    Keep it up :)
    Please restock soon.
    Best wishes from «city».
    Customer service answered within «int:1-12» hours.
    «empty»
comment
    «opener» «verdict». «closer»
    «opener» «verdict», and «verdict». «closer»
    «Product»: «verdict». «closer»
question
    When will order #«int:10000-99999» arrive?
    Do you have «product» in stock in «city»?
    Can I return «product» after «int:14-60» days?
    How long does delivery to «city» take?
    I forgot my password and the e-mail never came. My account is «first».«last»@«domain».
    Is there a discount for «int:5-50» pieces of «product»?
    The invoice for «product» shows the wrong address.
headline
    «verdict»
    Great «noun»
    Good, but not perfect
    «adj» «noun»
    About «product»
    Would buy again
    Disappointed
search
    «noun»
    «adj» «noun»
    «product»
    «noun» for «relative»
    «noun» «int:1-40»
    best «noun»
    «category» «noun»
    «adj»
    cheap «noun» online
    «noun» and «noun»
month:
    January March April June July September October November
"""
)

_DE: Final[Mapping[str, Rule]] = rules(
    r"""
first:
    Anna Jürgen Lena Uwe Sabine Jonas Käthe Björn Petra Felix Miriam Tobias Ute Jörg Selin Emre
last:
    Müller Schmidt Weiß Köhler Schäfer Großmann Hübner Vogel Becker Lange Yılmaz Krüger Roth Böhm
city:
    Köln München Berlin Hamburg Düsseldorf Leipzig Würzburg Münster Kassel Wien Zürich Görlitz
street
    «streetname» «int:1-180»
    «streetname» «int:1-99»«streetkind»
streetname:
    Hauptstraße Bahnhofstr. Gartenweg Schillerplatz Mühlgasse Lindenallee Kirchweg Goethestraße
streetkind:
    a b c «space»Hinterhaus
opener
    Wir waren am Samstag dort und
    Trotz der Verspätung:
    Ehrlich gesagt
    Meine «relative» hat mich mitgenommen,
    Für den Preis
    Zum zweiten Mal dabei:
    Als Fan der ersten Stunde
    Kurz gesagt:
    Auf Reihe «int:1-40»
relative:
    Schwester Mutter Kollegin Freundin Nachbarin Tochter
verdict
    es war ein großartiger Abend
    der Ton war zu leise
    die Plätze waren hervorragend
    wir kommen wieder
    der Einlass dauerte über «int:20-90» Minuten
    die Karten kamen nie an
    die Stimmung war überwältigend
    leider wurde das Programm geändert
    das Parken kostete «int:5-25» Euro
    die Bühne war schlecht zu sehen
closer
    Danke!
    Gerne wieder.
    Sehr empfehlenswert.
    Grüße aus «city».
    Bitte um Rückruf.
    «empty»
comment
    «opener» «verdict». «closer»
    «Product»: «verdict», und «verdict». «closer»
question
    Gibt es für «product» noch Karten in «city»?
    Kann ich Bestellung «int:10000-99999» stornieren?
    Ist der Saal in «city» barrierefrei?
    Wo finde ich meine Rechnung für «product»?
    Bitte ändern Sie meine Adresse auf «street», «city».
    Wie komme ich ohne Drucker zu meinen Karten?
headline
    «verdict»
    Toller Abend
    Na ja
    «adj» «noun»
    Über «product»
    Enttäuschend
search
    «noun»
    «noun» «city»
    «product»
    «adj» «noun»
    «noun» am «int:1-28». «month»
    «category» «city»
    Karten für «noun»
month:
    Januar März April Juni Juli September Oktober November
"""
)

_ES: Final[Mapping[str, Rule]] = rules(
    r"""
first:
    Lucía José María Íñigo Carmen Andrés Sofía Raúl Begoña Martín Inés Álvaro Nuria Joaquín
last:
    García Muñoz Peña López Núñez Ibáñez Romero Castaño Gómez Ordóñez Vidal Serrano D'Angelo
city:
    Sevilla Málaga Bilbao León Cádiz Bogotá Córdoba Mérida Quito Logroño Valparaíso Oviedo
street
    Calle «streetname» «int:1-140», «int:1-9»º «streetkind»
    Avda. «streetname» «int:1-300»
streetname
    Mayor
    del Sol
    San Antón
    de la Peña
    Real
    Colón
    Jardín
streetkind:
    A B izq. dcha.
opener
    La hice el domingo y
    Con la mitad de azúcar
    Mi «relative» la prepara así:
    Para «int:4-12» personas
    Sin gluten también
    La primera vez
    En olla exprés
    ¡Qué rica!
    Cambié el «noun» por «noun» y
relative:
    abuela suegra madre vecina tía hermano
verdict
    quedó buenísima
    salió un poco seca
    la repetiremos
    le falta sal
    tardó «int:20-120» minutos
    a los niños les encantó
    mejor al día siguiente
    no subió la masa
    es fácil y barata
    sobró la mitad
closer
    ¡Gracias!
    Un saludo desde «city».
    Muy recomendable.
    Cinco estrellas.
    ¿Se puede congelar?
    «empty»
comment
    «opener» «verdict». «closer»
    «opener» «verdict», pero «verdict». «closer»
    «Product»: «verdict». «closer»
question
    ¿Puedo usar «noun» en vez de «noun»?
    ¿Cuánto tiempo dura «product» en la nevera?
    ¿Alguien tiene la receta de «product» de «city»?
    ¿A cuántos grados va el horno para «product»?
headline
    «verdict»
    «noun» al estilo de «city»
    «adj»
    Mi versión de «product»
    Duda sobre «noun»
search
    «noun»
    receta de «noun»
    «product»
    «noun» «adj»
    «noun» con «noun»
    «noun» sin «noun»
    «category» «adj»
month:
    enero marzo abril junio julio septiembre octubre noviembre
"""
)

_FR: Final[Mapping[str, Rule]] = rules(
    r"""
first:
    Chloé Hélène François Loïc Zoé Amélie Théo Noël Margaux René Jérôme Maëlle Gaël Inès
last:
    Lefèvre Dubois D'Almeida Béranger L'Hermite Moreau Garçon Petit Fournier Lévêque Roux
city:
    Paris Lyon Nîmes Orléans Besançon Nice Genève Liège Québec Béziers Rennes
street
    «int:1-180» rue «streetname»
    «int:1-60» bis, avenue «streetname»
streetname
    de l'Église
    des Lilas
    d'Alésia
    Victor-Hugo
    de la Gare
    du Château
opener
    Reçu en «int:2-9» jours :
    Pour être honnête,
    C'est l'idéal pour mon balcon :
    D'après ma «relative»,
    Comme l'an dernier,
    J'hésitais, mais
relative:
    sœur mère voisine tante collègue
verdict
    l'emballage était soigné
    tout a poussé en «int:6-30» jours
    la couleur n'est pas celle de la photo
    je suis ravie
    il n'y avait que «int:2-9» bulbes
    ça résiste au gel
    c'est un peu cher
    rien n'a levé
closer
    Merci !
    À recommander.
    Bien à vous.
    Bonjour de «city» !
    «empty»
comment
    «opener» «verdict». «closer»
    «opener» «verdict» et «verdict». «closer»
question
    Quand planter «product» à «city» ?
    Livrez-vous à «city» ?
    Où en est ma commande n° «int:10000-99999» ?
    L'engrais convient-il à «product» ?
    Peut-on cultiver «noun» à l'ombre ?
headline
    «verdict»
    Très bien
    Déçu
    «noun» «adj»
    À propos de «product»
search
    «noun»
    «noun» «adj»
    «product»
    graines de «noun»
    «noun» d'hiver
    «category»
    «noun» pour l'ombre
month:
    janvier mars avril juin juillet septembre octobre novembre
"""
)

LANGUAGES: Final[Mapping[str, Mapping[str, Rule]]] = {"en": _EN, "de": _DE, "es": _ES, "fr": _FR}


def site_grammar(language: str, nouns: str, adjectives: str, categories: str, extra: Mapping[str, Rule]) -> Grammar:
    """The grammar of one site: its language's sentences over the site's own words (`|`-separated)."""
    rules: dict[str, Rule] = {
        **NETWORK,
        "noun": nouns.split("|"),
        "adj": adjectives.split("|"),
        "category": categories.split("|"),
        "product": ["«adj» «noun»", "«noun»", "«adj» «noun» «int:2-900»", "«noun» «upper:1»«int:1-90»"],
        **LANGUAGES[language],
        **extra,
    }
    rules.setdefault("Product", ["«product»"])
    return Grammar(rules, start="search")


def slug(text: str) -> str:
    """Lower-case ASCII words joined by hyphens; accents are dropped."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    return "-".join(_WORD.findall(plain)) or "item"


@cache
def _jwt_head() -> str:
    return base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()


def _letter(rng: Random) -> str:
    return chr(65 + rng.randrange(26))


def _hex(rng: Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def uuid(rng: Random) -> str:
    """A random version-4 UUID."""
    text = _hex(rng, 32)
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def token(rng: Random, size: int = 24) -> str:
    """URL-safe base64 of random bytes, as session and tracking identifiers look."""
    return base64.urlsafe_b64encode(rng.randbytes(size)).rstrip(b"=").decode()


def jwt(rng: Random, subject: str) -> str:
    """A JSON web token in form only: the signature is random."""
    claims = {"sub": subject, "iat": 1770000000 + rng.randrange(10**7), "scope": "read write"}
    body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{_jwt_head()}.{body}.{token(rng, 32)}"


def _email(rng: Random, words: Grammar) -> str:
    first, last = slug(words.generate(rng, "first")), slug(words.generate(rng, "last"))
    joint = rng.choice([".", "_", "", "-", ".", "+"])
    return f"{first}{joint}{last}{rng.choice(['', str(rng.randrange(1, 99))])}@{words.generate(rng, 'domain')}"


def _password(rng: Random, words: Grammar) -> str:
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789!$%&*+-_?#@"
    if rng.random() < 0.4:
        return "".join(rng.choices(letters, k=rng.randint(9, 18)))
    word = made_up_word(rng).capitalize()
    return f"{word}{rng.choice(['!', '$', '#', '_', '.', ''])}{rng.randrange(10, 2030)}{rng.choice(['', '!', '*'])}"


def _date(rng: Random, words: Grammar) -> str:
    return f"{rng.randint(2023, 2026)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _datetime(rng: Random, words: Grammar) -> str:
    clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}"
    return f"{_date(rng, words)}T{clock}.{rng.randrange(1000):03d}Z"


def _filename(rng: Random, words: Grammar) -> str:
    stem = rng.choice(
        [
            words.generate(rng, "noun"),
            f"IMG_{rng.randint(1000, 9999)}",
            f"Screenshot {_date(rng, words)} at {rng.randrange(24):02d}.{rng.randrange(60):02d}.01",
            f"{slug(words.generate(rng, 'product'))}_{rng.randint(1, 40)}",
            f"{words.generate(rng, 'first')} {words.generate(rng, 'last')} ({rng.randint(1, 9)})",
            f"scan{rng.randint(1, 9999):04d}",
        ]
    )
    return f"{stem}.{rng.choice(['jpg', 'png', 'pdf', 'jpeg', 'docx', 'txt', 'webp', 'heic', 'csv', 'svg'])}"


def _url(rng: Random, words: Grammar) -> str:
    host = words.generate(rng, "domain")
    path = rng.choice(
        [
            "",
            f"{slug(words.generate(rng, 'product'))}",
            f"a/{rng.randint(1, 9999)}",
            f"{words.generate(rng, 'label')}.html",
        ]
    )
    tail = rng.choice(
        [
            "",
            "",
            "",
            f"?id={rng.randint(1, 999)}",
            f"?utm_source={words.generate(rng, 'label')}&utm_medium=email",
            "#top",
        ]
    )
    return f"http{rng.choice(['s', 's', 's', ''])}://{host}/{path}{tail}"


def _local_path(rng: Random, words: Grammar) -> str:
    return rng.choice(
        [
            "/",
            "/account/orders",
            f"/{slug(words.generate(rng, 'category'))}?page={rng.randint(1, 9)}",
            f"/{slug(words.generate(rng, 'category'))}/{slug(words.generate(rng, 'product'))}-{rng.randint(1, 9999)}",
            "/checkout?step=2&gift=1",
        ]
    )


def _html(rng: Random, words: Grammar) -> str:
    text, title = words.generate(rng, "comment"), words.generate(rng, "headline")
    return rng.choice(
        [
            f"<p>{text}</p>",
            f"<p><strong>{title}</strong></p><p>{text}<br>{words.generate(rng, 'verdict')}</p>",
            f"<h3>{title}</h3>\n<ul><li>{text}</li><li>{words.generate(rng, 'noun')}</li></ul>",
            f'<p>{text} <a href="{_url(rng, words)}" rel="nofollow">{title}</a></p>',
        ]
    )


def _fingerprint(rng: Random, words: Grammar) -> str:
    data = {
        "w": rng.choice([1920, 1440, 390, 412]),
        "h": rng.choice([1080, 900, 844]),
        "tz": rng.choice([0, -60, -120, 300]),
        "k": made_up_word(rng),
    }
    return base64.b64encode(json.dumps(data).encode()).decode()


def _odata(rng: Random, words: Grammar) -> str:
    return rng.choice(
        [
            f"Age gt {rng.randint(1, 9)} and Status eq '{rng.choice(['In use', 'Stored', 'Lost'])}'",
            f"contains(Name,'{words.generate(rng, 'noun')}') or Owner eq '{words.generate(rng, 'last')}'",
            f"startswith(Serial,'{_letter(rng)}{rng.randint(1, 99)}') and Price le {rng.randint(10, 900)}",
        ]
    )


def _graphql(rng: Random, words: Grammar) -> str:
    wanted = " ".join(
        rng.sample(["id", "nombre", "pasos { texto }", "autor { alias }", "votos", "fotos(primeras: 3) { url }"], 4)
    )
    return f"query Receta($slug: String!, $idioma: String) {{ receta(slug: $slug, idioma: $idioma) {{ {wanted} }} }}"


def _template(rng: Random, words: Grammar) -> str:
    name, number, link = rng.choice(
        [
            ("{{name}}", "{{ticket.id}}", "{{link}}"),
            ("${name}", "${ticket}", "${link}"),
            ("%name%", "%ticket%", "%link%"),
            ("[[name]]", "[[ticket]]", "[[link]]"),
        ]
    )
    return rng.choice(
        [
            f"Hello {name}, your ticket {number} about the {words.generate(rng, 'noun')} was updated.",
            f"Re: {words.generate(rng, 'headline')} [{number}]",
            f"Dear {name},\n\n{words.generate(rng, 'comment')}\n\nSee {link}\n-- \nNorthlight",
        ]
    )


def _viewstate(rng: Random, words: Grammar) -> str:
    return base64.b64encode(b"\xff\x01\x0f\x0f\x05" + rng.randbytes(rng.randint(60, 200))).decode()


KINDS: Final[Mapping[str, Callable[[Random, Grammar], str]]] = {
    "text": lambda rng, words: words.generate(rng, "search"),
    "title": lambda rng, words: words.generate(rng, "headline"),
    "comment": lambda rng, words: words.generate(rng, "comment"),
    "question": lambda rng, words: words.generate(rng, "question"),
    "html": _html,
    "first": lambda rng, words: words.generate(rng, "first"),
    "last": lambda rng, words: words.generate(rng, "last"),
    "name": lambda rng, words: f"{words.generate(rng, 'first')} {words.generate(rng, 'last')}",
    "user": lambda rng, words: f"{slug(words.generate(rng, 'first'))}{rng.randint(1, 2010)}",
    "city": lambda rng, words: words.generate(rng, "city"),
    "street": lambda rng, words: words.generate(rng, "street"),
    "zip": lambda rng, words: f"{rng.randint(10000, 99999)}",
    "phone": lambda rng, words: f"+{rng.choice([44, 49, 34, 33, 1])} {rng.randint(100, 999)} {rng.randrange(10**7)}",
    "email": _email,
    "password": _password,
    "product": lambda rng, words: words.generate(rng, "product"),
    "category": lambda rng, words: slug(words.generate(rng, "category")),
    "slug": lambda rng, words: slug(words.generate(rng, "product")),
    "id": lambda rng, words: str(rng.randint(1, 20000)),
    "sku": lambda rng, words: f"{_letter(rng)}{_letter(rng)}-{rng.randint(1000, 99999)}",
    "page": lambda rng, words: str(min(rng.randint(1, 12), rng.randint(1, 12))),
    "qty": lambda rng, words: str(rng.choice([1, 1, 1, 2, 3, 4, 6, 10])),
    "stars": lambda rng, words: str(rng.choice([1, 3, 4, 4, 5, 5])),
    "price": lambda rng, words: rng.choice([str(rng.randrange(5, 500, 5)), f"{rng.uniform(1, 400):.2f}"]),
    "date": _date,
    "datetime": _datetime,
    "millis": lambda rng, words: str(1772000000000 + rng.randrange(10**9)),
    "uuid": lambda rng, words: uuid(rng),
    "hex": lambda rng, words: _hex(rng, 16),
    "build": lambda rng, words: rng.choice(_BUILDS),
    "token": lambda rng, words: token(rng),
    "jwt": lambda rng, words: jwt(rng, str(rng.randrange(10**6))),
    "blob": _fingerprint,
    "bool": lambda rng, words: rng.choice(["true", "false"]),
    "flag": lambda rng, words: rng.choice(["1", "0", "on"]),
    "coupon": lambda rng, words: f"{made_up_word(rng).upper()}{rng.randint(5, 50)}",
    "country": lambda rng, words: rng.choice(["GB", "DE", "ES", "US", "FR", "AT", "MX", "IE"]),
    "lang": lambda rng, words: rng.choice(["en", "de", "es", "fr", "en-GB", "de-AT", "es_MX"]),
    "geo": lambda rng, words: f"{rng.uniform(-60, 60):.5f},{rng.uniform(-120, 120):.5f}",
    "screen": lambda rng, words: rng.choice(["1920x1080", "1440x900", "390x844", "412x915", "2560x1440"]),
    "url": _url,
    "path": _local_path,
    "filename": _filename,
    "ip": lambda rng, words: words.generate(rng, rng.choice(["ip", "private_ip"])),
    "word": lambda rng, words: made_up_word(rng),
    "tags": lambda rng, words: ",".join(slug(words.generate(rng, "noun")) for _ in range(rng.randint(1, 4))),
    "odata": _odata,
    "graphql": _graphql,
    "template": _template,
    "viewstate": _viewstate,
    "range": lambda rng, words: f"{rng.randrange(0, 50, 5)}-{rng.randrange(50, 500, 10)}",
}  # fmt: skip

TEXT_KINDS: Final = frozenset(
    {"text", "title", "comment", "question", "html", "filename", "password", "last", "name", "url", "product"}
)


def fill(kind: str, rng: Random, words: Grammar) -> str:
    """A value that a visitor would give to a field of this kind (`choice:a|b` picks one of the listed values)."""
    if kind.startswith("choice:"):
        return rng.choice(kind[7:].split("|"))
    if kind.startswith("const:"):
        return kind[6:]
    return KINDS[kind](rng, words)


def percent(text: str, safe: str = "") -> str:
    """Percent-encode text as UTF-8, leaving unreserved characters and `safe` alone."""
    return quote(text, safe=safe)
