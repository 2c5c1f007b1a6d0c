#!/usr/bin/env bash
# A Slurm cluster of one node on the loopback address, for tests: `slurm.sh start FOLDER` and `slurm.sh stop FOLDER`.
# Needs Debian's slurm-wlm and munge, and root. Everything that it writes lies in FOLDER.
set -euo pipefail
folder=$(mkdir -p "$2" && cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf

stop() {
    local name pid
    scancel --full --signal=KILL --user root 2> /dev/null || true
    scancel --user root 2> /dev/null || true
    for _ in $(seq 20); do # jobs whose node is gone would stay for ever
        squeue -h 2> /dev/null | grep -q . || break
        sleep 0.5
    done
    for name in slurmd slurmctld munged; do
        pid=$(cat "$folder/$name.pid" 2> /dev/null) && kill "$pid" 2> /dev/null || true
    done
}

start() {
    local host socket=$folder/munge.socket
    host=$(hostname -s)
    mkdir -p "$folder/state" "$folder/spool"
    [ -f "$folder/munge.key" ] || head -c 128 /dev/urandom > "$folder/munge.key"
    chmod 400 "$folder/munge.key"
    munged --force --key-file "$folder/munge.key" --socket "$socket" --pid-file "$folder/munged.pid" \
        --log-file "$folder/munged.log" --seed-file "$folder/munge.seed"
    # cred_expire: a job that is requeued may start again only when its old credential has expired (2 minutes).
    cat > "$SLURM_CONF" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURM_TEST_PORT:-26817}
SlurmdPort=$((${SLURM_TEST_PORT:-26817} + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=5
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MinJobAge=600
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE OverSubscribe=YES State=UP
CONF
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        sinfo -h -o %T 2> /dev/null | grep -q idle && return
        sleep 0.5
    done
    tail "$folder"/*.log >&2
    return 1
}

"$1"
