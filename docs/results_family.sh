#!/bin/sh
# Make the runs behind docs/comparison.md: all methods on four real sets with `mini`, three seeds,
# under the common budget of configs/benchmark_family.yaml.
#   sh docs/results_family.sh DATA RUNS [JOBS]     (DATA holds rsicd, ucm, resisc12 and rsscn7)
# Run again after a kill, or beside a run that is under way: what is finished is not repeated.
set -eu
data=${1:?the folder that holds rsicd, ucm, resisc12 and rsscn7}
runs=${2:?a folder for the runs}
jobs=${3:-2}
export OPENBLAS_NUM_THREADS=1 # of the linear probe; `--jobs` divides the threads of torch

prompts=coop,kgcoop,prograd,cocoop,bimors,vpt,maple,promptsrc,applenet,stylip
adapters=tip-adapter,tip-adapter-f,clip-adapter

bench() { # PROTOCOL METHODS FOLDER OPTIONS...: one place of encodings and of fits for all
    protocol=$1 methods=$2 folder=$3
    shift 3
    skycue benchmark "$protocol" --methods "$methods" "$@" --shots 16 --seeds 1,2,3 \
        --backbone mini --jobs "$jobs" --set cache="$runs/encodings" --set fits="$runs/fits" \
        -o "$runs/$folder"
}

run() { # PROTOCOL METHODS IMAGES: under the budget, on all four sets
    bench "$1" "$2" "$1" \
        --data "resisc12=$data/resisc12" --data "rsscn7=$data/rsscn7" \
        --data "ucm=$data/ucm" --data "rsicd=$data/rsicd" \
        --config configs/benchmark_family.yaml --set common_budget.images="$3"
}

run base-to-new all 768
# C-SAW takes fifty seconds a training where the others take five: it stands in the first run alone.
run cross-dataset "$adapters,$prompts,regional" 768
run few-shot "$adapters,$prompts,regional" 768 # trains what cross-dataset trained, and does it once
# As published but for the random crops, on the sets that `mini` has not seen.
bench base-to-new "$adapters,$prompts" published \
    --data "resisc12=$data/resisc12" --data "rsscn7=$data/rsscn7"
run domain-shift "$adapters,$prompts,regional" 256 # 48 trainings a method, of a third of the images
python -m docs.family "$runs"
