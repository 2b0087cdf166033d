/** What the campaign's member programs have in common: arguments, HTTP on the loopback, and an end with whoever started them. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { blobSnapshots, type EventLog, openEventLog, type SnapshotStore, SqliteStore } from '@canopy/replication';
import type { PlantedFault } from './group.ts';

const TRIM_MS = 30_000;

export type Route = (body: Record<string, unknown>) => Promise<object>;

export interface MemberContext {
  readonly id: string;
  readonly session: NatsSession;
  readonly store: SqliteStore;
  /** Of the group; trimmed only behind the campaign's witness. */
  readonly log: EventLog;
  readonly snapshots: SnapshotStore;
  readonly planted: PlantedFault | undefined;
  readonly env: ReturnType<typeof systemEnv>;
  readonly cleanup: AsyncDisposableStack;
}

/** Runs until SIGTERM, or the end of standard input. Arguments of the process: id, servers, file, witness, planted fault. */
export async function runMember(
  namespace: string,
  open: (context: MemberContext) => Promise<Record<string, Route>>,
): Promise<void> {
  const [id = '', servers = '', path = '', witness = '', planted = ''] = process.argv.slice(2);
  const stop = Promise.withResolvers<void>();
  process.once('SIGTERM', stop.resolve);
  process.stdin.on('end', stop.resolve).resume();
  const env = systemEnv();
  await using cleanup = new AsyncDisposableStack();
  const store = cleanup.adopt(SqliteStore.open({ path, busyTimeoutMs: 10_000 }), (each) => each.close());
  const connection = { servers: servers.split(',') };
  const session = await connectNats(connection, { name: id, env, waitForServer: true, timeoutMs: 60_000 });
  cleanup.defer(() => session.close());
  const log = witnessed(await patiently(() => openEventLog(session, { namespace }, env)), `${witness}/${namespace}`);
  const snapshots = await patiently(() => blobSnapshots(session, {}, env));
  const fault = planted === '' ? undefined : (planted as PlantedFault);
  const routes = await open({ id, session, store, log, snapshots, planted: fault, env, cleanup });
  const http = createServer((request, response) => {
    answer(request, routes)
      .catch((error: unknown) => ({ success: false, error: messageOf(error) }))
      .then((body) => response.end(JSON.stringify(body)));
  });
  cleanup.defer(() => {
    http.close();
    http.closeAllConnections();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  process.stdout.write(`${id} listens at http://127.0.0.1:${(http.address() as AddressInfo).port}\n`);
  await stop.promise;
  process.stdin.pause();
}

/** The checkers have to see what is trimmed. */
function witnessed(log: EventLog, url: string): EventLog {
  const trim = log.trim.bind(log);
  log.trim = async (upTo, options) => {
    const { ok } = await fetch(`${url}/${upTo}`, { signal: AbortSignal.timeout(TRIM_MS) });
    if (!ok) throw new Error('the witness is too far behind');
    await trim(upTo, options);
  };
  return log;
}

/** A program that a supervisor would start again: the servers may be down when it begins. */
async function patiently<T>(open: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await open();
    } catch (error) {
      if (tries === 10) throw error;
    }
  }
}

async function answer(request: IncomingMessage, routes: Record<string, Route>): Promise<object> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const route = routes[(request.url ?? '').slice(1)];
  if (route === undefined) throw new Error(`no route ${request.url}`);
  return route(text === '' ? {} : (JSON.parse(text) as Record<string, unknown>));
}
