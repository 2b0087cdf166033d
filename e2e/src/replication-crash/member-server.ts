/** What the campaign's member programs have in common: arguments, HTTP on the loopback, and an end with whoever started them. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { SqliteStore } from '@canopy/replication';

export type Route = (body: Record<string, unknown>) => Promise<object>;

export interface MemberContext {
  readonly id: string;
  readonly session: NatsSession;
  readonly store: SqliteStore;
  readonly env: ReturnType<typeof systemEnv>;
  readonly cleanup: AsyncDisposableStack;
}

/** Runs until SIGTERM, or the end of standard input. Arguments of the process: id, server, file. */
export async function runMember(open: (context: MemberContext) => Promise<Record<string, Route>>): Promise<void> {
  const [id = '', server = '', path = ''] = process.argv.slice(2);
  const stop = Promise.withResolvers<void>();
  process.once('SIGTERM', stop.resolve);
  process.stdin.on('end', stop.resolve).resume();
  const env = systemEnv();
  await using cleanup = new AsyncDisposableStack();
  const store = cleanup.adopt(SqliteStore.open({ path, busyTimeoutMs: 10_000 }), (each) => each.close());
  const session = await connectNats({ servers: [server] }, { name: id, env, waitForServer: true, timeoutMs: 60_000 });
  cleanup.defer(() => session.close());
  const routes = await open({ id, session, store, env, cleanup });
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

async function answer(request: IncomingMessage, routes: Record<string, Route>): Promise<object> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const route = routes[(request.url ?? '').slice(1)];
  if (route === undefined) throw new Error(`no route ${request.url}`);
  return route(text === '' ? {} : (JSON.parse(text) as Record<string, unknown>));
}
