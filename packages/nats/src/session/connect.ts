/** How a session begins: dial, tell what is wrong in words, and check what the server can do. */
import { abortable, type ConnectionSpec, describeConnection, type Env, hasCode, withDeadline } from '@canopy/core';
import { connect, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import { JetStreamApi } from '../jetstream/api.ts';
import { transportFault } from '../jetstream/failures.ts';
import { connectOptions } from './connect-options.ts';
import { Budget, Link } from './link.ts';
import type { NatsSession } from './port.ts';
import { Session } from './session.ts';

export interface ConnectOptions {
  /** Shown in the server's connection list; the node id. */
  readonly name: string;
  readonly env: Env;
  /** Bound on connecting. Default 5 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Keep trying until the bound when no server answers, instead of failing at the first refusal. Default false. */
  readonly waitForServer?: boolean;
}

/**
 * A session on a connection of its own, that reconnects for ever once it was made. Throws NATS_URL_INVALID,
 * NATS_UNREACHABLE, NATS_AUTH, NATS_CREDENTIALS_UNREADABLE, NATS_SERVER_TOO_OLD, JETSTREAM_DISABLED; no message
 * contains a secret.
 */
export async function connectNats(spec: ConnectionSpec, options: ConnectOptions): Promise<NatsSession> {
  const budget = new Budget(options.env, options.timeoutMs ?? 5000, options.signal);
  const servers = describeConnection(spec);
  const nc = await dial(spec, await connectOptions(spec, options.name), options, budget);

  try {
    return await open(nc, servers, options.env, budget, () => nc.close());
  } catch (error) {
    await nc.close();
    throw error;
  }
}

/** A session on a connection that somebody else opened: close() of the session leaves it open. */
export async function wrapConnection(
  nc: NatsConnection,
  options: { env: Env; timeoutMs?: number; signal?: AbortSignal | undefined },
): Promise<NatsSession> {
  const budget = new Budget(options.env, options.timeoutMs ?? 5000, options.signal);
  return open(nc, nc.getServer(), options.env, budget, async () => {});
}

async function dial(
  spec: ConnectionSpec,
  dialOptions: NodeConnectionOptions,
  options: ConnectOptions,
  budget: Budget,
): Promise<NatsConnection> {
  const { env, signal } = options;
  const servers = describeConnection(spec);
  for (;;) {
    signal?.throwIfAborted();
    const timeout = Math.max(1, Math.min(1000, budget.leftMs));
    // nats.js tries every server once and then rejects.
    const attempt = connect({ ...dialOptions, timeout });
    const abandon = (): void =>
      void attempt.then(
        (nc) => nc.close(),
        () => {},
      );
    // A server that takes the connection and says nothing keeps nats.js waiting for ever.
    const patience = Math.max(budget.leftMs, timeout * spec.servers.length);
    try {
      return await abortable(withDeadline(env.clock, `connecting to ${servers}`, patience, attempt), signal);
    } catch (error) {
      abandon();
      signal?.throwIfAborted();
      if (transportFault(error) === 'auth') throw natsErrors.create('NATS_AUTH', { servers }, error);
      const again = options.waitForServer === true && budget.leftMs > 200;
      if (!again) throw natsErrors.create('NATS_UNREACHABLE', { servers }, error);
    }
    await env.clock.sleep(100, { signal });
  }
}

async function open(
  nc: NatsConnection,
  servers: string,
  env: Env,
  budget: Budget,
  closeConnection: () => Promise<void>,
): Promise<NatsSession> {
  const version = nc.info?.version ?? '0.0.0';
  if (!isSupported(version)) throw natsErrors.create('NATS_SERVER_TOO_OLD', { version });
  const link = new Link(nc, env, servers);
  try {
    const api = new JetStreamApi(link);
    // A server without JetStream may still be in a cluster, or a leaf of one, that has it.
    if (nc.info?.jetstream !== true) await requireJetStream(api, servers, budget);
    return new Session(api, closeConnection);
  } catch (error) {
    link.shut();
    throw error;
  }
}

/** 2.10 and later. */
export function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}

async function requireJetStream(api: JetStreamApi, servers: string, budget: Budget): Promise<void> {
  try {
    const timeoutMs = Math.max(1, Math.min(1500, budget.leftMs));
    await api.call('ask for JetStream', 'INFO', undefined, { timeoutMs, signal: budget.signal });
  } catch (error) {
    if (hasCode(error, 'JETSTREAM_UNAVAILABLE')) throw natsErrors.create('JETSTREAM_DISABLED', { servers }, error);
    throw error;
  }
}
