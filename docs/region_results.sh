#!/bin/sh
# Make the runs behind the region tables of docs/results.md: nine variants of CLV-Net, three seeds.
#   sh docs/region_results.sh DATA RUNS        (DATA holds vhr10)
# RUNS/mini_region/stages/words must be there, from configs/mini_region.yaml; so run it from the
# folder that holds `configs`, with RUNS=runs. Run again after a kill: what is finished is not
# repeated.
set -eu
data=${1:?the folder that holds vhr10}
runs=${2:?a folder for the runs}
images=$data/vhr10/images
[ -d "$runs/mini_region/stages/words" ] || {
    echo "$runs/mini_region/stages/words is missing: train configs/mini_region.yaml first" >&2
    exit 2
}
captions() { # INSTANCES RECORDS
    [ -f "$2" ] || skycue data captions-from-instances "$1" -o "$2"
}
captions "$data/vhr10/instances_val.json" "$runs/vhr10_val.jsonl"
[ -d "$runs/drawn" ] || skycue data render 30 -o "$runs/drawn" --sensors test --seed 100000
captions "$runs/drawn/instances.json" "$runs/drawn/records.jsonl"

run() { # SEEDS: options are the same for all, and what is finished is shared
    skycue benchmark regions --config configs/region_ablation.yaml --data-root "$data" \
        --data vhr10="$runs/vhr10_val.jsonl" --data drawn="$runs/drawn/records.jsonl" \
        --set roots.vhr10="$images" --set roots.drawn="$runs/drawn/images" \
        --seeds "$1" -o "$runs/regions"
}

OMP_NUM_THREADS=1 run 1 & # two processes, one core each
one=$!
OMP_NUM_THREADS=1 run 2 &
two=$!
wait $one
wait $two
run 1,2,3
python -m docs.results "$runs"
