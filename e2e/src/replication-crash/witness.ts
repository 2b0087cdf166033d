/**
 * Reads the logs from their first event on, so that the checkers know what snapshots and trimming have removed since. Invariant: no member trims
 * what it has not read; they ask it before, over HTTP on the loopback.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ConnectionSpec, type Env, TaskGroup } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type EventLog, type LogEvent, openEventLog } from '@canopy/replication';
import { eventually } from '@canopy/testkit';

const PATIENCE_MS = 60_000;
const AGAIN_MS = 100;

interface Watched {
  readonly log: EventLog;
  readonly events: LogEvent[];
}

export class Witness implements AsyncDisposable {
  /** What went wrong with the witness itself: then no judgement is possible. */
  readonly problems: string[] = [];
  readonly #logs = new Map<string, Watched>();
  readonly #session: NatsSession;
  readonly #env: Env;
  readonly #http: Server;
  readonly #tasks = new TaskGroup((error) => this.problems.push(String(error)));

  private constructor(session: NatsSession, env: Env) {
    this.#session = session;
    this.#env = env;
    this.#http = createServer((request, response) => {
      const [, namespace = '', upTo] = (request.url ?? '').split('/');
      this.hasRead(namespace, Number(upTo)).then(
        () => response.end(),
        () => response.writeHead(503).end(),
      );
    });
  }

  /** Makes the logs where they are missing. */
  static async start(connection: ConnectionSpec, namespaces: readonly string[], env: Env): Promise<Witness> {
    const session = await connectNats(connection, {
      name: 'witness',
      env,
      waitForServer: true,
      timeoutMs: PATIENCE_MS,
    });
    const witness = new Witness(session, env);
    for (const namespace of namespaces) {
      const watched: Watched = { log: await openEventLog(session, { namespace }, env), events: [] };
      witness.#logs.set(namespace, watched);
      witness.#tasks.run(`read ${namespace}`, (signal) => witness.#follow(watched, signal));
    }
    await new Promise<void>((resolve) => witness.#http.listen(0, '127.0.0.1', resolve));
    return witness;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  log(namespace: string): EventLog {
    return this.#watched(namespace).log;
  }

  /** All that the log has by now, from its first event on. */
  async events(namespace: string): Promise<readonly LogEvent[]> {
    const { log, events } = this.#watched(namespace);
    const { lastSequence } = await log.info({ timeoutMs: PATIENCE_MS });
    await this.hasRead(namespace, lastSequence);
    return events;
  }

  async hasRead(namespace: string, upTo: number): Promise<void> {
    const { events } = this.#watched(namespace);
    const options = { timeoutMs: PATIENCE_MS, everyMs: 5, what: `the witness at ${upTo} of ${namespace}` };
    await eventually(() => (events.at(-1)?.sequence ?? 0) >= upTo, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.close();
    this.#http.closeAllConnections();
    await this.#tasks.stop();
    await this.#session.close();
  }

  #watched(namespace: string): Watched {
    const watched = this.#logs.get(namespace);
    if (watched === undefined) throw new Error(`no log ${namespace}`);
    return watched;
  }

  async #follow({ log, events }: Watched, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const after = events.at(-1)?.sequence ?? 0;
      try {
        for await (const told of log.read({ after, signal })) {
          if (told.type === 'event') events.push(told);
          if (told.type === 'trimmed') this.problems.push(`the witness found ${log.name} trimmed before ${told.first}`);
        }
      } catch {
        // The server is away: from the same place again.
      }
      await this.#env.clock.sleep(AGAIN_MS, { signal }).catch(() => {});
    }
  }
}
