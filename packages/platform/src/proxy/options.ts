/** Options of an app's proxy. */
import { type Duration, resolveOptions } from '@canopy/core';

export interface ProxyOptions {
  /** `host:port` to listen on; the host defaults to 127.0.0.1, port 0 picks a free one. */
  readonly listen: string | number;
  /** Where the backend serves HTTP: `http://127.0.0.1:8080`. Default: the backend's own address. */
  readonly to?: string;
  /**
   * `replicated` (default): the response to a mutating request leaves only when its commit is stored on the log's
   * quorum. `async`: it leaves at once; the last commits before a crash may be lost. Without a database: `async`.
   */
  readonly writes?: 'replicated' | 'async';
  /** How long a request waits while there is no active instance (default 10 s); then 503 with Retry-After. */
  readonly queueTimeout?: Duration;
  /** How many requests may wait (default 1000); more are answered 503 at once. */
  readonly maxQueue?: number;
  /** Largest request body in bytes (default 64 MiB); more is 413. */
  readonly maxBodyBytes?: number;
  /** How long to wait for a connection to a backend or another node (default 2 s). */
  readonly connectTimeout?: Duration;
  /** How long to wait for the head of a response (default 60 s); then 504. */
  readonly responseTimeout?: Duration;
  /** How long a response may be held for its confirmation (default 10 s); then 503. */
  readonly syncTimeout?: Duration;
  /** How long a connection that is streaming may be silent (default 5 min). */
  readonly idleTimeout?: Duration;
  /** Client connections at once (default 4096); more are refused. */
  readonly maxConnections?: number;
}

export interface ResolvedProxyOptions {
  readonly host: string;
  readonly port: number;
  readonly to: string | undefined;
  readonly writes: 'replicated' | 'async';
  readonly queueTimeoutMs: number;
  readonly maxQueue: number;
  readonly maxBodyBytes: number;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly syncTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxConnections: number;
}

/** Throws OPTIONS_INVALID. */
export function resolveProxyOptions(options: ProxyOptions, subject = 'proxy'): ResolvedProxyOptions {
  return resolveOptions(subject, options, (read) => {
    const listen = parseListen(read.any<unknown>('listen', { required: true }));
    read.check(
      listen !== undefined || options.listen === undefined,
      'listen',
      `must be "host:port" or a port, got ${JSON.stringify(options.listen)}`,
    );
    const to = read.optionalString('to');
    read.check(to === undefined || isHttpOrigin(to), 'to', `must be like "http://127.0.0.1:8080", got "${to}"`);
    return {
      host: listen?.host ?? '127.0.0.1',
      port: listen?.port ?? 0,
      to: to?.replace(/\/$/, ''),
      writes: read.oneOf('writes', ['replicated', 'async'], { default: 'replicated' }),
      queueTimeoutMs: read.durationMs('queueTimeout', { default: 10_000, maxMs: 600_000 }),
      maxQueue: read.integer('maxQueue', { default: 1000, min: 0, max: 1_000_000 }),
      maxBodyBytes: read.integer('maxBodyBytes', { default: 64 * 1024 * 1024, min: 0 }),
      connectTimeoutMs: read.durationMs('connectTimeout', { default: 2000, minMs: 1 }),
      responseTimeoutMs: read.durationMs('responseTimeout', { default: 60_000, minMs: 1 }),
      syncTimeoutMs: read.durationMs('syncTimeout', { default: 10_000, minMs: 1 }),
      idleTimeoutMs: read.durationMs('idleTimeout', { default: 300_000, minMs: 1 }),
      maxConnections: read.integer('maxConnections', { default: 4096, min: 1 }),
    };
  });
}

/** `8080`, `:8080`, `host:8080`, `[::1]:8080`. Undefined when it is none of these. */
export function parseListen(value: unknown): { host: string; port: number } | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return undefined;
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]\s]*):)?(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const port = Number(match[2]);
  if (port > 65_535) return undefined;
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  return { host: host === '' ? '127.0.0.1' : host, port };
}

function isHttpOrigin(text: string): boolean {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' && url.pathname === '/' && url.search === '';
  } catch {
    return false;
  }
}
