# The settings of every script in this folder, and their defaults; bash syntax.
# Edit this file, or write the lines that differ to another and name it with --config.
# The scripts that read this, not this file, use the variables.
# shellcheck shell=bash disable=SC2034

# What to train, everywhere.
EXPERIMENT=        # FILE.py or FILE.py:NAME, from the root of the repository
RUN_DIR=           # the run directory; on a pod or cluster an absolute path that all hosts see
DATA_DIR=          # TFDS data; empty: each host's own default
TRAIN_ARGUMENTS=() # further arguments of `earth-embed train`, as in (--seed 1 --steps 2000)
EXTRAS=data,evaluate,logging # of the package; the built-in data sets need worlddata as well

# Slurm and GPU hosts.
VENV=.venv # the virtual environment, from the root of the repository

# Cloud TPU.
PROJECT=          # the Google Cloud project's id
ZONE=             # a zone that has the accelerator
NAME=earth-embed  # of the queued resource and its nodes: NAME, or NAME-0, NAME-1, … of several slices
ACCELERATOR_TYPE= # of one slice, as in v5litepod-16
RUNTIME_VERSION=  # the TPU VMs' software that belongs to it, as in v2-alpha-tpuv5-lite
SLICES=1
SPOT=true         # cheaper, and may be preempted; true or false
CREATE_FLAGS=()   # further flags of `gcloud compute tpus queued-resources create`, as in (--reserved)
SSH_FLAGS=()      # further flags of gcloud's ssh and scp, as in (--internal-ip)
BUCKET=           # a Cloud Storage bucket, no gs://, mounted on all workers; empty: nothing is mounted
MOUNT=/mnt/earth_embed # where; RUN_DIR then lies below it
WORKER_SETUP=     # a shell command that setup runs first on every worker, such as mounting NFS
MEGASCALE_PORT=8080 # the port of slice 0's worker 0 at which several slices meet
POLL_SECONDS=30   # between two questions whether the TPUs are there
FETCH_DIR=runs    # where fetch puts runs on this machine
