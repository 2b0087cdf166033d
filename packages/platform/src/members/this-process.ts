/**
 * Which process this is, in a form that another process can check: two processes with the same `machine` (boot and pid
 * namespace) see each other's pids, so the death of a former holder can be known at once instead of waited for.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { identifyProcess, isRunning } from '@canopy/core';
import type { MemberProcess } from './record.ts';

export function thisProcess(): MemberProcess {
  return {
    host: hostname(),
    pid: process.pid,
    startTicks: identifyProcess(process.pid)?.startTicks ?? 0,
    machine: machineId(),
  };
}

/** True only when it is certain: same machine, and exactly that process no longer runs. */
export function isKnownDead(other: MemberProcess): boolean {
  if (other.machine === '' || other.machine !== machineId()) return false;
  if (other.startTicks === 0 || other.pid <= 0) return false;
  return !isRunning({ pid: other.pid, startTicks: other.startTicks });
}

/** Empty where procfs is missing: then nothing is certain. */
function machineId(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}
