# shellcheck shell=sh
# Functions that find or install what the tests need. To be sourced by POSIX
# shells and bash.

# install_packages installs packages with the machine's package manager, or says
# why it cannot and returns 1. The names differ between systems:
#
#	install_packages WHAT APT DNF APK PACMAN ZYPPER BREW
#
# Each argument after WHAT is the list of packages for one manager, separated by
# spaces.
install_packages() (
	what=$1
	for manager in apt-get dnf apk pacman zypper brew; do
		shift
		command -v "$manager" >/dev/null 2>&1 && break
		manager=
	done
	if [ -z "$manager" ]; then
		echo "cannot install $what: none of apt-get, dnf, apk, pacman, zypper and brew is on this machine" >&2
		return 1
	fi
	# shellcheck disable=SC2086 # A list of packages: it has to be split.
	set -- $1

	as_root=
	if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null 2>&1; then
			echo "cannot install $what: neither root nor sudo; as root, install: $*" >&2
			return 1
		fi
		as_root=sudo
	fi

	echo "installing $what with $manager: $*" >&2
	# What package managers say is of interest only when they fail, and nobody
	# answers their questions.
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	{
		case $manager in
		apt-get)
			$as_root apt-get -qq update &&
				$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
			;;
		dnf) $as_root dnf install -y -q "$@" ;;
		apk) $as_root apk add --quiet "$@" ;;
		pacman) $as_root pacman -Sy --noconfirm --needed "$@" ;;
		zypper) $as_root zypper --non-interactive --quiet install "$@" ;;
		brew) brew install --quiet "$@" ;;
		esac
	} </dev/null >"$log" 2>&1 || {
		cat "$log" >&2
		echo "cannot install $what: $manager failed" >&2
		return 1
	}
)

# find_postgres prints the directory of PostgreSQL's server programs, in the
# order and the places of Find in internal/pgcluster. It returns 1 if there is
# none.
find_postgres() (
	if [ -n "${POSTGRES_BIN:-}" ]; then
		has_postgres "$POSTGRES_BIN" && echo "$POSTGRES_BIN"
		return
	fi
	if postgres=$(command -v postgres); then
		dir=$(dirname "$postgres")
		has_postgres "$dir" && echo "$dir" && return
	fi
	# Newest version first: the number is the first in a path.
	for dir in \
		/usr/lib/postgresql/*/bin \
		/usr/lib/postgresql*/bin \
		/usr/pgsql-*/bin \
		/usr/libexec/postgresql* \
		/usr/local/pgsql/bin \
		/opt/homebrew/opt/postgresql*/bin \
		/usr/local/opt/postgresql*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql*/bin; do
		has_postgres "$dir" || continue
		printf '%s %s\n' "$(printf '%s' "$dir" | sed 's/[^0-9]*\([0-9.]*\).*/\1/')" "$dir"
	done | sort -rn | sed 's/^[^ ]* //; q' | grep .
)

has_postgres() {
	[ -x "$1/initdb" ] && [ -x "$1/postgres" ]
}

# require_postgres sets POSTGRES_BIN to the directory of PostgreSQL's server
# programs and exports it, after installing them if there are none.
require_postgres() {
	if ! postgres_dir=$(find_postgres); then
		if [ -n "${POSTGRES_BIN:-}" ]; then
			echo "POSTGRES_BIN=$POSTGRES_BIN holds no initdb and postgres" >&2
			return 1
		fi
		install_packages "the PostgreSQL server" \
			postgresql postgresql-server postgresql postgresql postgresql-server postgresql || return
		if ! postgres_dir=$(find_postgres); then
			echo "the PostgreSQL server is installed, but initdb and postgres are in none of the usual places;" \
				"set POSTGRES_BIN to their directory" >&2
			return 1
		fi
	fi
	POSTGRES_BIN=$postgres_dir
	export POSTGRES_BIN
}

# require_pgbouncer makes pgbouncer available, through which servers are tested, installing it
# if need be.
require_pgbouncer() {
	if command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ]; then
		return
	fi
	install_packages pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer
}

# require_curl makes curl available, with which the documentation's commands are
# run, installing it if need be.
require_curl() {
	command -v curl >/dev/null 2>&1 || install_packages curl curl curl curl curl curl curl
}

# require_python makes Python available, in which docs/verify_bundle.py is written,
# installing it if need be.
require_python() {
	command -v python3 >/dev/null 2>&1 || install_packages Python python3 python3 python3 python python3 python3
}

# require_browser makes a Chromium available, in which pages are looked at,
# installing it if need be.
require_browser() {
	for browser in chromium chromium-browser google-chrome google-chrome-stable headless_shell; do
		command -v "$browser" >/dev/null 2>&1 && return
	done
	[ -d "/Applications/Google Chrome.app" ] && return
	install_packages "a browser" chromium chromium chromium chromium chromium chromium
}

# require_k6 sets K6 to k6 in the version that load/k6.mod names and exports it, after
# building it if it is not on PATH. It is to be called in the repository's root.
require_k6() {
	k6_version=$(go list -modfile=load/k6.mod -m -f '{{.Version}}' go.k6.io/k6/v2) || return
	if K6=$(command -v k6) && "$K6" version | grep -qF " $k6_version "; then
		export K6
		return
	fi
	K6=${XDG_CACHE_HOME:-$HOME/.cache}/escrowgrid/k6-$k6_version
	export K6
	if [ ! -x "$K6" ]; then
		echo "building k6 $k6_version, which takes some minutes, this once: $K6" >&2
	fi
	# Go builds nothing where the file is what it would build.
	go build -modfile=load/k6.mod -o "$K6" go.k6.io/k6/v2
}

# require_prometheus makes Prometheus and promtool available, of which the one is in the
# other's package, installing them if need be.
require_prometheus() {
	if command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; then
		return
	fi
	install_packages Prometheus prometheus prometheus prometheus prometheus golang-github-prometheus-prometheus prometheus || return
	command -v prometheus >/dev/null 2>&1 || {
		echo "Prometheus is installed, but prometheus is not on PATH" >&2
		return 1
	}
}

# require_node makes node and npm available, installing them if need be.
require_node() {
	if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
		return
	fi
	install_packages Node.js "nodejs npm" "nodejs npm" "nodejs npm" "nodejs npm" "nodejs npm" node || return
	command -v npm >/dev/null 2>&1 || {
		echo "Node.js is installed, but npm is not on PATH" >&2
		return 1
	}
}

# require_haproxy makes HAProxy available, whose configuration is tested, installing it if
# need be.
require_haproxy() {
	command -v haproxy >/dev/null 2>&1 || install_packages HAProxy haproxy haproxy haproxy haproxy haproxy haproxy
}

# require_patroni makes Patroni available, which fails PostgreSQL over, and etcd, in which its
# nodes agree, installing them if need be.
require_patroni() {
	if command -v patroni >/dev/null 2>&1 && command -v etcd >/dev/null 2>&1; then
		return
	fi
	install_packages "Patroni and etcd" "patroni python3-etcd etcd-server" "patroni patroni-etcd etcd" "patroni etcd" \
		"patroni etcd" "patroni etcd" "patroni etcd"
}

# require_cc makes the C compiler available that the race detector links with,
# installing it if need be.
require_cc() {
	cc=$(go env CC)
	if command -v "${cc%% *}" >/dev/null 2>&1; then # It may have arguments.
		return
	fi
	install_packages "a C compiler" \
		"gcc libc6-dev" "gcc glibc-devel" "gcc musl-dev" gcc "gcc glibc-devel" gcc
}
