/**
 * What the warden does, without pipes and sockets: keeps the leases and their processes, kills when a deadline passes
 * or the parent dies, and releases. Invariants: a lease is released only after the parent's death and only after every
 * process registered under it was seen gone; a passed deadline kills at once and never releases.
 */
import type { Clock, GuardedProcess, Timer } from '@canopy/core';
import type { ProcessTable } from './process-table.ts';
import type { FenceCommand, HeldLease, RefusalReason, WardenReport, WardenRequest } from './protocol.ts';
import { aim, drainTargets, endTargets, signalTarget, type Target } from './target.ts';

/** Going on with a process that refuses to die, after it no longer matters for the lease. */
const STUBBORN_MS = 30_000;
/** Between two tries of a fence command that failed. */
const COMMAND_PAUSE_MS = 250;
/** How long past its deadline a lease is still worth releasing: others may count its ttl from a later sight of it. */
const RELEASE_PAST_DEADLINE_MS = 5000;

export interface GuardianPorts {
  readonly clock: Clock;
  readonly table: ProcessTable;
  readonly drainMs: number;
  /** Deletes the lease's key at its revision, trying until `until` (monotonic ms). Never rejects. */
  readonly release: (lease: HeldLease, until: number) => Promise<void>;
  readonly report: (report: WardenReport) => void;
  /** Runs a fence command; true when it ended well in time. Never rejects. */
  readonly run: (command: FenceCommand) => Promise<boolean>;
}

interface Entry {
  readonly id: string;
  held: HeldLease | undefined;
  /** The deadline passed; `clear`, or the `hold` of another term, is needed before anything may run under it again. */
  fenced: boolean;
  /** The fence under way, or the last one: whether nothing was left. */
  fencing: Promise<boolean> | undefined;
  /** The parent goes although it holds the lease: what runs under it ends, the lease runs out. */
  kept: boolean;
  readonly targets: Map<string, Target>;
  commands: readonly FenceCommand[];
}

export class Guardian {
  readonly #ports: GuardianPorts;
  readonly #entries = new Map<string, Entry>();
  #timer: Timer | undefined;
  #orphaned = false;

  constructor(ports: GuardianPorts) {
    this.#ports = ports;
  }

  /** Carries out one request of the parent and answers it. */
  handle(request: WardenRequest): void {
    // What was due before this message arrived is settled first: after a freeze, timers run late.
    this.#fenceDue();
    const refusal = this.#apply(request);
    const { n } = request;
    this.#ports.report(refusal === undefined ? { type: 'ack', n } : { type: 'refused', n, reason: refusal });
    this.#arm();
  }

  /** The parent is dead: kills, drains, releases. Resolves when nothing is left to do. */
  async parentGone(): Promise<void> {
    this.#orphaned = true;
    this.#timer?.cancel();
    await Promise.all([...this.#entries.values()].map((entry) => this.#settle(entry)));
  }

  #apply(request: WardenRequest): RefusalReason | undefined {
    const entry = this.#entry(request.lease);
    switch (request.op) {
      case 'hold':
        return this.#hold(entry, request.held);
      case 'clear':
        entry.held = undefined;
        entry.fenced = false;
        // The lease may move from here on. Nothing should be left; what is was forgotten, and must not write.
        for (const target of ofKind(entry, 'kill')) signalTarget(this.#ports.table, target, 'SIGKILL');
        break;
      case 'keep':
        entry.kept = true;
        break;
      case 'fences':
        entry.commands = request.commands;
        break;
      case 'register':
        return this.#register(entry, request);
      case 'unregister':
        entry.targets.delete(keyOf(request));
    }
    const isEmpty = entry.targets.size === 0 && entry.commands.length === 0;
    if (entry.held === undefined && !entry.fenced && isEmpty) this.#entries.delete(entry.id);
    return undefined;
  }

  #hold(entry: Entry, held: HeldLease): RefusalReason | undefined {
    // What ran under this term has been ended: a renewal that was under way meanwhile must not let the term go on.
    if (entry.fenced && held.token !== undefined && held.token === entry.held?.token) return 'fenced';
    entry.held = held;
    entry.fenced = false;
    if (held.deadline > this.#ports.clock.monotonic()) return undefined;
    this.#fenceDue();
    return 'fenced';
  }

  #register(entry: Entry, process: GuardedProcess): RefusalReason | undefined {
    const { pid, startTicks, kind, label } = process;
    const target = aim(this.#ports.table, { pid, startTicks, kind, label });
    if (target === undefined) return 'gone';
    if (kind === 'drain' || (entry.held !== undefined && !entry.fenced)) {
      entry.targets.set(keyOf(process), target);
      return undefined;
    }
    // It has no right to run. Also what a new warden says to a process whose lease ran out while there was none.
    signalTarget(this.#ports.table, target, 'SIGKILL');
    return entry.fenced ? 'fenced' : 'not_held';
  }

  #entry(id: string): Entry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { id, held: undefined, fenced: false, fencing: undefined, kept: false, targets: new Map(), commands: [] };
      this.#entries.set(id, entry);
    }
    return entry;
  }

  /** One timer for the earliest deadline. */
  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (const { held, fenced } of this.#entries.values())
      if (held !== undefined && !fenced) earliest = Math.min(earliest, held.deadline);
    if (earliest === Number.POSITIVE_INFINITY || this.#orphaned) return;
    this.#timer = this.#ports.clock.timer(earliest - this.#ports.clock.monotonic(), () => {
      this.#fenceDue();
      this.#arm();
    });
  }

  #fenceDue(): void {
    const now = this.#ports.clock.monotonic();
    for (const entry of this.#entries.values()) {
      if (entry.held === undefined || entry.fenced || entry.held.deadline > now || this.#orphaned) continue;
      entry.fenced = true;
      entry.fencing = this.#fence(entry, entry.held.deadline);
    }
  }

  async #fence(entry: Entry, deadline: number): Promise<boolean> {
    const { clock, table, report } = this.#ports;
    const started = clock.monotonic();
    const targets = ofKind(entry, 'kill');
    const { id: lease } = entry;
    // A newer lease may have something to run by the time a command is tried again: that must not be hit.
    const goOn = (): boolean => entry.fenced && clock.monotonic() < started + STUBBORN_MS;
    const [ended, held] = await Promise.all([
      endTargets(table, clock, targets, started + STUBBORN_MS),
      this.#runCommands(entry.commands, goOn),
    ]);
    const gone = ended && held;
    const killed = [
      ...targets.map((target) => target.label),
      ...entry.commands.map(({ command }) => command.join(' ')),
    ];
    report({ type: 'fenced', lease, killed, gone, lateMs: started - deadline, ms: clock.monotonic() - started });
    return gone;
  }

  /** Side by side, each until it has ended well; false when one never did while `goOn`. */
  async #runCommands(commands: readonly FenceCommand[], goOn: () => boolean): Promise<boolean> {
    const { clock, run } = this.#ports;
    const results = commands.map(async (command) => {
      for (;;) {
        if (await run(command)) return true;
        if (!goOn()) return false;
        await clock.sleep(COMMAND_PAUSE_MS);
        if (!goOn()) return false;
      }
    });
    return (await Promise.all(results)).every(Boolean);
  }

  /** After the parent's death: the processes first, then, once all are seen gone, the lease. */
  async #settle(entry: Entry): Promise<void> {
    const { clock, table, drainMs, release } = this.#ports;
    const now = clock.monotonic();
    const deadline = Math.max(now, entry.held?.deadline ?? 0);
    const [killed, fenced] = await Promise.all([
      endTargets(table, clock, ofKind(entry, 'kill'), deadline + STUBBORN_MS),
      this.#settleCommands(entry, () => clock.monotonic() < deadline),
    ]);
    const drained = await drainTargets(table, clock, ofKind(entry, 'drain'), drainMs, deadline + STUBBORN_MS);
    if (killed && fenced && drained && entry.held !== undefined && !entry.kept)
      await release(entry.held, deadline + RELEASE_PAST_DEADLINE_MS);
  }

  /** Nothing ran under a lease that is not held, here at least: what a fence would hit may be another's. */
  async #settleCommands(entry: Entry, goOn: () => boolean): Promise<boolean> {
    if (entry.held === undefined) return true;
    if (entry.fenced && (await entry.fencing)) return true;
    return this.#runCommands(entry.commands, goOn);
  }
}

function ofKind(entry: Entry, kind: Target['kind']): Target[] {
  return [...entry.targets.values()].filter((target) => target.kind === kind);
}

function keyOf(process: { pid: number; startTicks: number }): string {
  return `${process.pid}:${process.startTicks}`;
}
