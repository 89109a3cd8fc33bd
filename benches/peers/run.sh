#!/usr/bin/env bash
# wgtorch beside other libraries, in one run and one table of medians, then of ratios:
#   benches/peers/run.sh OUT.jsonl [workload-substring ...]
# The others' programs are not part of this repository. PEERS_HOME is a folder with a run.sh that builds them, runs them and
# $PRODUCT_BENCH in turn and writes their JSON lines to OUT.jsonl (default: shared/peers beside the repository); its options hold here too
# (PEERS, ROUNDS, PEER_BUDGET_S …). Without one, what is timed is wgtorch alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
ours() { # workloads: on the CPU, then on the first GPU adapter
  WGTORCH_DEVICE=cpu "$root/target/release/examples/peer" "$@"
  WGTORCH_DEVICE=gpu "$root/target/release/examples/peer" "$@"
}
if [ "${1:-}" = --ours ]; then
  shift
  ours "$@"
  exit
fi
out=${1:?usage: benches/peers/run.sh OUT.jsonl [workload-substring ...]}
shift
# as users build it: the bench profile, and not by parts as incremental builds are
CARGO_INCREMENTAL=0 cargo build --profile bench --manifest-path "$root/Cargo.toml" --example peer
home=${PEERS_HOME:-$root/../shared/peers}
if [ -x "$home/run.sh" ]; then
  PRODUCT_BENCH="bash $here/run.sh --ours" bash "$home/run.sh" "$out" "$@" >&2
else
  echo "no run.sh in $home: timing wgtorch alone" >&2
  ours "$@" >"$out"
fi
python3 "$here/table.py" "$out"
