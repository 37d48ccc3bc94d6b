"""Harmless text that merely looks like an attack: what people write about food, names, work, code and prices.

Every family here is something that visitors of real sites do send: apostrophes in names, SQL in a review of a
programming book, tags in a support ticket, file paths in error reports, placeholders in templates. A detector
that flags words instead of attacks fails on these.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, Rule, rules
from secmlops.web_attacks.lab.vocabulary import NETWORK

_WORDS: Final[Mapping[str, Rule]] = rules(
    r"""
person:
    Anna Ben Clara Emma Frank Grace Henry Jack Kate Liam Mia Noah Olivia Peter Rosa Sam Tom Zoe Uwe Lucía
irish
    O'Neil
    O'Brien
    O'Connor
    O'Malley
    D'Angelo
    D'Souza
    L'Oréal
    N'Diaye
    O'Hara
    d'Artagnan
    M'Bala
    Dell'Acqua
    't Hooft
    O'«Surname»
Surname:
    Shea Rourke Keefe Leary Grady Dowd Toole Dea Callaghan
dish
    menu
    lunch special
    wine list
    buffet
    tasting menu
    breakfast card
    bar
    dessert trolley
    brunch
    kids' menu
food
    the soup
    two starters
    any pasta
    the fish of the day
    a dessert
    three sides
    the salad
    one main course
thing:
    drill printer novel lamp ticket backpack camera desk bicycle router keyboard jacket charger kettle monitor
place
    restaurant
    warehouse
    campsite
    office
    library
    theatre
    market hall
    community centre
    station
    gym
verdict
    worked for me
    was a mess
    is easier than it looks
    cost us an hour
    is worth knowing
    made my day
    took two attempts
    confused my students
    is finally fixed
n:
    «int:2-99»
lang:
    Python Java SQL PHP Bash JavaScript PowerShell Ruby Perl C#
booknoun
    book
    chapter «int:1-24»
    tutorial
    course
    appendix
    lesson «int:2-40»
    cheat sheet
    exercise «int:1-30»
"""
)

_FAMILIES: Final[Mapping[str, Rule]] = rules(
    r"""
apostrophe
    «irish»
    «person» «irish»
    Mr. «irish» & Sons
    «irish»'s «thing»
    Is «person» «irish» still the manager of the '«label»' «place»?
    It's «person»'s «thing», isn't it?
    the '«int:60-99»s «thing»
    rock 'n' roll «thing»
    5' «int:1-11»" tall «thing»
    Don't touch «person»'s «thing»; it's broken
    y'all can't have «n» '«thing»s'
select_from
    select «food» from the «dish»
    Guests may select «n» items from the «dish» where marked with a star
    please select a «thing» from list «n»; where is the other one?
    We had to select and insert the «thing» from the left
    union members select their «thing» from our «place» all year
    Select * marked dishes from the «dish» contain nuts
    select count «n» from the drop-down, then order by 5 pm
drop_delete
    drop table «n» at the «place»
    Please drop the table «n» reservation under «irish»
    The courier will drop «thing»; update «person» when it is there
    I had to delete from my list all «n» «thing»s
    Insert into slot «n», values on the label are in mm
    alter table height to «n» cm
    truncate table legs by «n» mm -- see drawing
    drop database course, keep «lang» course
    create table decorations for «n» guests; drop off at the «place»
    update «thing» set «n» to «n» pieces where possible
union_logic
    the «label» union or all «label» workers' union?
    European Union all countries «n»-«int:100-999»
    union select committee report, page «n»
    credit union «label», order by phone
    1=1 is a truth, 1=2 is not; that is how «booknoun» starts
    either «n» or «n»=«n», I don't remember -- «person»
    A=1 or B=2 and C=«n»?
    size=«n» or size=«int:30-50» and colour='red'
    true and false, or 'not sure'
    having fun, group by group, «n» and 1 more
    Where 'exists' a will, there is a way; where not exists, «person»
    between «n» and «n» like last time
sql_lesson
    In «booknoun», "SELECT «ident», «ident» FROM «table» WHERE «ident» = «n»" is explained well
    The «lang» «booknoun» about UNION ALL and ORDER BY «verdict»
    Why does `INSERT INTO «table» VALUES («n», 'a')` fail with a foreign key? The «booknoun» does not say
    My teacher wrote: never build SELECT * FROM «table» WHERE id='" + id + "'. That «verdict».
    I learned what ' OR '1'='1 does and how prepared statements stop it; «booknoun» «verdict»
    How do I write a LEFT JOIN «table» ON «ident» = «ident» and count(*)? «booknoun» «n» «verdict»
    The difference between DELETE FROM «table» and TRUNCATE TABLE «table» «verdict»
    error 1064 near 'order by «ident»' at line «n», same as in the «booknoun»
    sleep(«n») in «lang» waits seconds, benchmark() in the «booknoun» does not
    Exec sp_help is in the «booknoun», xp_cmdshell is not
    Group by «ident» having count(*) > «n» «verdict»
markup
    I <3 this «thing»
    «person» <3 «person», «n» < «int:100-200»
    a <b> and c> d in «booknoun»
    the <script> tag belongs before </body>, says the «booknoun»
    Why does <img src="«label».png" onerror> not show my «thing»? «booknoun»
    use &lt;b&gt; for bold, not &lt;font&gt;
    <p>Dear «person»,</p><p>the «thing» <b>«verdict»</b>.</p>
    onclick handlers in «booknoun» are old style; alert('hello') «verdict»
    <a href="https://«domain»/«label»">my photos of the «thing»</a>
    The javascript: URL in the bookmark bar «verdict»
    if (a<b && c>d) then «thing»
    <<< best «thing» ever >>>
    -> «thing» <- «n»%
    <iframe> embeds of the «place» map «verdict»
    document.cookie was empty in «booknoun», why?
    <h2>«thing»</h2><ul><li>«n» pieces</li><li>«label»</li></ul>
    eval() is evil, says «person» in the «booknoun»
    prompt: "a «thing» in the style of «label»", confirm(size)
paths
    It fails in C:\Users\«person»\«label»\«thing».log
    C:\Windows\System32\drivers\etc\hosts is read-only, how do I save it?
    the manual says to edit /etc/hosts and restart the «thing»
    look in ../«label»/«thing».txt, one folder up
    cd ../.. and then run make, as in the «booknoun»
    D:\Photos\..\Photos\«int:2001-2025»\«label».jpg is found twice
    /etc/passwd holds account names, the «booknoun» explains
    \\server«int:1-9»\share\«label» is not reachable from «place»
    Backup of /var/log/«label».log is «n» GB
    ~/.ssh/config has Host «label», works with the «thing»
    and/or «thing»/«thing»...
    see ./README.md or ../docs/«label».md
    What is boot.ini for? My old «thing» shows it
    %USERPROFILE%\Downloads\«label».pdf won't open
    file:///C:/Users/«person»/Desktop/«label».html is what the browser shows
    ...//... is how my «thing» display looks
shell
    ping «private_ip» works, but the «thing» has no web page
    cat food; dog food; «n» bags
    Type ls -la | less, then q. «booknoun» «verdict»
    sudo apt install «label» && reboot fixed my «thing»
    whoami? I am «person», «n» years old
    sleep 8 hours; wake up; repeat & enjoy
    id please: «person» «irish», customer «int:1000-99999»
    echo of the «place» is awful | acoustics
    curl your hair in «n» minutes; wash & go
    rm -rf in «booknoun» cost me a weekend
    I need a cat & a dog bed; which «thing»?
    $(price) is «n», `code` font in the «booknoun» is small
    net user forum; dir of members
    wget the manual from «domain» or mail it to «person»@«domain»
    touch screen; kill switch; head phones; tail light «n» W
    chmod 755 or 644 for «label»? «booknoun»
    more | less «n» pieces
    bash the «thing» gently; sh!
    python -c is not explained in «booknoun»
network
    The router answers on 127.0.0.1 instead of «private_ip», see manual page «n»
    http://localhost:«int:3000-9000»/«label» works here, but not on your server
    open http://«private_ip»/ and log in as admin / the code on the sticker
    My DNS is «ip», gateway «private_ip», mask 255.255.255.0
    ftp://ftp.«domain»/pub/«label».zip is gone
    What is 169.254.«int:1-254».«int:1-254»? My «thing» shows it
    link: http://«domain»/login?next=http://«domain»/«label»
    ssh to «private_ip» port 22 refused since Monday
    0.0.0.0 in the «booknoun» means every address
    [::1] is IPv6 for localhost, says «booknoun»
    file server \\«private_ip»\«label» asks for a password
    gopher was before http, «booknoun»
    ldap://«label»:389 is our directory, where do I enter it?
template
    Dear {{name}}, your order {{order.id}} of ${total} has shipped
    the mail said "Hello ${firstname}" instead of «person»
    ${price} and {{ price }} placeholders are not replaced in «thing» labels
    Use {{«label»}} for the title and <%= «label» %> in old templates
    {% if stock %} shows the «thing», says «booknoun»
    #{«ident»} in Ruby, {«ident»} in Python, $«ident» in PHP: «booknoun»
    The invoice shows {0} of {1} instead of «n» of «n»
    $${amount} USD? I paid $«n».«n»
    %(«ident»)s is missing in the German translation
    7*7 is 49, {{7}} is not; «person»
    {«n»} x {«n»} cm, or {{«n»}}?
    ${user} and #{item} are left in the «place» newsletter
logging
    Does our «thing» use log4j? We read about jndi and LDAP lookups in the news
    the advisory says to remove JndiLookup.class; is «label» «n».«n» affected?
    log4j:WARN No appenders could be found for logger (com.«label»)
    ${java.version} prints «n», env var PATH is empty on «place» PC
    lookup ldap user «person» in «label» took «n» s
xml_json
    <!DOCTYPE html> is the first line in «booknoun»
    The ENTITY tag in XML «verdict»
    &nbsp; and &amp; show up in my «thing» review
    {"size": «n», "colour": "red"} is what the label scanner prints
    price: {$gt} «n»? no idea, says «person»
    $ne is the abbreviation of Nebraska? I found it in «booknoun»
    the SYSTEM file of the «thing» is «n» MB
    db.«table».find({age: {$gt: «n»}}) is the example in «booknoun»
    <?php echo "hi"; ?> printed on the page of «domain»
    <?xml version="1.0"?> appears above my «thing» list
punctuation
    «thing» -- "new" -- «n»% off; or best offer
    «n»/«n»/«int:2020-2026» - «thing» #«n»; (x2)
    «thing» (black/white) & 'extras' *** «n» EUR
    Q: «thing»? A: «n»; B: «n»; C: all of the above --
    !!! «thing» ??? ;-) :'( <:o)
    a;b;c, «n»|«n»|«n» || nothing
    C++ && C# || «lang»
    100% wool, "as new", size='«n»'
    «n»" x «n»" #«thing» @ «n» USD ea.; incl. s&h
    "«thing»" -«label» +«label» OR "«thing» «n»"
    /* no comment */ -- «person»
    «thing»;«thing»;«n»,«n»;'«label»'
    # «thing» # «n» #
    ~*~ «person»'s «thing» ~*~
headers
    Subject: «thing»«cr»«nl»To: «person»«cr»«nl»«cr»«nl»Dear team, it «verdict»
    Location: «place»«nl»Set-up: «n» minutes«nl»Cookie: chocolate
    first line«cr»«nl»second line: «thing»«cr»«nl»third
    Bcc: nobody reads this, «person»
    Content-Type is wrong in the mail from «domain»
    «person»«nl»«n» «label» Road«nl»«label»
code
    () { return «n»; } is how a function looks in «booknoun»
    for i in range(«n»): print(i) loops «n» times, «booknoun»
    x = a ? b : c; // «person» asks why
    import os; the «booknoun» never says what os.system is for
    require('fs') fails in the browser, see «booknoun»
    def «label»(self, «ident»): return None
    public static void main(String[] args) -- «person» types this by heart
    System.out.println("«thing»"); prints twice
    SELECT case: in VB; switch: in «lang». «booknoun» «verdict»
    const «label» = () => fetch('/api/«label»');
    print("hello") vs echo "hello": «booknoun» «verdict»
    base64 of "«thing»" is what? «booknoun»
    char(«n») and chr(«n») differ, says «booknoun»
    the regex ^[a-z]+«n»$ matches «label»«n»
    window.location changed to https://«domain» after the update
    sleep(«n»); exec(); fork(): «booknoun»
"""
)


_VALUES: Final[Mapping[str, Rule]] = rules(
    r"""
filename
    «person»'s «thing» (final).pdf
    report..«int:2019-2026».docx
    select_from_«label».sql.txt
    «label»--«n».tar.gz
    invoice & receipt «n».pdf
    <«label»>.txt
    etc_passwd_explained.pdf
    cmd.exe properties.png
    C:\fakepath\«label».jpg
    passwd.docx
    script.«label».js
    «label».php.pdf
    drop_table_«n».jpg
    «irish» CV.docx
    #«n» «thing»;v2.png
    web.config.example.txt
    shell«n».jpg
    ..«label».txt
    ~$«label».xlsx
    union rules «n».pdf
    id_rsa howto.pdf
    «thing» 50% off!.png
name
    «irish»
    «person» «irish»
    «person» '«label»' «irish»
    «irish» & «irish»
    Null
    «person» Union
    Select «Surname»
    «person» Drop
    «person» O''Dell
    van 't «Surname»
    «person» Or
    «irish»-«Surname»
    Script «Surname»
    «person» "Ace" «Surname»
url:
    https://«domain»/127.0.0.1-explained https://«domain»/wiki/Localhost
    https://«domain»/select?from=«label»&where=«label» https://«domain»/«label»/../«label» http://«domain»/?q=<3
    https://«domain»/r?u=https%3A%2F%2F«domain»%2F«label» https://«domain»/wiki/Cross-site_scripting
    https://«domain»/docs/etc/passwd https://user@«domain»/ https://«domain»/a'«label»
    https://«domain»/SQL_injection#union
password:
    '«alnum:8»-- "or«alnum:6»" «alnum:4»';«digits:3» <«alnum:7»> $(«alnum:5») {{«alnum:6»}} «alnum:3»&&«alnum:4»|
    ../«alnum:6»! %27«alnum:5» `«alnum:6»`
"""
)

_GRAMMAR: Final = Grammar(
    {
        **NETWORK,
        **_WORDS,
        **_FAMILIES,
        "start": [f"«{family}»" for family in _FAMILIES],
        **_VALUES,
        "long": [
            f"«{family}». «{other}»"
            for family in _FAMILIES
            for other in ("punctuation", "sql_lesson", "apostrophe", "markup")
        ],
    }
)
_BY_KIND: Final = {"filename": "filename", "name": "name", "last": "name", "url": "url", "password": "password"}
_SINGLE_LINE: Final = frozenset({"text", "title", "product"})


def suspicious_text(rng: Random) -> str:
    """Harmless text that looks suspicious, as visitors type it into searches, reviews, tickets and forms."""
    return _GRAMMAR.generate(rng, "long" if rng.random() < 0.25 else "start")


def suspicious_value(kind: str, rng: Random) -> str:
    """Harmless but suspicious text fit for a field of this kind (file names, names, URLs, passwords, free text)."""
    rule = _BY_KIND.get(kind)
    text = _GRAMMAR.generate(rng, rule) if rule else suspicious_text(rng)
    return " ".join(text.splitlines()) if kind in _SINGLE_LINE else text
