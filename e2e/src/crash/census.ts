/**
 * Every process that a campaign has brought about, as far as it was seen: for waking what was stopped before the end, and
 * for finding what outlived it. Only processes of this campaign are ever signalled: known by pid and start time, or by
 * the campaign's own directory in their command line.
 */
import { readdirSync } from 'node:fs';
import { type Clock, identifyProcess, isRunning, type ProcessId } from '@canopy/core';
import { processState, processTree, signalProcess } from '@canopy/testkit';
import { commandLine } from './node-processes.ts';

/** What processes get for their own end after the cluster has stopped. */
const GRACE_MS = 10_000;

export class Census {
  readonly #directory: string;
  readonly #seen = new Map<string, ProcessId>();

  /** `directory` must be the campaign's own. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Writes down the process with all its descendants. */
  note(pid: number | undefined): void {
    if (pid === undefined || pid === 0) return;
    for (const id of processTree(pid)) this.#seen.set(`${id.pid}/${id.startTicks}`, id);
  }

  /** Wakes whatever is still stopped. */
  wake(): void {
    for (const id of this.#running()) if (processState(id.pid) === 'T') signalProcess(id, 'SIGCONT');
  }

  /** What still runs a while after the cluster has stopped, one line each. None of it runs afterwards. */
  async endLeftovers(clock: Clock, graceMs = GRACE_MS): Promise<readonly string[]> {
    const until = clock.monotonic() + graceMs;
    while (this.#running().length > 0 && clock.monotonic() < until) await clock.sleep(100);
    const left = this.#running();
    const lines = left.map(({ pid }) => `process ${pid}: ${commandLine(pid).join(' ').trim()}`);
    for (const id of left) signalProcess(id, 'SIGKILL');
    return lines;
  }

  #running(): readonly ProcessId[] {
    const named = readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
      .filter((entry) => commandLine(Number(entry)).some((argument) => argument.includes(this.#directory)))
      // Whoever started us may have named the directory as well; it is not ours to end.
      .filter((entry) => !processTree(Number(entry)).some(({ pid }) => pid === process.pid))
      .map((entry) => identifyProcess(Number(entry)))
      .filter((id) => id !== undefined);
    for (const id of named) this.#seen.set(`${id.pid}/${id.startTicks}`, id);
    return [...this.#seen.values()].filter(isRunning);
  }
}
