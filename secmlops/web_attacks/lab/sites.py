"""The lab's sites: what each one sells, how its addresses and parameters are named, and how it is reached.

One table serves three readers: the shop routes by it, the crawler fills it in, and the attacker puts payloads
into its fields. Sites differ in language, path style, parameter names, body formats and cookies, so that a
split by site is a split by vocabulary.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from secmlops.web_attacks.lab.grammar import Grammar
from secmlops.web_attacks.lab.vocabulary import site_grammar

Body = Literal["", "form", "json", "multipart", "xml"]
Answer = Literal["page", "api", "asset", "beacon", "redirect", "login"]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter.

    Attributes:
        name: as sent; in JSON bodies a dotted path.
        kind: what it holds: a kind of `vocabulary.KINDS`, `choice:a|b`, or `const:text`.
        chance: how often visitors send it, 0..1.
    """

    name: str
    kind: str
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """One address of a site.

    Attributes:
        method: HTTP method.
        path: path with `{kind}` placeholders.
        answer: what the shop answers with.
        query: query parameters.
        body: body format; empty for none.
        fields: body fields.
        weight: how often visitors come here, relative to the site's other routes.
    """

    method: str
    path: str
    answer: Answer
    query: tuple[Field, ...] = ()
    body: Body = ""
    fields: tuple[Field, ...] = ()
    weight: float = 1.0

    def pattern(self) -> re.Pattern[str]:
        """What paths of this route look like, percent-decoded."""
        parts = re.split(r"\{[^}]*\}", self.path)
        return re.compile("[^/]+".join(map(re.escape, parts)))


@dataclass(frozen=True)
class Site:
    """A web site of the lab.

    Attributes:
        name: short name.
        host: value of the Host header without a port.
        address4: server address in recorded IPv4 frames (documentation ranges).
        address6: the same for IPv6.
        port: TCP port in recorded frames.
        language: `en`, `de`, `es` or `fr`.
        title: the shop's title.
        words: the site's grammar.
        session_cookie: name of the session cookie.
        csrf_field: hidden form field with the form token; empty when the site has none.
        server: value of the Server header.
        plus_spaces: whether its pages encode spaces in queries as `+` (otherwise `%20`).
        routes: the site's addresses.
        cookies: further cookies that its pages set in the browser, as fields.
    """

    name: str
    host: str
    address4: str
    address6: str
    port: int
    language: str
    title: str
    words: Grammar
    session_cookie: str
    csrf_field: str
    server: str
    plus_spaces: bool
    routes: tuple[Route, ...]
    cookies: tuple[Field, ...] = field(default=())

    @property
    def authority(self) -> str:
        """The Host header that browsers send."""
        return self.host if self.port == 80 else f"{self.host}:{self.port}"

    @cached_property
    def pages(self) -> tuple[Route, ...]:
        """Everything but static files."""
        return tuple(route for route in self.routes if route.answer != "asset")

    @cached_property
    def assets(self) -> tuple[Route, ...]:
        """Static files."""
        return tuple(route for route in self.routes if route.answer == "asset")


def _fields(text: str) -> tuple[Field, ...]:
    """Parse `name=kind` words; `name?=kind` is sent by two visitors in five."""
    made = []
    for word in text.split():
        name, _, kind = word.partition("=")
        made.append(Field(name.removesuffix("?"), kind, 0.4 if name.endswith("?") else 1.0))
    return tuple(made)


def _get(path: str, query: str = "", weight: float = 1.0, answer: Answer = "page") -> Route:
    return Route("GET", path, answer, _fields(query), weight=weight)


def _send(
    path: str,
    body: Body,
    fields: str,
    *,
    query: str = "",
    answer: Answer = "redirect",
    weight: float = 0.5,
    method: str = "POST",
) -> Route:
    return Route(method, path, answer, _fields(query), body, _fields(fields), weight)


def _files(*paths: str, query: str = "") -> tuple[Route, ...]:
    return tuple(_get(path, query, answer="asset") for path in paths)


_BOOKSHOP: Final = Site(
    name="bookshop",
    host="papertrail-books.example",
    address4="192.0.2.10",
    address6="2001:db8:10::10",
    port=80,
    language="en",
    title="Papertrail Books",
    words=site_grammar(
        "en",
        "novel|atlas|biography|thriller|cookbook|poetry|dictionary|comic|memoir|field guide|textbook|SQL primer|"
        "sea story|essays|Python handbook|ghost story|almanac|paperback",
        "illustrated|second-hand|signed|pocket|annotated|rare|children's|Victorian|bilingual|award-winning|hardback|"
        "abridged|forgotten",
        "Crime & Mystery|History|Science|Travel|Computing|Poetry|Children|Art|Languages|Cookery",
        {
            "product": [
                "The «adj» «noun»",
                "«noun» of «city»",
                "«last»'s «noun»",
                "A «noun» for the «relative»",
                "«adj» «noun», vol. «int:1-12»",
            ],
            "search": [
                "«noun»",
                "«product»",
                "«first» «last»",
                "«last» «noun»",
                "«adj» «noun»",
                "isbn 978«digits:10»",
                "books about «noun»s in «city»",
                "«category»",
            ],
        },
    ),
    session_cookie="pt_session",
    csrf_field="_csrf",
    server="nginx",
    plus_spaces=True,
    routes=(
        _get("/", "utm_source?=word utm_campaign?=word", 1.2),
        _get("/books", "category=category page?=page sort?=choice:price_asc|price_desc|newest|rating", 1.5),
        _get("/books/{category}", "page?=page lang?=lang", 1.2),
        _get("/book/{id}/{slug}", "ref?=choice:home|search|mail|related", 2.5),
        _get("/search", "q=text page?=page format?=choice:paperback|hardback|ebook", 2.6),
        _get("/api/v2/suggest", "term=text limit=choice:5|8|10", 1.6, "api"),
        _get(
            "/api/v2/books",
            "author?=name filter[price][min]?=price filter[price][max]?=price "
            "fields=choice:title,price|id,title,author",
            1.0,
            "api",
        ),
        _get("/cart", "", 0.5),
        _send("/cart/items", "form", "sku=sku qty=qty gift_note?=comment", weight=0.8),
        _send("/api/v2/wishlist", "json", "book.id=id book.title=product note?=comment public=bool", answer="api"),
        _get("/login", "next?=path", 0.4),
        _send("/login", "form", "email=email password=password remember?=flag next?=path", answer="login", weight=0.4),
        _send(
            "/register",
            "form",
            "first_name=first last_name=last email=email password=password newsletter?=flag",
            weight=0.3,
        ),
        _send("/book/{id}/reviews", "form", "title=title text=comment stars=stars", weight=1.0),
        _send("/contact", "form", "name=name email=email subject=title message=question", weight=0.5),
        _send("/account/avatar", "multipart", "caption?=title avatar=file:filename", weight=0.4),
        _get("/out", "to=url pos?=page", 0.3, "redirect"),
        _send(
            "/collect",
            "json",
            "t=millis page=path ev=choice:view|click|scroll cid=uuid vp=screen ctx=blob",
            answer="beacon",
            weight=0.7,
        ),
        *_files(
            "/assets/app.{build}.css",
            "/assets/app.{build}.js",
            "/covers/{id}.jpg",
            "/favicon.ico",
            "/assets/fonts/serif.woff2",
        ),
    ),
    cookies=_fields(
        "_ga=const:GA1.2 consent=choice:all|necessary cid?=uuid recently_viewed?=tags theme?=choice:light|dark"
    ),
)

_HARDWARE: Final = Site(
    name="hardware",
    host="bolt-and-bit.example",
    address4="198.51.100.20",
    address6="2001:db8:20::20",
    port=8080,
    language="en",
    title="Bolt & Bit",
    words=site_grammar(
        "en",
        "drill|hinge|router|hammer|switch|cable|drop-in table saw|union nut|pipe cutter|shell anvil|spirit level|"
        "socket set|screw|relay board|SSD|torque wrench|bracket|power supply|patch panel|rubber grommet",
        'cordless|galvanised|12 mm|3/4"|heavy-duty|refurbished|18V|Cat 6a|waterproof|left-hand|M8x40|0.5" drive|'
        "stainless|8-port",
        "Power Tools|Fasteners|Networking|Plumbing|Electrical|Garden|Storage|Safety",
        {
            "search": [
                "«noun»",
                "«adj» «noun»",
                "«noun» «adj»",
                "«noun» «int:1-400»mm",
                "«upper:2»-«int:100-9999»",
                "«noun» & «noun»",
                "«adj» «noun» or similar",
                "spare part «upper:3»«digits:4»/«int:1-9»",
            ],
        },
    ),
    session_cookie="PHPSESSID",
    csrf_field="",
    server="Apache/2.4.62 (Debian)",
    plus_spaces=True,
    routes=(
        _get("/index.php", "", 1.0),
        _get("/list.php", "cat=id p?=page s?=choice:pa|pd|n view?=choice:grid|list", 2.0),
        _get("/item.php", "id=id tab?=choice:spec|reviews|stock", 3.0),
        _get("/find.php", "kw=text brand?=word min?=price max?=price in_stock?=flag", 2.6),
        _get("/ajax/complete.php", "s=text cb=millis", 1.4, "api"),
        _get("/ajax/stock.php", "pid=id branch=city", 0.8, "api"),
        _get("/basket.php", "do=const:add pid=id n=qty back?=path", 0.8, "redirect"),
        _send("/basket.php", "form", "n[]=qty coupon?=coupon zip=zip", query="do=const:update", weight=0.4),
        _get("/user.php", "act=choice:login|orders|profile", 0.6),
        _send("/user.php", "form", "user=user pass=password", query="act=const:login", answer="login", weight=0.4),
        _send(
            "/user.php",
            "form",
            "nick=user mail=email pw1=password company?=name vat?=sku",
            query="act=const:register",
            weight=0.3,
        ),
        _send("/comment.php", "form", "pid=id nick=user rating=stars comment=comment", weight=1.0),
        _send(
            "/ticket.php",
            "multipart",
            "dept=choice:sales|returns|tech subject=title body=question attach=file:filename",
            weight=0.7,
        ),
        _get("/page.php", "name=choice:about|shipping|imprint|jobs lang?=lang", 0.5),
        _get(
            "/thumb.php", "src=choice:img/drill.jpg|img/saw.png|img/2024/cable.webp w=choice:120|240|480", 0.7, "asset"
        ),
        _get("/go.php", "url=url", 0.3, "redirect"),
        _send(
            "/rpc/quote",
            "xml",
            "customer=name city=city item=product amount=qty remark=comment",
            answer="api",
            weight=0.4,
        ),
        *_files("/css/main.css", "/js/jquery.min.js", "/js/shop.js", "/img/{slug}.jpg", query="v?=date"),
    ),
    cookies=_fields("_ga=const:GA1.1 cart?=blob currency=choice:GBP|EUR|USD last_cat?=id"),
)

_TICKETS: Final = Site(
    name="tickets",
    host="karten-kontor.example",
    address4="203.0.113.30",
    address6="2001:db8:30::30",
    port=80,
    language="de",
    title="Karten-Kontor",
    words=site_grammar(
        "de",
        "Konzert|Oper|Lesung|Musical|Kabarett|Fußballspiel|Ballett|Zirkus|Festival|Führung|Chorabend|Puppentheater|"
        "Jazznacht|Weihnachtsoratorium",
        "großes|klassisches|ausverkauftes|abendliches|fränkisches|letztes|jährliches|Wiener|kostenloses|winterliches",
        "Konzerte|Theater|Sport|Familie|Comedy|Ausstellungen|Messen",
        {
            "product": [
                "«adj» «noun»",
                "«noun» in «city»",
                "«noun» mit «first» «last»",
                "«noun» „«adj» «city»“",
                "«noun» am «int:1-28». «month»",
            ],
        },
    ),
    session_cookie="JSESSIONID",
    csrf_field="formToken",
    server="Apache-Coyote/1.1",
    plus_spaces=False,
    routes=(
        _get("/start.do", "", 0.9),
        _get("/veranstaltungen/{category}", "ort?=city seite?=page von?=date bis?=date", 2.0),
        _get("/veranstaltung/{slug}-{id}.html", "", 2.6),
        _get("/suche.do", "begriff=text ort?=city umkreis?=choice:10|25|50 sortierung?=choice:datum|preis", 2.8),
        _get("/rest/vorschlag", "eingabe=text", 1.5, "api"),
        _get("/rest/saalplan/{id}", "block?=choice:A|B|C|Parkett preisstufe?=page", 0.9, "api"),
        _send(
            "/rest/reservierung",
            "json",
            "vorstellung=id plaetze.0.reihe=page plaetze.0.platz=page bemerkung?=comment",
            answer="api",
            weight=0.7,
        ),
        _send("/warenkorb.do", "form", "aktion=choice:hinzu|weg nr=sku anzahl=qty gutschein?=coupon", weight=0.8),
        _get("/warenkorb.do", "", 0.5),
        _send("/anmelden.do", "form", "benutzer=email kennwort=password ziel?=path", answer="login", weight=0.5),
        _send(
            "/konto/neu.do",
            "form",
            "anrede=choice:Frau|Herr|divers vorname=first nachname=last strasse=street plz=zip ort=city email=email "
            "kennwort=password",
            weight=0.4,
        ),
        _send("/bewertung.do", "form", "id=id sterne=stars ueberschrift=title text=comment", weight=1.0),
        _send("/kontakt.do", "form", "name=name email=email betreff=title nachricht=question", weight=0.6),
        _send(
            "/konto/nachweis.do",
            "multipart",
            "art=choice:Schüler|Studium|Rente datei=file:filename hinweis?=comment",
            weight=0.4,
        ),
        _get("/weiter.do", "ziel=url partner?=word", 0.3, "redirect"),
        _get("/kalender.ics", "nr=id", 0.3, "asset"),
        _send("/zaehler", "form", "p=path r?=url s=screen z=millis", answer="beacon", weight=0.6),
        *_files("/stil/haupt.css", "/skript/kern-{build}.js", "/bilder/{id}_gross.jpg", "/favicon.ico"),
    ),
    cookies=_fields("einwilligung=choice:alle|notwendig _pk_id=token merkliste?=tags"),
)

_RECIPES: Final = Site(
    name="recipes",
    host="mesa-abierta.example",
    address4="192.0.2.40",
    address6="2001:db8:40::40",
    port=80,
    language="es",
    title="Mesa Abierta",
    words=site_grammar(
        "es",
        "tortilla|gazpacho|paella|croquetas|arroz|garbanzos|pimientos|lentejas|bizcocho|empanada|tarta|sopa|ñoquis|"
        "mole|merluza|albóndigas|aceite|ajo",
        "casera|rápida|picante|vegana|sin gluten|de la abuela|tradicional|al horno|fría|para niños|ligera",
        "Entrantes|Postres|Pescado|Carne|Verduras|Pan y masas|Bebidas|Niños",
        {"product": ["«noun» «adj»", "«noun» con «noun»", "«noun» de «city»", "«noun» en «int:10-90» minutos"]},
    ),
    session_cookie="laravel_session",
    csrf_field="_token",
    server="nginx/1.26.2",
    plus_spaces=False,
    routes=(
        _get("/", "", 0.9),
        _get("/recetas/{slug}", "porciones?=qty", 3.0),
        _get("/recetas", "categoria=category ingredientes[]?=tags pagina?=page orden?=choice:nuevas|votos", 1.8),
        _get("/buscar", "texto=text tiempo_max?=choice:15|30|60 dificultad?=choice:baja|media", 2.4),
        _get("/api/recetas", "consulta=text limite=choice:10|20 desde?=page", 1.2, "api"),
        _send(
            "/api/recetas/{id}/valoracion",
            "json",
            "estrellas=stars comentario=comment usuario.alias=user",
            answer="api",
            weight=1.0,
        ),
        _send(
            "/graphql",
            "json",
            "operationName=const:Receta variables.slug=slug variables.idioma=lang query=graphql",
            answer="api",
            weight=1.0,
        ),
        _send("/foro/tema", "form", "titulo=title cuerpo=html etiquetas=tags", weight=0.8),
        _send("/foro/tema/{id}/respuesta", "form", "cuerpo=comment avisar?=flag", weight=0.9),
        _get("/foro", "q?=text orden=choice:reciente|votos pagina?=page", 1.0),
        _send(
            "/recetas/nueva",
            "multipart",
            "nombre=product pasos=comment categoria=category foto=file:filename video_url?=url",
            weight=0.6,
        ),
        _send("/entrar", "form", "correo=email clave=password", answer="login", weight=0.5),
        _send("/registro", "form", "nombre=name correo=email clave=password ciudad=city web?=url", weight=0.4),
        _send(
            "/perfil",
            "json",
            "perfil.nombre=name perfil.bio=comment perfil.web?=url preferencias.dieta=category",
            answer="api",
            weight=0.5,
            method="PUT",
        ),
        _get("/ir", "a=url", 0.2, "redirect"),
        _get("/feed.xml", "cat?=category", 0.3, "asset"),
        _send(
            "/e/metrics",
            "json",
            "events.0.n=choice:lcp|fid|cls events.0.v=price session=token path=path",
            answer="beacon",
            weight=0.6,
        ),
        *_files("/build/app-{build}.js", "/build/app-{build}.css", "/fotos/{id}/w640.webp", "/img/logo.svg"),
    ),
    cookies=_fields("XSRF-TOKEN=jwt acepta_cookies=const:1 _fbp?=token"),
)

_HELPDESK: Final = Site(
    name="helpdesk",
    host="desk.northlight-support.example",
    address4="198.51.100.50",
    address6="2001:db8:50::50",
    port=8080,
    language="en",
    title="Northlight Support Desk",
    words=site_grammar(
        "en",
        "printer|mailbox|VPN|laptop|licence|firewall rule|database|backup job|shell script|template|invoice run|"
        "password reset|badge reader|web server|SQL Server|script tag|file share|terminal",
        "broken|slow|locked|new|offline|shared|expired|misconfigured|missing|duplicate|stuck",
        "Hardware|Accounts|Network|Software|Facilities|Finance systems",
        {
            "product": ["«adj» «noun»", "«noun» of the «category» team", "«noun» on host «lower:3»-«int:1-99»"],
            "search": [
                "«adj» «noun»",
                "«noun» error 0x«hex:8»",
                "how to fix «adj» «noun»",
                "ticket «int:1000-99999»",
                "«noun» assigned to «last»",
                "status:open «noun»",
                "«noun» -«noun»",
                '"«adj» «noun»"',
            ],
            "verdict": [
                "the «noun» is «adj» since «month»",
                "restarting the «noun» helped",
                "it says error 0x«hex:4»",
                "nothing in the logs",
                "please update the «noun»",
                "I cannot log in from «city»",
                "the «noun» drops every «int:2-50» minutes",
            ],
        },
    ),
    session_cookie="connect.sid",
    csrf_field="",
    server="Express",
    plus_spaces=False,
    routes=(
        _get("/app", "", 0.6),
        _get("/app/tickets/{id}", "tab?=choice:history|files", 1.2),
        _get(
            "/api/v1/tickets",
            "q?=text status=choice:open|closed|waiting sort=choice:-updated|priority page[number]=page "
            "page[size]=choice:25|50",
            2.2,
            "api",
        ),
        _get("/api/v1/tickets/{id}", "include?=choice:comments,files|author", 1.8, "api"),
        _get("/api/v1/search", "query=text type?=choice:ticket|article|user", 1.8, "api"),
        _get("/odata/Assets", "$filter=odata $top=choice:10|25 $orderby=choice:Name|Age|-Price", 0.9, "api"),
        _send(
            "/api/v1/tickets",
            "json",
            "ticket.subject=title ticket.description=question ticket.priority=choice:low|normal|high "
            "ticket.tags.0=category reporter.email=email",
            answer="api",
            weight=1.2,
        ),
        _send(
            "/api/v1/tickets/{id}/comments",
            "json",
            "body=comment internal=bool mentions.0=user",
            answer="api",
            weight=1.4,
        ),
        _send(
            "/api/v1/tickets/{id}",
            "json",
            "status=choice:open|closed assignee=user resolution?=comment",
            answer="api",
            weight=0.7,
            method="PATCH",
        ),
        _send("/api/v1/files", "multipart", "ticket=id note?=comment upload=file:filename", answer="api", weight=0.7),
        _send("/api/v1/session", "json", "username=email password=password device=uuid", answer="login", weight=0.5),
        _send(
            "/api/v1/hooks",
            "json",
            "name=title target=url events.0=choice:created|closed secret=token",
            answer="api",
            weight=0.3,
        ),
        _send(
            "/api/v1/templates/{id}",
            "json",
            "name=title subject=template body=template locale=lang",
            answer="api",
            weight=0.6,
            method="PUT",
        ),
        _get("/kb/{slug}", "lang?=lang", 1.4),
        _get("/preview", "url=url width?=choice:400|800", 0.4, "api"),
        _send("/soap/assets", "xml", "serial=sku owner=name location=city remark=comment", answer="api", weight=0.4),
        _send(
            "/csp-report",
            "json",
            "csp-report.document-uri=url csp-report.violated-directive=const:script-src csp-report.blocked-uri=url "
            "csp-report.line-number=id",
            answer="beacon",
            weight=0.3,
        ),
        *_files(
            "/static/js/main.{build}.chunk.js",
            "/static/css/{build}.css",
            "/avatars/{uuid}.png",
            query="s?=choice:32|64",
        ),
    ),
    cookies=_fields("ui=blob locale=lang ajs_anonymous_id?=uuid"),
)

_GARDEN: Final = Site(
    name="garden",
    host="jardin-des-lilas.example",
    address4="203.0.113.60",
    address6="2001:db8:60::60",
    port=80,
    language="fr",
    title="Jardin des Lilas",
    words=site_grammar(
        "fr",
        "tulipe|rosier|tomate|lavande|pivoine|haie|terreau|sécateur|arrosoir|œillet|dahlia|cerisier|pelle|gazon|"
        "fougère|bêche",
        "ancienne|grimpant|rustique|bio|d'automne|géant|parfumée|naine|double|à repiquer|d'ornement",
        "Bulbes|Rosiers|Potager|Arbustes|Outils|Engrais|Graines",
        {"product": ["«noun» «adj»", "«noun» «last»", "lot de «int:3-30» «noun»s", "«noun» n° «int:1-99»"]},
    ),
    session_cookie="ASP.NET_SessionId",
    csrf_field="__RequestVerificationToken",
    server="Microsoft-IIS/10.0",
    plus_spaces=True,
    routes=(
        _get("/Default.aspx", "", 0.9),
        _get("/Catalogue/Rayon.aspx", "rayon=category tri?=choice:prix|nom pg?=page", 1.8),
        _get("/Produit/Fiche.aspx", "ref=sku couleur?=choice:rouge|blanc|rose", 2.6),
        _get("/Recherche.aspx", "mots=text prix?=range", 2.4),
        _get("/services/auto.ashx", "q=text n=choice:6|12 _=millis", 1.3, "api"),
        _send(
            "/services/Panier.svc/Ajouter",
            "json",
            "article.ref=sku article.quantite=qty article.message?=comment",
            answer="api",
            weight=0.8,
        ),
        _send(
            "/Compte/Connexion.aspx",
            "form",
            "__VIEWSTATE=viewstate ctl00$Email=email ctl00$MotDePasse=password ReturnUrl?=path",
            answer="login",
            weight=0.5,
        ),
        _send(
            "/Compte/Creer.aspx",
            "form",
            "__VIEWSTATE=viewstate ctl00$Prenom=first ctl00$Nom=last ctl00$Rue=street ctl00$Ville=city "
            "ctl00$Email=email",
            weight=0.4,
        ),
        _send("/Produit/Avis.aspx", "form", "ref=sku note=stars titre=title avis=comment", weight=1.1),
        _send("/Contact.aspx", "form", "nom=name courriel=email sujet=title message=question", weight=0.7),
        _send("/Concours/Photo.aspx", "multipart", "legende=title photo=file:filename", weight=0.5),
        _get("/Lien.ashx", "u=url", 0.3, "redirect"),
        _get("/image.ashx", "f=choice:rose.jpg|2025/lilas.jpg|bulbes/tulipe.png l=choice:200|400", 0.8, "asset"),
        _send("/px", "form", "ev=choice:vue|clic dl=url dt=title ts=millis fp=blob", answer="beacon", weight=0.6),
        *_files("/Content/site.css", "/bundles/jquery", "/Images/{slug}.jpg", query="v=token"),
    ),
    cookies=_fields(
        "tarteaucitron=const:!gtag=true!matomo=wait __utmz?=const:1.1.utmcsr=(direct)|utmccn=(direct) panier?=tags"
    ),
)

SITES: Final = (_BOOKSHOP, _HARDWARE, _TICKETS, _RECIPES, _HELPDESK, _GARDEN)
