#!/bin/bash
set -e
GPUS=4
deepspeed --num_nodes=2 --num_gpus $GPUS --hostfile hosts --master_port 29600 finetune.py \
  --deepspeed configs/zero2.json --epochs 3
