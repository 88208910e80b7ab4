# shellcheck shell=bash
# The steps that setup, demo and test share, in their order.

# shellcheck source=scripts/lib/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$source_dir/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/python.sh
. "$source_dir/scripts/lib/python.sh"
# shellcheck source=scripts/lib/vec0.sh
. "$source_dir/scripts/lib/vec0.sh"
# shellcheck source=scripts/lib/build.sh
. "$source_dir/scripts/lib/build.sh"
# shellcheck source=scripts/lib/models.sh
. "$source_dir/scripts/lib/models.sh"

# The script's opening comment is its help.
print_help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"; }
wrong_use() {
    printf '%s: %s (--help says more)\n' "${0##*/}" "$1" >&2
    exit 2
}

# set_up yes|no PACKAGE...: everything up to the release build and its models; "no" leaves the packages alone.
set_up() {
    local packages=$1
    shift
    [ "$packages" = no ] || ensure_packages "$@"
    ensure_python
    ensure_vec0
    build_preset release
    ensure_models "${demo_models[@]}"
}
