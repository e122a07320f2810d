#!/bin/sh
# There and back with curl alone, without api.version: HOST PORT TOKEN SERVER MPM...
# A failure must be seen as one by a client that reads API 0's keys.
set -eu
panel=http://$1:$2/json-api; auth="Authorization: WHM root:$3"; server=$4; shift 4
ask() { function=$1; shift; curl -sS -G -H "$auth" "$panel/$function" -d "server=$server" "$@"; }
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

ask version | grep -q '"version"'
ask suspendacct -d user=jane | grep -q '"status": *0'
for mpm in "$@"; do
  case $mpm in prefork) cgi=cgi ;; *) cgi=cgid ;; esac
  case $mpm in prefork) old=event; old_cgi=cgid ;; *) old=prefork; old_cgi=cgi ;; esac
  name=ea-apache24-mod_
  answer=$(ask package_manager_submit_actions -d "install=${name}mpm_$mpm" -d "install=$name$cgi" \
    -d "uninstall=${name}mpm_$old" -d "uninstall=$name$old_cgi")
  build=$(printf '%s' "$answer" | field build)
  [ -n "$build" ] || { printf '%s\n' "$answer" >&2; exit 1; }
  while [ "$(ask package_manager_is_performing_actions -d "build=$build" | field active)" = 1 ]; do
    sleep 0.2
  done
  lines=$(ask package_manager_get_build_log -d "build=$build" -d offset=0 | tr ',' '\n' | wc -l)
  done=false
  ask ea4_get_currently_installed_packages | grep -q "${name}mpm_$mpm\"" && done=true
  printf '{"client": "curl", "mpm": "%s", "build": %s, "lines": %s, "done": %s}\n' \
    "$mpm" "$build" "$lines" "$done"
done
