#!/usr/bin/env bash
# Brings this machine to what builds, tests and benchmarks need. What is there
# is left as it is; when all is there it takes a second. Made for a bare Debian
# 12 as root; elsewhere it says what is missing.
#
# usage: host.sh [deps | engine | bench | torch]
#   deps    Debian packages only
#   engine  and a running container engine
#   (none)  and the images of nodes, Python, monitoring and the samples
#   bench   and the image of the benchmark's peer
#   torch   and, with bench's, an image that holds PyTorch (2 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(
  docker.io iptables                         # the engine
  debootstrap                                # images where no registry answers
  gcc libc6-dev libseccomp-dev pkg-config    # runc, ai-gpu, the NVML library
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross # the last two for arm64
  git jq rsync procps ca-certificates        # scripts and the benchmark's peer
  chromium                                   # the dashboard's test
  bash-completion zsh fish                   # the test of completion
)
clamp=/usr/local/bin/runc-clamped
daemon_json=/etc/docker/daemon.json
log=/var/log/dockerd.log

say() { printf 'host: %s\n' "$*" >&2; }
die() { say "$*"; exit 3; }
must_be_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: sudo --preserve-env=HOME,PATH make host"; }

# ---- packages

# present PACKAGE: Docker's own packages do for Debian's.
present() {
  case $1 in
  docker.io) command -v docker >/dev/null && { command -v dockerd >/dev/null || docker info >/dev/null 2>&1; } ;;
  *) [[ $installed == *" $1 "* ]] ;;
  esac
}

deps() {
  command -v go >/dev/null || die "no go on the PATH: https://go.dev/dl"
  command -v dpkg-query >/dev/null || { say "no Debian; these are yours to install: ${packages[*]}"; return; }
  local installed missing=() p
  installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package} ' "${packages[@]}" 2>/dev/null | sed 's/not-installed [^ ]* //g; s/config-files [^ ]* //g' || true) "
  for p in "${packages[@]}"; do present "$p" || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return
  must_be_root "installing ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # Debian starts a service that it installs, unless a policy forbids it. The
  # engine is started below, when it is configured.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# ---- engine

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

# may_raise_limits: CAP_SYS_RESOURCE, number 24, is in the bounding set.
may_raise_limits() {
  local set
  set=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  (((16#$set >> 24 & 1) == 1))
}

# Where that capability is missing, runc refuses every privileged container,
# and kind's nodes are that. A wrapper lowers what they ask for.
clamp_runc() {
  may_raise_limits && return
  local current
  say "no CAP_SYS_RESOURCE here: runc goes through $clamp"
  CGO_ENABLED=0 go build -o "$clamp.new" ./test/host/runc-clamped
  mv "$clamp.new" "$clamp"
  mkdir -p "$(dirname $daemon_json)"
  [ -s $daemon_json ] || echo '{}' >$daemon_json
  current=$(jq -r '."default-runtime" // ""' $daemon_json) || die "$daemon_json is no JSON; left as it is"
  case $current in
  '' | runc | clamped) ;;
  *) die "$daemon_json has the default runtime \"$current\", which is left as it is; remove it, or make it lower what this machine cannot grant" ;;
  esac
  jq --arg path $clamp '. * {"default-runtime": "clamped", "runtimes": {"clamped": {"path": $path}}}' $daemon_json >$daemon_json.new
  mv $daemon_json.new $daemon_json
}

# living: names a process that has not ended; a dead one whose parent does not
# care stays in the table.
living() { ps -o stat= "$@" 2>/dev/null | awk '!/^Z/ {found = 1} END {exit !found}'; }
# runs PROGRAM
runs() { living -C "$1"; }
# owned FILE PROGRAM: the process that a pid file names is that program's. On
# a machine that was switched off the number may be another's by now.
owned() {
  local pid
  pid=$(tr -dc 0-9 <"$1")
  [ -n "$pid" ] && living -p "$pid" && [ "$(ps -o comm= -p "$pid")" = "$2" ]
}

# An engine that was killed leaves files for which a new one waits, or gives up.
clear_leftovers() {
  local file
  for file in /run/docker.pid:dockerd /run/docker/containerd/containerd.pid:containerd; do
    if [ -e "${file%:*}" ] && ! owned "${file%:*}" "${file#*:}"; then
      say "removing ${file%:*}, left by an engine that is gone"
      rm -f "${file%:*}"
    fi
  done
  if ! runs containerd; then
    rm -f /run/containerd/containerd.sock /run/docker/containerd/containerd.sock
  fi
}

start_engine() {
  must_be_root "starting the engine"
  command -v dockerd >/dev/null || die "no dockerd on this machine, and: $(docker info 2>&1 | tail -n 1)"
  clamp_runc
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  elif ! runs dockerd; then
    clear_leftovers
    say "starting dockerd, which logs to $log"
    setsid dockerd >"$log" 2>&1 </dev/null &
  fi
  local until=$((SECONDS + 60))
  until engine_answers; do
    if [ $SECONDS -gt $until ]; then
      [ -e "$log" ] && tail -n 5 "$log" >&2
      die "the engine does not answer after 60 s"
    fi
    sleep 0.2
  done
}

# kind's nodes watch many files; most machines allow too few watchers for more
# than two of them.
raise_watchers() {
  local key=/proc/sys/fs/inotify/max_user_instances
  if [ -w $key ] && [ "$(cat $key)" -lt 1024 ]; then
    echo 1024 >$key || say "could not raise fs.inotify.max_user_instances"
  fi
}

engine() {
  engine_answers || start_engine
  raise_watchers
}

# ---- images

images() { go run ./test/host/images "$@"; }

case ${1:-all} in
deps) deps ;;
engine) deps; engine ;;
all) deps; engine; images node python prometheus metrics-server samples ;;
bench) deps; engine; images node python prometheus metrics-server samples bench ;;
torch) deps; engine; images node python prometheus metrics-server samples bench torch ;;
*) sed -n '5,11s/^# //p' "$0" >&2; exit 2 ;;
esac
