#!/bin/sh
# Sets up .venv for this checkout; make calls it, and it is safe to repeat.
#
#   ./bootstrap.sh run     what `rhcard` needs
#   ./bootstrap.sh test    that, the test tools, and the programs the tests drive
#
# pyscard has no wheel for Linux: it is compiled here, with swig, a C compiler and
# the PC/SC headers. What is missing is installed with apt-get when we are root or
# sudo asks for no password; otherwise one line to run is printed, before anything
# is compiled.
#
#   PYTHON=...         the interpreter to use (3.11 or later)
#   RHCARD_NO_APT=1    never install system packages, only say which are missing

set -eu
cd "$(dirname "$0")"
mode=${1:-run}
case $mode in
    run | test) ;;
    *) echo "usage: ./bootstrap.sh [run|test]" >&2; exit 2 ;;
esac

venv=.venv
venv_python=$venv/bin/python
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin    # pcscd is there, and not on everyone's PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH PIP_USER PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_PREFIX

say() { echo "bootstrap: $*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- is there anything to do? --------------------------------------------------------

python_ok() { # an interpreter we can use, with what only its own supplier can give it
    "$1" - <<'PY' >/dev/null 2>&1
import os, sys, sysconfig
new_enough = sys.version_info >= (3, 11)
from_debian = sys.base_prefix == "/usr"
header = os.path.join(sysconfig.get_config_var("INCLUDEPY") or "", "Python.h")
if not from_debian:
    import ensurepip, venv
    new_enough = new_enough and os.path.exists(header)
sys.exit(not new_enough)
PY
}

venv_version() { # empty if .venv cannot run, or a file of it is gone or cut short
    [ -x $venv/bin/rhcard ] || return 0
    "$venv_python" - 2>/dev/null <<'PY' || true
import sys, smartcard.scard
from importlib.metadata import distributions
for each in distributions():
    for file in each.files or ():
        if file.suffix != ".pyc" and file.size is not None:
            assert file.locate().stat().st_size == file.size, file
print(sys.version)
PY
}

state_key() {
    { pwd; venv_version; cat pyproject.toml bootstrap.sh; } | sha256sum | cut -d' ' -f1
}

up_to_date() {
    [ -n "$(venv_version)" ] || return 1
    key=$(state_key)
    [ "$(cat "$venv/.ready-$mode" 2>/dev/null)" = "$key" ]
}

# --- Debian packages -----------------------------------------------------------------

missing=''
need() { missing="$missing $*"; }

compiles() {
    have cc || have gcc || return 1
    echo '#include <stdlib.h>' | "$(command -v cc || command -v gcc)" -x c -c -o /dev/null - 2>/dev/null
}

find_python() { # sets $python, or asks for the newest one that Debian has here
    python=''
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
    for candidate; do
        if have "$candidate" && python_ok "$candidate"; then
            # not the python of a venv that is active now: it may be ours
            python=$("$candidate" -c 'import sys; print(sys._base_executable)')
            return
        fi
    done
    [ -n "${PYTHON:-}" ] || return 0
    have "$PYTHON" || die "PYTHON=$PYTHON: there is no such program"
    die "PYTHON=$PYTHON is not a Python 3.11 or later with venv and its headers"
}

need_python() {
    if [ -n "$python" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || need "python3$(minor "$python")-venv"
        "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(sysconfig.get_config_var("INCLUDEPY") + "/Python.h"))' ||
            need "python3$(minor "$python")-dev"
        return
    fi
    have apt-get || die "Python 3.11 or later is needed, and none was found"
    if [ -z "$(apt_version python3)" ]; then
        may_install || die "the system's package lists are empty: run \`apt-get update\` as root, then the same command again"
        logged apt update || fail "\`apt-get update\` failed, and the system's package lists are empty"
    fi
    for version in 3 3.14 3.13 3.12 3.11; do
        case $(apt_version "python$version") in
            3.1[1-9]*) need "python$version" "python$version-venv" "python$version-dev"; return ;;
        esac
    done
    die "Python 3.11 or later is needed, and this system's packages have none"
}

minor() { "$1" -c 'import sys; print(f".{sys.version_info.minor}")'; }
apt_version() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p'; }

need_build_tools() {
    have swig || need swig
    compiles || need gcc libc6-dev
    have pkg-config || need pkg-config
    pkg-config --exists libpcsclite 2>/dev/null || need libpcsclite-dev
}

need_test_programs() { # a virtual reader, and outside programs to talk to our card
    have pcscd || need pcscd
    have opensc-tool || need opensc
    have scriptor || need pcsc-tools
    have openssl || need openssl
    have softhsm2-util || need softhsm2
    have pdftotext || need poppler-utils
    have zbarimg || need zbar-tools
    ls /usr/share/fonts/*/noto*/NotoSansCJK-Regular.ttc >/dev/null 2>&1 || need fonts-noto-cjk
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need postgresql
    ls /usr/lib/*/libsoftokn3.so >/dev/null 2>&1 || need libnss3
    ls /usr/lib/pcsc/drivers/serial/libifdvpcd.so* >/dev/null 2>&1 || need vsmartcard-vpcd
    # The client in another language is large: only CI, which may skip no test, must have it.
    [ "${CI:-}" = true ] || return 0
    have node || need nodejs
    have npm || need npm
    have g++ || need g++
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    [ -z "${RHCARD_NO_APT:-}" ] && have apt-get || return 1
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! may_install; then
        sudo_word='sudo '
        as_whom=''
        if [ "$(id -u)" = 0 ] || ! have sudo; then sudo_word='' as_whom=' as root'; fi
        say "these system packages are missing:$missing"
        say "run this line$as_whom, then the same command again:"
        echo "    ${sudo_word}apt-get update && ${sudo_word}apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    say "installing system packages:$missing"
    # shellcheck disable=SC2086  # a list of words on purpose
    logged apt install -y --no-install-recommends $missing && return
    logged apt update || true
    # shellcheck disable=SC2086
    logged apt install -y --no-install-recommends $missing || fail "apt-get could not install:$missing"
}

# --- .venv ---------------------------------------------------------------------------

logged() { "$@" >"$log" 2>&1; }

fail() {
    tail -n 15 "$log" | sed 's/^/    /' >&2
    ! grep -qi "no space left on device" "$log" || die "the disk is full: make room, then run the same command again"
    die "$@"
}

# Three marks in .venv: .place is the folder for which we made it, .incomplete stands from then
# until rhcard is in it, and .ready-MODE says for which pyproject.toml it was last brought up
# to date.

venv_is_ours() {
    [ ! -e $venv ] || [ -e $venv/.place ]
}

venv_is_whole() { # not left half made, not damaged later, not moved here from elsewhere
    [ ! -e $venv/.incomplete ] || return 1
    [ "$(cat $venv/.place 2>/dev/null)" = "$(pwd)" ] || return 1
    [ -n "$(venv_version)" ] && python_ok "$venv_python" && "$venv_python" -m pip --version >/dev/null 2>&1
}

make_venv() {
    venv_is_ours || die "$(pwd)/$venv was not made by this script: move it away, then run the same command again"
    if venv_is_whole; then return; fi
    [ ! -e $venv ] || say "$venv is damaged, half made or of another folder: it is made again"
    rm -rf $venv
    say "making $venv with $("$python" --version)"
    mkdir $venv
    pwd >$venv/.place
    : >$venv/.incomplete
    logged "$python" -m venv $venv || fail "$python could not make $venv"
}

install_rhcard() {
    extras=''
    [ "$mode" = run ] || extras='[test]'
    say "installing rhcard and what it needs (the first time, this takes a minute)"
    if ! logged "$venv_python" -m pip install --quiet --editable ".$extras"; then
        [ -z "$(venv_version)" ] || say "$venv stays as it was; it is not up to date with pyproject.toml"
        fail "pip could not install rhcard; is the package index reachable?"
    fi
    : >$venv/.incomplete
    [ -n "$(venv_version)" ] || die "rhcard was installed, but pyscard does not load"
    rm -f $venv/.incomplete $venv/.ready-*
    key=$(state_key)
    echo "$key" >$venv/.ready-run
    [ "$mode" = run ] || echo "$key" >$venv/.ready-test
}

# --- the test client for node ---------------------------------------------------------

node_client=tests/programs/node

install_node_client() { # where node, npm and a compiler are; without them its test is skipped
    [ "$mode" = test ] && have node && have npm && have g++ || return 0
    key=$({ node --version; cat $node_client/package-lock.json; } | sha256sum | cut -d' ' -f1)
    [ "$(cat $node_client/node_modules/.ready 2>/dev/null)" != "$key" ] || return 0
    say "building the test client for node (the first time, this takes 10 seconds)"
    # The headers that came with node: npm would fetch them again.
    prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
    [ ! -e "$prefix/include/node/node.h" ] || export npm_config_nodedir="$prefix"
    if logged npm --prefix $node_client ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 &&
        logged npm --prefix $node_client rebuild; then
        echo "$key" >$node_client/node_modules/.ready
    elif [ "${CI:-}" = true ]; then
        fail "npm could not build $node_client"
    else
        rm -rf $node_client/node_modules
        say "npm could not build $node_client: the test that uses it is skipped"
    fi
}

# --- the steps -----------------------------------------------------------------------

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

exec 9<pyproject.toml
if have flock; then flock 9; fi    # two makes at once take turns

[ "$mode" = run ] || need_test_programs
if up_to_date; then
    work=''
else
    work=yes
    find_python
    need_python
    need_build_tools
fi

install_missing
if [ -z "$work" ]; then
    install_node_client
    exit 0
fi
[ -n "$python" ] || find_python
[ -n "$python" ] || die "Python 3.11 or later was installed, but does not run"
make_venv
install_rhcard
install_node_client
