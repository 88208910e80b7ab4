# shellcheck shell=bash
# Step 1: the distribution's packages. Installs what is missing with apt, as root or by sudo, or lists it.
# shellcheck disable=SC2034 # each script takes the lists that it needs

build_packages=(build-essential cmake ninja-build pkg-config python3 python3-venv ca-certificates
    libuv1-dev libevent-dev libcurl4-openssl-dev libjansson-dev libyaml-dev libsqlite3-dev libutf8proc-dev libxml2-dev libmd4c-dev
    libssl-dev)
run_packages=(poppler-utils graphviz)
demo_packages=(sqlite3-doc)
test_packages=(libcmocka-dev shellcheck sqlite3-doc)

# The wanted packages that are not installed, one a line.
missing_packages() {
    local package
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true) in
        ii* | hi*) ;;
        *) printf '%s\n' "$package" ;;
        esac
    done
}

# ensure_packages PACKAGE...
ensure_packages() {
    local system missing sudo=()
    system=$(os_field ID)-$(os_field VERSION_ID)
    step "Packages of the system ($(os_field PRETTY_NAME))"
    if ! command -v dpkg-query >/dev/null; then
        note "not a Debian or Ubuntu: nothing is installed here; docs/dependencies.md says what is needed"
        return
    fi
    case $system in
    debian-12 | debian-13 | ubuntu-24.04) ;;
    *) note "tried on Debian 12, Debian 13 and Ubuntu 24.04; here it may work as well" ;;
    esac

    mapfile -t missing < <(missing_packages "$@" | awk '!seen[$0]++')
    if [ ${#missing[@]} -eq 0 ]; then
        note "all installed"
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }; }; then
            sudo=(sudo)
        else
            fail "these packages are missing, and installing them needs root. Install them, then start this again:" \
                "apt-get install --no-install-recommends ${missing[*]}"
        fi
    fi
    need_network "the packages ${missing[*]}"
    note "will install: ${missing[*]}"
    if [ ${#sudo[@]} -gt 0 ]; then
        note "by sudo, which may ask for your password"
        sudo -v || fail "sudo refused; as root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    run_logged apt-update '^(Get|Hit|Fetched).*' "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    run_logged apt-install '^(Get:[0-9]+|Unpacking|Setting up) .*' \
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
}
