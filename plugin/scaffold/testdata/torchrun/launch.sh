#!/usr/bin/env bash
set -euo pipefail
GPUS=${GPUS:-8}
export OMP_NUM_THREADS=1
exec torchrun --nproc_per_node=$GPUS --nnodes=2 --node_rank="$NODE_RANK" \
    --master_addr="$MASTER_ADDR" --master_port=29500 --max-restarts 3 \
    train.py --batch-size 64 "$@"
