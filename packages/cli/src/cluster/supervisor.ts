/**
 * What `canopy up` does about deaths: a node or the nats-server that ends by itself is told about and started again after a
 * pause, at most 5 times a minute each. A nats-server whose streams had a write error (a full disk) refuses their writes
 * for good, also when there is space again: it is recognised by nodes that are connected and yet can't store their
 * membership record, and is restarted once there is space. Invariant: nothing is started after stop() was called.
 */
import { abortable, type Clock, formatDuration, messageOf, TaskGroup } from '@canopy/core';
import type { NatsServer } from '@canopy/nats/server';
import { diskSpace } from './disk-space.ts';
import type { NodeProcess, NodeProcessExit, NodeStatusView } from './node-process.ts';
import { RestartBudget } from './restart-budget.ts';

const PAUSE_MS = 1_000;
const LOOK_MS = 2_000;
/** Looks in a row that must agree: one may fall into a reconnect. */
const LOOKS = 2;
/** After a restart of nats-server, what nodes need to connect and to store their record. */
const SETTLE_MS = 8_000;
const LIMIT = { limit: 5, withinMs: 60_000 } as const;

export interface Supervised {
  readonly directory: string;
  readonly nodes: readonly NodeProcess[];
  readonly nats: NatsServer;
}

export class Supervisor {
  readonly #of: Supervised;
  readonly #say: (text: string) => void;
  readonly #clock: Clock;
  readonly #tasks: TaskGroup;

  /** Nothing happens before start(). */
  constructor(of: Supervised, say: (text: string) => void, clock: Clock) {
    this.#of = of;
    this.#say = say;
    this.#clock = clock;
    this.#tasks = new TaskGroup((error, task) => say(`nobody looks after ${task} any more: ${messageOf(error)}`));
  }

  start(): void {
    for (const node of this.#of.nodes) this.#tasks.run(`node ${node.name}`, (signal) => this.#keepNode(node, signal));
    this.#tasks.run('nats-server', (signal) => this.#keepNats(signal));
    this.#tasks.run('the disk', (signal) => this.#watchDisk(signal));
  }

  /** Idempotent; waits for a restart under way. */
  stop(): Promise<void> {
    return this.#tasks.stop();
  }

  async #keepNode(node: NodeProcess, signal: AbortSignal): Promise<void> {
    const budget = new RestartBudget(this.#clock, LIMIT);
    for (;;) {
      const { pid } = node;
      const exit = await abortable(node.exited, signal);
      const tail = node.logTail(3);
      this.#say(
        `node ${node.name} (process ${pid}) ended: ${describeExit(exit)}${tail === '' ? '' : `; the end of its log:\n${tail}`}`,
      );
      if (!(await this.#mayRestart(`node ${node.name}`, budget, signal))) return;
      node.spawn();
      this.#say(`node ${node.name} is started again (process ${node.pid})`);
    }
  }

  async #keepNats(signal: AbortSignal): Promise<void> {
    const { nats } = this.#of;
    const budget = new RestartBudget(this.#clock, LIMIT);
    for (let looks = 0; ; ) {
      await this.#clock.sleep(LOOK_MS, { signal });
      const ended = nats.state === 'exited';
      looks = !ended && (await this.#isStuck(signal)) ? looks + 1 : 0;
      if (!ended && looks < LOOKS) continue;
      looks = 0;
      this.#say(ended ? 'nats-server ended' : 'nats-server answers, but stores nothing (as after a full disk)');
      if (!(await this.#mayRestart('nats-server', budget, signal))) return;
      try {
        await nats.restart();
        this.#say(`nats-server is started again (process ${nats.pid})`);
      } catch (error) {
        signal.throwIfAborted();
        this.#say(`nats-server could not be started: ${messageOf(error)}`);
      }
      await this.#clock.sleep(SETTLE_MS, { signal });
    }
  }

  /** Says when the disk is full and when there is space again. */
  async #watchDisk(signal: AbortSignal): Promise<void> {
    for (let wasFull = false; ; await this.#clock.sleep(LOOK_MS, { signal })) {
      const { directory } = this.#of;
      const full = diskSpace(directory)?.full ?? false;
      if (full && !wasFull)
        this.#say(`the disk that holds ${directory} is full: nothing can be stored until there is space`);
      if (!full && wasFull) this.#say(`there is space again in ${directory}`);
      wasFull = full;
    }
  }

  /** True after a pause, and once there is space to start in; false past the limit. */
  async #mayRestart(what: string, budget: RestartBudget, signal: AbortSignal): Promise<boolean> {
    if (!budget.take()) {
      const within = formatDuration(budget.withinMs);
      this.#say(`${what} was started again ${budget.limit} times within ${within} and is left alone now`);
      return false;
    }
    do await this.#clock.sleep(PAUSE_MS, { signal });
    while (diskSpace(this.#of.directory)?.full === true);
    return true;
  }

  /** Whether all nodes that answer are connected to NATS and yet have not stored their record for seconds. */
  async #isStuck(signal: AbortSignal): Promise<boolean> {
    const statuses = await Promise.all(this.#of.nodes.map((node) => node.status()));
    signal.throwIfAborted();
    const known = statuses.filter((status) => status?.nats.connected === true);
    return known.length > 0 && known.every((status) => isSilent(status as NodeStatusView));
  }
}

function isSilent({ node, members }: NodeStatusView): boolean {
  const own = members.find(({ id }) => id === node);
  return own !== undefined && own.health !== 'alive';
}

export function describeExit({ code, signal }: NodeProcessExit): string {
  if (signal !== undefined) return `by ${signal}`;
  return code === 0 ? 'in order' : `with exit code ${code}`;
}
