/** The cluster as its nodes describe themselves over HTTP. A node that doesn't answer is simply not in the picture. */
import type { LocalNode } from '@canopy/cli';
import type { Clock } from '@canopy/core';
import type { AppStatus, NodeStatus } from '@canopy/platform';

export interface InstanceView {
  readonly node: LocalNode;
  readonly app: AppStatus;
}

export class ClusterView {
  readonly #nodes: readonly LocalNode[];
  readonly #app: string;
  readonly #clock: Clock;

  constructor(nodes: readonly LocalNode[], app: string, clock: Clock) {
    this.#nodes = nodes;
    this.#app = app;
    this.#clock = clock;
  }

  async instances(): Promise<InstanceView[]> {
    const views = await Promise.all(this.#nodes.map((node) => this.instance(node)));
    return views.filter((view) => view !== undefined);
  }

  async instance(node: LocalNode): Promise<InstanceView | undefined> {
    const status = await statusOf(node);
    const app = status?.apps[this.#app];
    return app === undefined ? undefined : { node, app };
  }

  /** Waits for the node that serves under an epoch above `epoch`. */
  async active(options: { above?: number; timeoutMs?: number; signal?: AbortSignal } = {}): Promise<InstanceView> {
    const found = await this.#until(`a node that serves ${this.#app}`, options, async () => {
      const serving = (await this.instances()).filter(
        ({ app }) => app.serving && (app.epoch ?? 0) > (options.above ?? -1),
      );
      return serving.sort((a, b) => (b.app.epoch ?? 0) - (a.app.epoch ?? 0))[0];
    });
    return found;
  }

  /** Waits until the node follows the log as a standby, with nothing left to apply. */
  standby(node: LocalNode, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<InstanceView> {
    return this.#until(`${node.name} as a standby`, options, async () => {
      const view = await this.instance(node);
      return view !== undefined && follows(view.app) ? view : undefined;
    });
  }

  /** Waits until every node answers, exactly one serves, and all others follow it closely; returns the one that serves. */
  whole(options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<InstanceView> {
    return this.#until(`all ${this.#nodes.length} nodes, one active and the others standbys`, options, async () => {
      const views = await this.instances();
      const serving = views.filter(({ app }) => app.serving);
      const isWhole = views.length === this.#nodes.length && serving.length === 1;
      return isWhole && views.every((view) => view === serving[0] || follows(view.app)) ? serving[0] : undefined;
    });
  }

  async #until<T>(
    what: string,
    { timeoutMs = 30_000, signal }: { timeoutMs?: number; signal?: AbortSignal },
    look: () => Promise<T | undefined>,
  ): Promise<T> {
    const until = this.#clock.monotonic() + timeoutMs;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      signal?.throwIfAborted();
      if (this.#clock.monotonic() > until) throw new Error(`waited ${timeoutMs} ms for ${what}`);
      await this.#clock.sleep(25, { signal });
    }
  }
}

/** A standby with next to nothing left to apply. */
function follows({ role, database }: AppStatus): boolean {
  const lag = database?.lag.tx;
  return role === 'standby' && database?.role === 'standby' && lag !== undefined && lag <= 20;
}

async function statusOf(node: LocalNode): Promise<NodeStatus | undefined> {
  try {
    const response = await fetch(`${node.httpUrl}/status`, { signal: AbortSignal.timeout(500) });
    return (await response.json()) as NodeStatus;
  } catch {
    return undefined;
  }
}
