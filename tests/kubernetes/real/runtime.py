#!/usr/bin/python3
"""Plays the container runtime beside two installers of istio-cni.
  runtime.py watch CONF_DIR BIN_DIR STOP_FILE
    looks at the folder without a pause: what would a pod that starts now meet?
  runtime.py start CONF_DIR BIN_DIR STOP_FILE POD_UID
    starts the pod shop/web again and again, each time in a new network namespace
Both end when STOP_FILE is there, and print one line of JSON."""
import collections
import json
import os
import subprocess
import sys
import time


def network(conf_dir):
    """The list that a runtime would load, or None: the first file that it can."""
    for name in sorted(os.listdir(conf_dir)):
        if not name.endswith((".conflist", ".conf", ".json")):
            continue
        try:
            with open(os.path.join(conf_dir, name), encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError):
            continue
        if "plugins" in content:
            return name, content
    return None


def entry_of(found):
    if found is None:
        return None
    return next((one for one in found[1]["plugins"] if one.get("type") == "istio-cni"), None)


def watch(conf_dir, bin_dir, stop):
    """How often, and for how long at most, something was missing."""
    binary = os.path.join(bin_dir, "istio-cni")
    gaps = {"entry": [], "binary": [], "kubeconfig": []}
    since = {}
    lists, looks, last, longest_pause = [], 0, time.monotonic(), 0.0
    while not os.path.exists(stop):
        try:
            found = network(conf_dir)
        except FileNotFoundError:
            continue
        entry = entry_of(found)
        has = {"entry": entry is not None, "binary": os.access(binary, os.X_OK)}
        if entry is not None:
            has["kubeconfig"] = os.path.exists(entry.get("kubeconfig") or
                                               entry.get("cni_agent_run_dir", "/run/istio-cni") + "/istio-cni-kubeconfig")
        now = time.monotonic()
        looks += 1
        longest_pause, last = max(longest_pause, now - last), now
        for what, there in has.items():
            if not there:
                since.setdefault(what, now)
            elif what in since:
                gaps[what].append(round((now - since.pop(what)) * 1000, 2))
        seen = [found[0], entry.get("cni_agent_run_dir")] if entry else None
        if not lists or lists[-1] != seen:
            lists.append(seen)
    for what, begin in since.items():
        gaps[what].append(round((time.monotonic() - begin) * 1000, 2))
    return {"looks": looks, "longest_pause_ms": round(longest_pause * 1000, 1), "gaps_ms": gaps, "lists": lists}


def new_netns():
    """A process that holds a namespace with one address, as the primary network leaves it."""
    script = ("ip link set lo up && ip link add eth0 type veth peer name other && ip link set other up && "
              "ip address add 10.244.0.2/24 dev eth0 && ip link set eth0 up && echo && exec sleep 100")
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
    holder.stdout.readline()
    return holder


def redirected(holder):
    enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    for tool in (["nft", "list", "ruleset"], ["iptables-legacy-save"]):
        out = subprocess.run(enter + tool, capture_output=True, text=True, check=False).stdout
        if "15006" in out and "15001" in out:
            return True
    return False


def add(conf_dir, bin_dir, uid):
    """How a pod's start ends: redirected, failed (the kubelet tries again), or not redirected."""
    found = network(conf_dir)
    if found is None:
        return "failed", "no network configuration"
    entry = entry_of(found)
    if entry is None:
        return "NOT REDIRECTED", found[0]
    conf = dict(entry, name=found[1]["name"], cniVersion=found[1]["cniVersion"],
                prevResult={"cniVersion": found[1]["cniVersion"], "interfaces": [], "ips": []})
    holder = new_netns()
    try:
        environment = dict(os.environ, CNI_COMMAND="ADD", CNI_CONTAINERID="c", CNI_IFNAME="eth0", CNI_PATH=bin_dir,
                           CNI_NETNS=f"/proc/{holder.pid}/ns/net",
                           CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID={uid}")
        try:
            done = subprocess.run([os.path.join(bin_dir, "istio-cni")], input=json.dumps(conf), env=environment,
                                  capture_output=True, text=True, check=False)
        except OSError as error:
            return "failed", f"failed to find plugin: {error.strerror}"
        if done.returncode != 0:
            return "failed", done.stdout[-300:] or done.stderr[-300:]
        return ("redirected", "") if redirected(holder) else ("NOT REDIRECTED", "ADD succeeded, and there are no rules")
    finally:
        holder.kill()
        holder.wait()


def start(conf_dir, bin_dir, stop, uid):
    ends, why = collections.Counter(), collections.Counter()
    while not os.path.exists(stop):
        end, reason = add(conf_dir, bin_dir, uid)
        ends[end] += 1
        if reason:
            why[reason] += 1
    return {"ends": ends, "why": why}


if __name__ == "__main__":
    print(json.dumps({"watch": watch, "start": start}[sys.argv[1]](*sys.argv[2:])))
