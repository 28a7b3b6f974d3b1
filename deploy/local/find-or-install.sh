# shellcheck shell=bash
# Finds the tools that the scripts need, and installs with apt-get or Homebrew what is missing. For sourcing.

# Ends the script with one line.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Puts cargo on PATH. A shell that was open before rustup ran does not have it there.
find_cargo() {
    command -v cargo >/dev/null || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs, then run this again"
}

# Installs packages for a tool unless the tool is there: find_or_install TOOL APT_PACKAGES BREW_PACKAGE
find_or_install() {
    # Apple's cc is a stub until the command line tools are there.
    if command -v "$1" >/dev/null && { [ "$1 $(uname)" != "cc Darwin" ] || xcode-select -p >/dev/null 2>&1; }; then
        return
    fi
    install_packages "$1" "$2" "$3"
    command -v "$1" >/dev/null || fail "$1 is still missing after the installation of its package"
}

# Installs packages, with progress on standard error: install_packages WHAT APT_PACKAGES BREW_PACKAGE
install_packages() {
    if [ "$(uname)" = Darwin ] && [ "$1" = cc ]; then
        fail "the C compiler is missing: run xcode-select --install, then run this again"
    elif [ "$(uname)" = Darwin ] && ! command -v brew >/dev/null; then
        fail "$1 is missing, and so is Homebrew to install it with: install $1, then run this again"
    elif [ "$(uname)" = Darwin ]; then
        echo "Installing $1 (brew install $3) ..." >&2
        brew install --quiet "$3" >&2 || fail "brew could not install $3, which is needed for $1"
    elif command -v apt-get >/dev/null && [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        fail "$1 is missing, and there is no sudo to install it with: as root, run apt-get install $2"
    elif command -v apt-get >/dev/null; then
        echo "Installing $1 (apt-get install $2) ..." >&2
        # shellcheck disable=SC2086 # several packages are several words
        { apt_get update && apt_get install --yes --no-install-recommends $2; } ||
            fail "apt-get could not install $2, which is needed for $1"
    else
        fail "$1 is missing, and there is no apt-get to install it with: install $1, then run this again"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

# Runs a command as root, through sudo if that is not who we are.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Finds a Python that is new enough for our scripts, with what makes an environment.
find_python() {
    find_or_install python3 "python3 python3-venv" python3
    local version
    version=$(python3 --version | sed 's/^Python //')
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, and this is $version: see https://www.python.org"
    # Debian has a package of its own for what makes an environment.
    python3 -c 'import ensurepip' 2>/dev/null || install_packages "Python's venv" python3-venv python3
}

# Makes an environment of Python only when what is installed is not what the file asks for, or no longer runs:
# install_python_packages REQUIREMENTS ENVIRONMENT MODULE
install_python_packages() {
    local requirements=$1 environment=$2
    cmp -s "$requirements" "$environment/.installed-requirements" &&
        "$environment/bin/python" -c "import $3" 2>/dev/null && return
    { python3 -m venv --clear "$environment" &&
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --requirement "$requirements"; } >&2 || fail "pip could not install what $requirements asks for"
    cp "$requirements" "$environment/.installed-requirements"
}
