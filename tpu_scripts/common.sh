# shellcheck shell=bash
# What the scripts of this folder share. A script defines `usage`, then calls `read_arguments "$@"`.
# Messages go to stderr; stdout has the commands of a dry run and what the commands themselves print.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # used by some scripts
root=$(dirname "$here")
config=$here/config.sh
dry_run=
rest=()
exec 3>&1 # stdout, also from within $(…)

# shellcheck disable=SC2034  # used by the scripts' help
common_options="  --config FILE   settings that differ from tpu_scripts/config.sh
  --dry-run       print every command instead of running it
  --help          print this"

say() { printf '%s\n' "$*" >&2; }

fail() { # fail MESSAGE [STATUS]
    say "${0##*/}: $1"
    exit "${2:-2}"
}

# Sets dry_run and config, reads the settings and leaves the script's own arguments in `rest`.
read_arguments() {
    while (($#)); do
        case $1 in
            --help | -h)
                usage
                exit 0
                ;;
            --dry-run) dry_run=yes ;;
            --config)
                (($# > 1)) || fail "--config needs a file"
                config=$2
                shift
                ;;
            --config=*) config=${1#*=} ;;
            *) rest+=("$1") ;;
        esac
        shift
    done
    [[ $config == */* ]] || config=./$config # `source` would search the PATH
    [[ -r $config ]] || fail "cannot read the settings: $config"
    # shellcheck source=tpu_scripts/config.sh
    source "$here/config.sh"
    # shellcheck source=tpu_scripts/config.sh
    source "$config"
}

no_more_arguments() {
    ((${#rest[@]} == 0)) || fail "unexpected argument: ${rest[0]} (see --help)"
}

need() { # need VARIABLE…
    local name
    for name; do
        [[ -n ${!name:-} ]] || fail "$name is empty; set it in $config"
    done
}

# The words as one line that a shell reads as the same words.
quoted() {
    local line
    printf -v line '%q ' "$@"
    printf '%s\n' "${line% }"
}

run() {
    if [[ $dry_run ]]; then
        quoted "$@" >&3
    else
        say "+ $(quoted "$@")"
        "$@" 3>&- # nothing that stays in the background keeps our stdout open
    fi
}

# ask ASSUMED COMMAND…: what the command answers; a dry run assumes the answer.
ask() {
    local assumed=$1
    shift
    run "$@" || return # in $(…), `set -e` does not hold
    if [[ $dry_run ]]; then printf '%s\n' "$assumed"; fi
}

# Sets train_command: the program, from the virtual environment $1, and its arguments; $2… come last but
# for TRAIN_ARGUMENTS. The same words start a run and resume it.
set_train_command() {
    need EXPERIMENT RUN_DIR
    train_command=("$1/bin/earth-embed" train "$EXPERIMENT" --run-dir "$RUN_DIR")
    if [[ $DATA_DIR ]]; then train_command+=(--data-dir "$DATA_DIR"); fi
    train_command+=("${@:2}" "${TRAIN_ARGUMENTS[@]}")
}

# -- Cloud TPU ---------------------------------------------------------------------------------------

# Checks the settings that every TPU script needs and sets `where`, gcloud's flags that say whose TPUs.
read_tpu_settings() {
    need PROJECT ZONE NAME
    [[ $NAME =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
        fail "NAME must be of lower-case letters, digits and inner hyphens, not $NAME; set it in $config"
    [[ $SLICES =~ ^[1-9][0-9]*$ ]] || fail "SLICES must be a positive number, not $SLICES; set it in $config"
    [[ $SPOT == true || $SPOT == false ]] || fail "SPOT must be true or false, not $SPOT; set it in $config"
    # scp may hand the path to a shell, and another working directory to each host.
    [[ -z $RUN_DIR || $RUN_DIR =~ ^/[A-Za-z0-9._/-]+$ ]] ||
        fail "RUN_DIR must be absolute and plain for a pod, not $RUN_DIR; set it in $config"
    [[ -z $BUCKET || $RUN_DIR == "$MOUNT"/* ]] || fail "RUN_DIR must be below MOUNT, $MOUNT; set it in $config"
    where=("--project=$PROJECT" "--zone=$ZONE")
}

# The name of slice $1's node.
node() { if ((SLICES > 1)); then printf '%s-%s' "$NAME" "$1"; else printf '%s' "$NAME"; fi; }

wait_until_active() {
    local state
    while :; do
        state=$(ask ACTIVE gcloud compute tpus queued-resources describe "$NAME" \
            "--format=value(state.state)" "${where[@]}")
        case $state in
            ACTIVE) return ;;
            FAILED | SUSPENDING | SUSPENDED | DELETING) fail "$NAME is $state; resume recreates it" 1 ;;
        esac
        say "$NAME is $state; asking again in $POLL_SECONDS s. Ctrl-C ends the waiting, not the request"
        sleep "$POLL_SECONDS"
    done
}

delete_queued_resource() {
    run gcloud compute tpus queued-resources delete "$NAME" --force --quiet "${where[@]}"
}
