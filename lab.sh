#!/usr/bin/env bash
# Everything that wants a GPU, in one command: `bash lab.sh [MINUTES] [cuda|cpu]`, 25 minutes and cuda by default.
#
# First a minute or two of checks (each system against the CPU, bf16, resuming, memory), then the bench, then training in
# slices. Each step that is done leaves a file in runs/lab and is not repeated; training goes on from its last state. So
# it may be cut off at any moment, and called again: on the same machine, or on another one that was given runs/ back.
# What people keep is copied to $OUT, or to runs/lab/kept: findings, bench files, records, weights in half precision.
set -u
cd "$(dirname "$0")" || exit 1
minutes=${1:-25} device=${2:-cuda}
end=$((SECONDS + 60 * minutes)) place=runs/lab out=${OUT:-runs/lab/kept} failed=0
mkdir -p "$place" "$out"
export PYTHONPATH=$PWD:$PWD/tests REPROLIB_LAB=1
left() { echo $((end - SECONDS - 20)); } # the last seconds belong to copying

keep() {
    cp -f "$place"/*.json "$place"/*.log "$out" 2> /dev/null
    for folder in results/bench results/lab results/indoor; do
        [ -d "$folder" ] && mkdir -p "$out/$folder" && cp -rf "$folder/." "$out/$folder"
    done
    [ -d checkpoints ] && cp -rf --parents checkpoints/*/*/*/*.safetensors checkpoints/*/*/*/log.csv "$out" 2> /dev/null
    # A state, so that the next slice may start on another machine: put $OUT/runs back before calling again.
    find runs -name state.pt -size -60M -exec cp -f --parents {} "$out" \; 2> /dev/null
    return 0
}
trap keep EXIT
trap 'exit 130' INT TERM

step() { # name, seconds at most, command
    local name=$1 most=$2 seconds
    shift 2
    [ -f "$place/$name.done" ] && return 0
    seconds=$(left)
    [ "$seconds" -gt 5 ] || { echo "$name: no time left"; return 0; }
    [ "$most" -lt "$seconds" ] && seconds=$most
    timeout --signal=INT --kill-after=15 "$seconds" "$@" > "$place/$name.log" 2>&1
    case $? in
        0) touch "$place/$name.done"; echo "$name: done" ;;
        124 | 130 | 137) echo "$name: cut off after $seconds s; goes on next time" ;;
        *) failed=1; echo "$name: FAILED"; tail -n 5 "$place/$name.log" ;;
    esac
    keep
}

python=${PYTHON:-python}
command -v "$python" > /dev/null || python=python3
for check in equality memory bf16 resume; do
    step $check 240 "$python" tests/devices/lab.py $check --accelerator "$device" --to "$place"
done
if [ "$device" = cuda ]; then
    step golden 60 "$python" tests/golden/test_golden.py && cp -f tests/golden/cuda.json "$out" 2> /dev/null
    step bench-aecrnet 120 "$python" -m reprolib bench aecrnet --accelerator cuda --against bf16 --json
    step bench-cut 120 "$python" -m reprolib bench cut --accelerator cuda --against bf16 --json
    step prepare 180 bash -c 'for name in haze-{homogeneous,dense,nonhomogeneous} photos-{labels2photo,hazy2clear,animals2things}
        do [ -d data/$name ] || "$0" -m reprolib data prepare $name || exit 1; done
        [ -f weights/vgg16.safetensors ] || "$0" -m reprolib weights fetch vgg16' "$python"
    if "$python" -m reprolib data verify reside-its-like > /dev/null 2>&1; then # full size, the paper's crop and batch
        step indoor 900 "$python" -m reprolib train aecrnet --profile indoor --batch 16 --crop 240 --resume --workers 8
    else
        echo "indoor: reside-its-like is not here (docs/reside.md)"
    fi
    for system in aecrnet cut fastcut aodnet ffanet griddehazenet msbdn; do
        step "lab-$system" 600 "$python" -m reprolib train $system --profile lab --resume --workers 8
        [ -f "$place/lab-$system.done" ] && step "measure-$system" 120 "$python" -m reprolib measure $system --profile lab
    done
fi
exit $failed
