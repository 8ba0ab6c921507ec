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

run() { # PROTOCOL IMAGES: options are the same for all, and encodings and fits are shared
    skycue benchmark "$1" \
        --data "resisc12=$data/resisc12" --data "rsscn7=$data/rsscn7" \
        --data "ucm=$data/ucm" --data "rsicd=$data/rsicd" \
        --methods all --shots 16 --seeds 1,2,3 --backbone mini --jobs "$jobs" \
        --config configs/benchmark_family.yaml --set common_budget.images="$2" \
        --set cache="$runs/encodings" --set fits="$runs/fits" -o "$runs/$1"
}

run base-to-new 768
run cross-dataset 768
run few-shot 768     # trains what cross-dataset trained, and does it once
run domain-shift 256 # 48 trainings a method, of about a third of the images of the others
python -m docs.family "$runs"
