"""The sites of the lab's httpd, and their configuration.

The shape is that of a generated EasyApache 4 configuration: one httpd.conf for every MPM, with the
directives of each module inside ``<IfModule>``, cPanel's limits, and virtual hosts that each run as
their own account where a module for that is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATUS_PATH = "/whm-server-status"
ACCOUNT_ID = 2001
"""User and group id of the account that owns the script sites. The machine needs no such
account: httpd takes numbers."""


@dataclass(frozen=True, slots=True)
class Site:
    """One URL of the lab and its expected answer."""

    host: str
    path: str
    kind: str
    tls: bool = False
    status: int = 200


@dataclass(frozen=True, slots=True)
class Ports:
    http: int
    https: int


SITES = (
    Site("static.lab.test", "/", "static"),
    Site("cgi.lab.test", "/cgi-bin/who.cgi", "cgi"),
    Site("php.lab.test", "/index.php", "php"),
    Site("old.lab.test", "/", "redirect", status=301),
    Site("secure.lab.test", "/", "tls", tls=True),
)


def httpd_conf(
    root: Path, ports: Ports, user: str, group: str, php_cgi: bool, accounts: bool
) -> str:
    """The whole of conf/httpd.conf.

    ``php_cgi``: PHP pages may fall back to php-cgi when no PHP module is loaded.
    ``accounts``: name an account per virtual host, which needs a server started by root.
    """
    www = root / "var/www"
    php = _PHP_CGI if php_cgi else ""
    account = _ACCOUNT.format(id=ACCOUNT_ID) if accounts else ""
    return _MAIN.format(
        server_root=root / "etc/apache2",
        runtime=root / "run/apache2",
        logs=root / "var/log/apache2",
        root=root,
        scripts=root / "usr/local/cpanel/cgi-sys",
        www=www,
        http=ports.http,
        https=ports.https,
        user=user,
        group=group,
        status=STATUS_PATH,
        php=php,
        account=account,
    )


def write_content(root: Path, php_cgi: Path | None) -> None:
    """The pages and scripts of the sites, and the runtime folder of cPanel's CGI programs."""
    _write(root / "var/www/html/index.html", "<h1>The lab's default page</h1>\n")
    _write(root / "var/www/static/index.html", "<h1>A page that never changes</h1>\n")
    with _write(root / "var/www/static/large.bin", "").open("r+b") as large:
        large.truncate(40 * 1024 * 1024)  # sparse: costs no disk, takes a moment to download
    _write(root / "var/www/secure/index.html", "<h1>A page behind TLS</h1>\n")
    _write(root / "var/www/cgi-bin/who.cgi", _WHO, 0o755)
    _write(root / "var/www/cgi-bin/slow.cgi", _SLOW, 0o755)
    _write(root / "usr/local/cpanel/cgi-sys/defaultwebpage.cgi", _DEFAULT_PAGE, 0o755)
    _write(root / "var/www/php/index.php", _PHP_PAGE)
    if php_cgi is not None:
        wrapper = f'#!/bin/sh\nexec {php_cgi} "$@"\n'
        _write(root / "usr/local/cpanel/cgi-sys/ea-php", wrapper, 0o755)


def _write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


_WHO = """\
#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "script ran"
echo "uid $(id -u)"
echo "server $SERVER_SOFTWARE"
"""

_SLOW = """\
#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "begun"
sleep 2
echo "finished"
"""

_DEFAULT_PAGE = """\
#!/bin/sh
echo "Content-Type: text/html"
echo
echo "<h1>There is no page here yet</h1>"
"""

_PHP_PAGE = """\
<?php
header('Content-Type: text/plain');
echo "php ran\\n";
echo 'through ', php_sapi_name(), "\\n";
echo 'uid ', function_exists('posix_geteuid') ? posix_geteuid() : getmyuid(), "\\n";
"""

_ACCOUNT = """\
    <IfModule suexec_module>
        # suEXEC's wrapper has one document root and one caller compiled in, and they are not
        # the lab's; without the wrapper httpd refuses the directive. -D SUEXEC uses it anyway.
        <IfDefine SUEXEC>
            SuexecUserGroup "#{id}" "#{id}"
        </IfDefine>
    </IfModule>
    <IfModule ruid2_module>
        RMode config
        RUidGid #{id} #{id}
    </IfModule>
    <IfModule mpm_itk_module>
        AssignUserID #{id} #{id}
    </IfModule>
"""

_PHP_CGI = """\
    <IfModule !php_module>
        <IfModule !php7_module>
            AddHandler application/x-httpd-ea-php .php
            Action application/x-httpd-ea-php /cgi-sys/ea-php
        </IfModule>
    </IfModule>
"""

_MAIN = """\
# Written by the lab. Do not edit: scripts/rebuildhttpdconf writes it again.
ServerRoot "{server_root}"
DefaultRuntimeDir "{runtime}"
PidFile "{runtime}/httpd.pid"
Listen 127.0.0.1:{http}
ServerName lab.test
ServerAdmin root@localhost
ServerTokens Full
ServerSignature Off
TraceEnable Off
ExtendedStatus On

Include conf.modules.d/*.conf

<IfModule unixd_module>
    User {user}
    Group {group}
</IfModule>
<IfModule !unixd_module>
    User {user}
    Group {group}
</IfModule>

Timeout 300
KeepAlive On
KeepAliveTimeout 5
MaxKeepAliveRequests 100
StartServers 5
<IfModule mpm_prefork_module>
    MinSpareServers 5
    MaxSpareServers 10
</IfModule>
ServerLimit 256
MaxRequestWorkers 150
MaxConnectionsPerChild 10000

ErrorLog "{logs}/error_log"
LogLevel notice
<IfModule log_config_module>
    LogFormat "%v %h %t \\"%r\\" %>s %b" combined_vhost
    CustomLog "{logs}/access_log" combined_vhost
</IfModule>
TypesConfig conf/mime.types
DirectoryIndex index.php index.html

<Directory "/">
    AllowOverride None
    Require all denied
</Directory>
<Directory "{www}">
    Require all granted
</Directory>

ScriptAlias /cgi-sys "{scripts}/"
<Directory "{scripts}">
    Require all granted
</Directory>

# The default host also answers server-status, to this machine only.
<VirtualHost 127.0.0.1:{http}>
    ServerName lab.test
    DocumentRoot "{www}/html"
    <Location "{status}">
        SetHandler server-status
        Require local
    </Location>
</VirtualHost>

<VirtualHost 127.0.0.1:{http}>
    ServerName static.lab.test
    DocumentRoot "{www}/static"
{account}</VirtualHost>

<VirtualHost 127.0.0.1:{http}>
    ServerName cgi.lab.test
    DocumentRoot "{www}/static"
    ScriptAlias /cgi-bin/ "{www}/cgi-bin/"
{account}</VirtualHost>

<VirtualHost 127.0.0.1:{http}>
    ServerName php.lab.test
    DocumentRoot "{www}/php"
    <IfModule php_module>
        AddHandler application/x-httpd-php .php
    </IfModule>
    <IfModule php7_module>
        AddHandler application/x-httpd-php .php
    </IfModule>
{php}{account}</VirtualHost>

<VirtualHost 127.0.0.1:{http}>
    ServerName old.lab.test
    Redirect permanent / http://static.lab.test/
</VirtualHost>

<IfModule ssl_module>
    Listen 127.0.0.1:{https} https
    SSLSessionCache none
    <VirtualHost 127.0.0.1:{https}>
        ServerName secure.lab.test
        DocumentRoot "{www}/secure"
        SSLEngine on
        SSLCertificateFile "{root}/var/cpanel/ssl/lab.crt"
        SSLCertificateKeyFile "{root}/var/cpanel/ssl/lab.key"
{account}    </VirtualHost>
</IfModule>

IncludeOptional conf.d/*.conf
"""
