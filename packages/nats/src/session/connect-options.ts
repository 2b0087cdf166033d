/**
 * From a ConnectionSpec to what nats.js wants. URLs are checked before anything is dialled, and user names and
 * passwords in them are taken out: nats.js would ignore them, and no message may repeat them.
 */
import { readFile } from 'node:fs/promises';
import { type ConnectionSpec, describeConnection, messageOf } from '@canopy/core';
import { credsAuthenticator, type NodeConnectionOptions } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';

export interface ParsedServers {
  /** `host:port` each. */
  readonly servers: readonly string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** Throws NATS_URL_INVALID for the first URL that is none. */
export function parseServers(urls: readonly string[]): ParsedServers {
  if (urls.length === 0) throw natsErrors.create('NATS_URL_INVALID', { url: '' });
  const parsed = urls.map(parseServer);
  const withUser = parsed.find((server) => server.username !== '');
  const credentials =
    withUser === undefined
      ? {}
      : withUser.password === ''
        ? { token: decodeURIComponent(withUser.username) }
        : { user: decodeURIComponent(withUser.username), password: decodeURIComponent(withUser.password) };
  return {
    servers: parsed.map((server) => `${server.hostname}:${server.port === '' ? 4222 : server.port}`),
    tls: parsed.some((server) => server.tls),
    ...credentials,
  };
}

function parseServer(url: string): {
  hostname: string;
  port: string;
  username: string;
  password: string;
  tls: boolean;
} {
  const invalid = (): Error => natsErrors.create('NATS_URL_INVALID', { url: describeConnection({ servers: [url] }) });
  const scheme = /^([a-z]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'nats' && scheme !== 'tls') throw invalid();
  try {
    // Parsed as http, because URL knows no ports and hosts for schemes that it doesn't know.
    const rest = scheme === undefined ? url : url.slice(scheme.length + 3);
    const { hostname, port, username, password, pathname } = new URL(`http://${rest}`);
    if (hostname === '' || pathname !== '/' || /\s/.test(url)) throw invalid();
    // URL drops :80 as the default of http.
    return {
      hostname,
      port: port === '' && /:80\/?$/.test(rest) ? '80' : port,
      username,
      password,
      tls: scheme === 'tls',
    };
  } catch {
    throw invalid();
  }
}

/** Options for `connect`. Reads the credentials file. Throws NATS_URL_INVALID, NATS_CREDENTIALS_UNREADABLE. */
export async function connectOptions(spec: ConnectionSpec, name: string): Promise<NodeConnectionOptions> {
  const parsed = parseServers(spec.servers);
  const user = spec.user ?? parsed.user;
  const password = spec.password ?? parsed.password;
  const token = spec.token ?? parsed.token;
  const { ca, cert, key } = spec.tls ?? {};
  const tls = {
    ...(ca === undefined ? {} : { caFile: ca }),
    ...(cert === undefined ? {} : { certFile: cert }),
    ...(key === undefined ? {} : { keyFile: key }),
  };
  return {
    servers: [...parsed.servers],
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 50,
    reconnectJitterTLS: 50,
    timeout: 1000,
    pingInterval: 1000,
    maxPingOut: 2,
    // A server that comes back with other users for a moment must not end the session for good.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(spec.tls === undefined && !parsed.tls ? {} : { tls }),
    ...(spec.credentials === undefined ? {} : { authenticator: credsAuthenticator(await readCreds(spec.credentials)) }),
  };
}

async function readCreds(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw natsErrors.create('NATS_CREDENTIALS_UNREADABLE', { file, reason: messageOf(error) });
  }
}
