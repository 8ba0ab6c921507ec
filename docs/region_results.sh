#!/bin/sh
# Make the runs behind the region tables of docs/results.md: nine variants of CLV-Net, three seeds.
#   sh docs/region_results.sh DATA RUNS        (DATA holds vhr10; start it beside `configs`)
# Run again after a kill: what is finished is not repeated.
set -eu
data=${1:?the folder that holds vhr10}
runs=${2:?a folder for the runs}

captions() { # INSTANCES RECORDS
    [ -f "$2" ] || skycue data captions-from-instances "$1" -o "$2"
}
mkdir -p "$runs"
captions "$data/vhr10/instances_val.json" "$runs/vhr10_val.jsonl"
[ -d "$runs/drawn" ] || skycue data render 12 -o "$runs/drawn" --sensors test --seed 100000
captions "$runs/drawn/instances.json" "$runs/drawn/records.jsonl"

run() { # SEEDS: options are the same for all, and what is finished is shared
    skycue benchmark regions --config configs/region_ablation.yaml --data-root "$data" \
        --data vhr10="$runs/vhr10_val.jsonl" --data drawn="$runs/drawn/records.jsonl" \
        --set roots.vhr10="$data/vhr10/images" --set roots.drawn="$runs/drawn/images" \
        --dtype bfloat16 --seeds "$1" -o "$runs/regions"
}

export OMP_NUM_THREADS=1 # three processes, one thread each
pids=
for seed in 1 2 3; do
    run "$seed" &
    pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
run 1,2,3
python -m docs.results "$runs"
