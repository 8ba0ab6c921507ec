#!/bin/sh
# Make the runs behind docs/comparison.md: all methods and some variants on four real sets with `mini`,
# three seeds, under the common budget of configs/benchmark_family.yaml, then as published.
#   sh docs/results_family.sh DATA RUNS [JOBS]     (DATA holds rsicd, ucm, resisc12 and rsscn7)
# Run again after a kill, or beside a run that is under way: what is finished is not repeated.
set -eu
data=${1:?the folder that holds rsicd, ucm, resisc12 and rsscn7}
runs=${2:?a folder for the runs}
jobs=${3:-2}
export OPENBLAS_NUM_THREADS=1 # of the linear probe; `--jobs` divides the threads of torch

searched="tip-adapter searched,tip-adapter-f searched" # rows of the configurations
patched="coop patched,stylip patched"
# Those that train on whole images as published within minutes, also with the classes of few-shot.
cheap=tip-adapter,tip-adapter-f,clip-adapter,coop,kgcoop,prograd,cocoop,bimors,vpt,maple,stylip

bench() { # PROTOCOL METHODS FOLDER OPTIONS...: one place of encodings and of fits for all
    protocol=$1 methods=$2 folder=$3
    shift 3
    skycue benchmark "$protocol" --methods "$methods" "$@" --shots 16 --seeds 1,2,3 \
        --backbone mini --jobs "$jobs" --set cache="$runs/encodings" --set fits="$runs/fits" \
        -o "$runs/$folder"
}

run() { # PROTOCOL IMAGES: under the budget, on all four sets
    bench "$1" "all,$searched,$patched" "$1" \
        --data "resisc12=$data/resisc12" --data "rsscn7=$data/rsscn7" \
        --data "ucm=$data/ucm" --data "rsicd=$data/rsicd" \
        --config configs/benchmark_family.yaml --set common_budget.images="$2"
}

published() { # PROTOCOL METHODS FOLDER: but for the random crops, on the sets `mini` has not seen
    bench "$1" "$2" "$3" --data "resisc12=$data/resisc12" --data "rsscn7=$data/rsscn7" \
        --config configs/benchmark_published_whole.yaml
}

run base-to-new 768
run cross-dataset 768
run few-shot 768 # trains what cross-dataset trained, and does it once
published base-to-new "$cheap,promptsrc,applenet,$patched" published
published few-shot "$cheap,$searched,stylip patched" published-few-shot # CoOp starts from noise there
run domain-shift 256 # 48 trainings a row, of a third of the images
python -m docs.family "$runs"
