/**
 * Asks a server whether it serves: it accepts a connection with the credentials, is the server that was started (its
 * name), and, with JetStream, answers a request of the JetStream API. One short-lived connection per question.
 */
import { createConnection } from 'node:net';
import { type Clock, type ConnectionSpec, messageOf, withDeadline } from '@canopy/core';
import { connect, type NatsConnection } from '@nats-io/transport-node';

const ANSWER_TIMEOUT_MS = 1_000;

export type Readiness =
  | { readonly ready: true; readonly version: string }
  | { readonly ready: false; readonly problem: string };

/** Never rejects; takes two seconds at most. */
export async function askReadiness(
  clock: Clock,
  connection: ConnectionSpec,
  expected: { readonly name: string; readonly jetstream: boolean },
): Promise<Readiness> {
  try {
    const { server_name: name, version } = await greeting(clock, connection);
    if (name !== expected.name) return { ready: false, problem: `another server (${name}) answers on its port` };
    return await withConnection(connection, async (nats) => {
      const answer = expected.jetstream ? await request(nats, 'INFO', '') : {};
      if (answer.error === undefined) return { ready: true, version };
      return { ready: false, problem: `JetStream says: ${answer.error.description}` };
    });
  } catch (error) {
    return { ready: false, problem: messageOf(error) };
  }
}

/** Makes and removes a stream with that many replicas: only a cluster with a quorum and a leader can. */
export async function replicationProblem(
  connection: ConnectionSpec,
  replicas: number,
  stream: string,
): Promise<string | undefined> {
  try {
    return await withConnection(connection, async (nats) => {
      const config = {
        name: stream,
        subjects: [`${stream}.>`],
        storage: 'memory',
        retention: 'limits',
        num_replicas: replicas,
      };
      const made = await request(nats, `STREAM.CREATE.${stream}`, JSON.stringify(config), 3_000);
      if (made.error !== undefined) return `JetStream says: ${made.error.description}`;
      const removed = await request(nats, `STREAM.DELETE.${stream}`, '', 3_000);
      return removed.error === undefined ? undefined : `JetStream says: ${removed.error.description}`;
    });
  } catch (error) {
    return messageOf(error);
  }
}

interface Greeting {
  readonly server_name?: string;
  readonly version: string;
}

/**
 * What a server says first, over a bare socket: the client library keeps its socket open when the other side accepts and
 * then stays silent, which is just what a frozen server or a stranger on the port does.
 */
function greeting(clock: Clock, connection: ConnectionSpec): Promise<Greeting> {
  const { hostname, port } = new URL(connection.servers[0] as string);
  const socket = createConnection({ host: hostname.replace(/[[\]]/g, ''), port: Number(port) });
  const said = new Promise<Greeting>((resolve, reject) => {
    let text = '';
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('it closed the connection')));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const info = /^INFO (\{.*\})\s*\r?\n/.exec(text);
      if (info !== null) resolve(JSON.parse(info[1] as string) as Greeting);
      else if (text.length > 64 * 1024 || !'INFO '.startsWith(text.slice(0, 5)))
        reject(new Error('what answers on its port is no NATS server'));
    });
  });
  return withDeadline(clock, 'the greeting of the server', ANSWER_TIMEOUT_MS, said).finally(() => socket.destroy());
}

interface ApiAnswer {
  readonly error?: { readonly code: number; readonly description: string };
}

async function request(
  nats: NatsConnection,
  api: string,
  body: string,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<ApiAnswer> {
  const message = await nats.request(`$JS.API.${api}`, body, { timeout: timeoutMs });
  return message.json<ApiAnswer>();
}

async function withConnection<T>(spec: ConnectionSpec, work: (nats: NatsConnection) => Promise<T>): Promise<T> {
  const nats = await connect({
    servers: [...spec.servers],
    name: 'canopy-readiness',
    reconnect: false,
    timeout: ANSWER_TIMEOUT_MS,
    ...(spec.user === undefined ? {} : { user: spec.user }),
    ...(spec.password === undefined ? {} : { pass: spec.password }),
    ...(spec.token === undefined ? {} : { token: spec.token }),
  });
  try {
    return await work(nats);
  } finally {
    await nats.close();
  }
}
