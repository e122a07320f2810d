#!/bin/sh
# What is found in many a wiki: swap the package, stop, wait a second, start.
# $1: the MPM that leaves, $2: the one that comes, $3: a file with dnf's words, $4: httpd's words.
set -e
dnf=$(cat "$3")
httpd=$(cat "$4")
$dnf -y swap "ea-apache24-mod_mpm_$1" "ea-apache24-mod_mpm_$2" --allowerasing
$httpd -k stop
sleep 1
$httpd -k start
