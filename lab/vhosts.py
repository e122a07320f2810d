"""Virtual hosts as cPanel writes them: every section of its template, whichever modules the
server has."""

from __future__ import annotations

from pathlib import Path

_HOST = """\
<VirtualHost {address}:{port}>
  ServerName {name}
  ServerAlias mail.{name} www.{name}
  DocumentRoot {root}
  ServerAdmin webmaster@{name}
  UseCanonicalName Off
  <IfModule userdir_module>
    <IfModule !mpm_itk.c>
      <IfModule !ruid2_module>
        <IfModule !mod_passenger.c>
          UserDir disabled
          UserDir enabled {user}
        </IfModule>
      </IfModule>
    </IfModule>
  </IfModule>
  <IfModule include_module>
    <Directory "{root}">
      SSILegacyExprParser On
    </Directory>
  </IfModule>
  <IfModule suphp_module>
    suPHP_UserGroup {user} {user}
  </IfModule>
  <IfModule suexec_module>
    <IfModule !mod_ruid2.c>
      SuexecUserGroup {user} {user}
    </IfModule>
  </IfModule>
  <IfModule ruid2_module>
    RMode config
    RUidGid {user} {user}
  </IfModule>
  <IfModule mpm_itk.c>
    AssignUserID {user} {user}
  </IfModule>
{tls}  <IfModule proxy_fcgi_module>
    <FilesMatch \\.(phtml|php[0-9]*)$>
      SetHandler proxy:unix:/opt/cpanel/ea-php82/root/usr/var/run/php-fpm/x.sock|fcgi://{name}/
    </FilesMatch>
  </IfModule>
</VirtualHost>
"""
_TLS = """\
  <IfModule ssl_module>
    SSLEngine on
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
  </IfModule>
"""


def stock_host(
    name: str,
    port: int,
    root: Path,
    *,
    address: str = "127.0.0.1",
    user: str = "games",
    pair: tuple[Path, Path] | None = None,
) -> str:
    """One virtual host; with TLS where a ``pair`` of certificate and key is given. ``user``: an
    account of this machine, with a group of the same name."""
    tls = _TLS.format(certificate=pair[0], key=pair[1]) if pair else ""
    return _HOST.format(name=name, port=port, root=root, address=address, user=user, tls=tls)


def many_hosts(count: int, port: int, root: Path) -> str:
    """So many of them, each with a name of its own."""
    return "".join(stock_host(f"d{number}.example", port, root) for number in range(count))
