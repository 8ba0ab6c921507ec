#!/bin/sh
# Make the runs behind docs/results.md: five protocols on four real sets with `mini`, three seeds.
#   sh docs/results.sh DATA RUNS        (DATA holds rsicd, ucm, resisc12 and rsscn7)
# About 40 minutes on two free cores. Run again after a kill: what is finished is not repeated.
set -eu
data=${1:?the folder that holds rsicd, ucm, resisc12 and rsscn7}
runs=${2:?a folder for the runs}
export OMP_NUM_THREADS=1 # two processes, one core each
rsicd="--data rsicd=$data/rsicd"
ucm="--data ucm=$data/ucm"
resisc12="--data resisc12=$data/resisc12"
rsscn7="--data rsscn7=$data/rsscn7"

run() { # PROTOCOL SHOTS DATA...: options are the same for all, and encodings and fits are shared
    protocol=$1 shots=$2
    shift 2
    skycue benchmark "$protocol" "$@" --methods coop,cocoop,bimors --shots "$shots" \
        --seeds 1,2,3 --backbone mini --config configs/benchmark_mini.yaml \
        --set cache="$runs/encodings" --set fits="$runs/fits" -o "$runs/$protocol"
}

{
    run cross-dataset 16 $resisc12 $rsscn7 $ucm $rsicd
    run few-shot 1,4,16 $resisc12 $rsscn7 $ucm $rsicd
} &
one=$!
{
    run base-to-new 16 $resisc12 $rsscn7 $ucm $rsicd
    run ablation 16 $resisc12 $rsscn7 $ucm
    run domain-shift 16 $rsicd $ucm $resisc12 $rsscn7
} &
two=$!
wait $one
wait $two
# BiMoRS with what the region model says of whole images, beside the phrase bank's captions.
skycue describe "$data/resisc12" "$data/rsscn7" --full-frame -o "$runs/captions.jsonl"
skycue benchmark base-to-new $resisc12 $rsscn7 --methods "bimors,region captions" --shots 16 \
    --seeds 1,2,3 --backbone mini --config configs/benchmark_region_captions.yaml \
    --set "methods.region captions.captions=file:$runs/captions.jsonl" \
    --set cache="$runs/encodings" --set fits="$runs/fits" -o "$runs/region-captions"
python -m docs.results "$runs"
