/**
 * What a run with faults happens on: a play cluster of three nodes that serve the ledger, a load on its proxies, and an
 * observer of the lease. Disposal ends all of it, whatever state the run left it in.
 */
import { type AppTemplates, exampleTemplates, LocalCluster, type LocalNode } from '@canopy/cli';
import type { Env } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { electionBucket } from '@canopy/platform';
import type { Wake } from '../check/index.ts';
import { HttpClient, type LedgerState, Load, readLedger } from '../load/index.ts';
import { ClusterView } from './cluster-view.ts';
import { LeaseRecorder } from './lease-recorder.ts';
import { reachVerdict, type Verdict } from './verdict.ts';

export const APP = 'ledger';
export const NODES = 3;

export interface StageOptions {
  readonly directory: string;
  readonly ttlMs: number;
  /** Transfers per second. */
  readonly ratePerSecond: number;
  /** Names the observer's connection. */
  readonly name: string;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

interface Parts {
  readonly cluster: LocalCluster;
  readonly session: NatsSession;
  readonly view: ClusterView;
  readonly recorder: LeaseRecorder;
  readonly client: HttpClient;
  readonly opening: LedgerState;
  readonly load: Load;
}

export class Stage implements AsyncDisposable {
  readonly cluster: LocalCluster;
  readonly session: NatsSession;
  readonly view: ClusterView;
  readonly load: Load;
  readonly #parts: Parts;
  readonly #env: Env;
  readonly #signal: AbortSignal;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: Parts, env: Env, signal: AbortSignal, stack: AsyncDisposableStack) {
    this.cluster = parts.cluster;
    this.session = parts.session;
    this.view = parts.view;
    this.load = parts.load;
    this.#parts = parts;
    this.#env = env;
    this.#signal = signal;
    this.#stack = stack;
  }

  /** Resolves once writes have been served for about a second; on failure nothing of it runs. */
  static async raise(options: StageOptions, env: Env): Promise<Stage> {
    const { ratePerSecond, say, signal } = options;
    const { clock } = env;
    await using stack = new AsyncDisposableStack();
    const cluster = stack.use(playCluster(options, env));
    await cluster.start({ signal });
    const session = stack.use(await connectNats(cluster.connection, { name: options.name, env, signal }));
    const view = new ClusterView(cluster.nodes, APP, clock);
    const first = await view.active({ timeoutMs: 60_000, signal });
    say(`${first.node.name} is active; ${NODES - 1} standbys`);

    const recorder = new LeaseRecorder(clock, options.ttlMs);
    recorder.start(await session.kv(electionBucket(cluster.platform)), APP);
    stack.defer(() => recorder.stop());

    const urls = cluster.nodes.map((node) => node.proxyUrls[APP] as string);
    const client = new HttpClient({ clock, connections: 4, timeoutMs: 10_000 });
    stack.defer(() => client.close());
    const opening = await readLedger(client, urls[0] as string);
    const accounts = opening.accounts.map((account) => account.id);
    const load = stack.use(new Load(env, { urls, accounts, ratePerSecond, workers: 12, timeoutMs: 2500 }));
    await load.start();
    say(`load: ${ratePerSecond} transfers per second through the proxies of all nodes`);
    const warmFrom = clock.monotonic();
    while (load.acknowledgedSince(warmFrom) < ratePerSecond) {
      if (clock.monotonic() - warmFrom > 30_000) throw new Error('writes are not served');
      await clock.sleep(50, { signal });
    }
    const parts = { cluster, session, view, recorder, client, opening, load };
    return new Stage(parts, env, signal, stack.move());
  }

  get nodes(): readonly LocalNode[] {
    return this.cluster.nodes;
  }

  /** Ends the load and judges all that happened. Once. */
  async judge(wakes: readonly Wake[], options: { observerMayBeBlind: boolean }): Promise<Verdict> {
    const { load, view, client, opening, recorder } = this.#parts;
    await load.finish(15_000);
    const active = await view.active({ signal: this.#signal });
    return reachVerdict({
      load,
      nodes: this.nodes,
      initialSum: opening.accounts.reduce((sum, account) => sum + account.balance, 0),
      final: await readLedger(client, active.node.proxyUrls[APP] as string),
      leases: recorder.intervals(),
      wakes,
      clock: this.#env.clock,
      ...options,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Three nodes that run the ledger, not started yet. */
export function playCluster(options: Pick<StageOptions, 'directory' | 'ttlMs' | 'say'>, env: Env): LocalCluster {
  const templates = exampleTemplates(APP);
  return new LocalCluster(
    {
      directory: options.directory,
      nodes: NODES,
      platform: templates.platform,
      apps: underThisNode(templates.apps),
      appsDirectory: templates.directory,
      ttl: options.ttlMs,
      anyPorts: true,
      onProgress: options.say,
    },
    env,
  );
}

/** The ledger is to run under the Node that runs this, whichever `node` is first in PATH. */
function underThisNode(apps: AppTemplates['apps']): AppTemplates['apps'] {
  const adapted = Object.entries(apps).map(([name, app]) => {
    const [program, ...rest] = app.backend?.command ?? [];
    if (app.backend === undefined || program !== 'node') return [name, app];
    return [name, { ...app, backend: { ...app.backend, command: [process.execPath, ...rest] } }];
  });
  return Object.fromEntries(adapted);
}
