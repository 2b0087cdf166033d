/** A machine's processes under a test's control. A killed one is gone after `dieMs`, or never when it is stuck. */
import type { Clock, GuardedKind, ProcessId } from '@canopy/core';
import type { ProcessTable } from '../../src/warden/process-table.ts';

interface FakeProcess {
  readonly startTicks: number;
  readonly group: number;
  readonly mark?: string;
  readonly isStuck?: boolean;
  readonly heedsTerm?: boolean;
}

export class FakeProcesses implements ProcessTable {
  readonly signals: string[] = [];
  readonly #clock: Clock;
  readonly #dieMs: number;
  readonly #live = new Map<number, FakeProcess>();

  constructor(clock: Clock, dieMs = 5) {
    this.#clock = clock;
    this.#dieMs = dieMs;
  }

  add(pid: number, facts: Partial<FakeProcess> = {}): ProcessId {
    const process = { startTicks: pid * 10, group: pid, ...facts };
    this.#live.set(pid, process);
    return { pid, startTicks: process.startTicks };
  }

  remove(pid: number): void {
    this.#live.delete(pid);
  }

  has(pid: number): boolean {
    return this.#live.has(pid);
  }

  identify(pid: number): ProcessId | undefined {
    const process = this.#live.get(pid);
    return process === undefined ? undefined : { pid, startTicks: process.startTicks };
  }

  groupOf(pid: number): number | undefined {
    return this.#live.get(pid)?.group;
  }

  markOf(pid: number): string | undefined {
    return this.#live.get(pid)?.mark;
  }

  processesWithMark(mark: string): readonly ProcessId[] {
    return [...this.#live.keys()].filter((pid) => this.#live.get(pid)?.mark === mark).map((pid) => this.identify(pid)!);
  }

  signalGroup(leader: ProcessId, signal: NodeJS.Signals): boolean {
    if (this.#isReused(leader)) return false;
    const members = this.#members(leader.pid);
    for (const pid of members) this.#hit(pid, signal);
    return members.length > 0;
  }

  signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
    if (this.identify(id.pid)?.startTicks !== id.startTicks) return false;
    this.#hit(id.pid, signal);
    return true;
  }

  isGroupGone(leader: ProcessId): boolean {
    return this.#isReused(leader) || this.#members(leader.pid).length === 0;
  }

  #members(group: number): number[] {
    return [...this.#live.keys()].filter((pid) => this.#live.get(pid)?.group === group);
  }

  #isReused(leader: ProcessId): boolean {
    const now = this.identify(leader.pid);
    return now !== undefined && now.startTicks !== leader.startTicks;
  }

  #hit(pid: number, signal: NodeJS.Signals): void {
    const line = `${signal} ${pid}`;
    if (this.signals.at(-1) !== line) this.signals.push(line);
    const process = this.#live.get(pid) as FakeProcess;
    if (process.isStuck || (signal === 'SIGTERM' && !process.heedsTerm)) return;
    this.#clock.timer(this.#dieMs, () => {
      if (this.#live.get(pid) === process) this.#live.delete(pid);
    });
  }
}

export function registration(id: ProcessId, kind: GuardedKind, lease = 'shop') {
  return { op: 'register', lease, ...id, kind, label: kind } as const;
}
