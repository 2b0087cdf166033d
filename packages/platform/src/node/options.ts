/** What a user says of a node. */
import { type ConnectionSpec, checkName, type Duration, resolveOptions } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';

export interface PlatformOptions {
  /** Name of the platform: the same on all its nodes. */
  readonly name: string;
  /** Id of this node: one process holds it at a time. */
  readonly node: string;
  /** NATS servers, `nats://host:port`. Either this, `connection` or `session`. */
  readonly servers?: string | readonly string[];
  /** How to reach NATS, with credentials. */
  readonly connection?: ConnectionSpec;
  /** An open session; the platform never closes it. With `connection`, databases and the warden use that for their own. */
  readonly session?: NatsSession;
  readonly labels?: Readonly<Record<string, string>>;
  /** Where this node keeps its own files. Made when missing. */
  readonly dataDir: string;
  /** Host under which the other nodes reach this one (default 127.0.0.1). */
  readonly address?: string;
  /** Length of the leases of apps that don't say (default 10 s). */
  readonly ttl?: Duration;
  /** How often the membership record is refreshed (default 1 s); the same on all nodes. */
  readonly refreshInterval?: Duration;
  /** Serves /health, /ready, /status and /metrics there (default: not at all). */
  readonly http?: { readonly host?: string; readonly port: number };
  /** A child process that fences and releases when this one can't (default: yes, where `servers` or `connection` is given). */
  readonly warden?: boolean;
  /** Bound on stop() (default 30 s); then it is forced. */
  readonly stopTimeout?: Duration;
  /** Shown in the membership record (default: the package's). */
  readonly version?: string;
}

export interface ResolvedPlatformOptions {
  readonly name: string;
  readonly node: string;
  readonly connection: ConnectionSpec;
  readonly session: NatsSession | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly dataDir: string;
  readonly address: string;
  readonly ttlMs: number;
  readonly refreshMs: number;
  readonly http: { readonly host: string; readonly port: number } | undefined;
  readonly warden: boolean;
  readonly stopTimeoutMs: number;
  readonly version: string;
}

export const PLATFORM_VERSION = '0.1.0';

/** Throws OPTIONS_INVALID and NAME_INVALID. */
export function resolvePlatformOptions(options: PlatformOptions): ResolvedPlatformOptions {
  const resolved = resolveOptions('platform', options, (read) => {
    const servers = read.any<string | readonly string[] | undefined>('servers');
    const connection = read.any<ConnectionSpec | undefined>('connection');
    const session = read.any<NatsSession | undefined>('session');
    read.check(
      servers !== undefined || connection !== undefined || session !== undefined,
      'servers',
      'is required (or connection, or session)',
    );
    read.check(servers === undefined || connection === undefined, 'servers', 'and connection exclude each other');
    const canDial = servers !== undefined || connection !== undefined;
    const warden = read.boolean('warden', { default: canDial });
    read.check(!warden || canDial, 'warden', 'needs servers or connection: it connects by itself');
    const http = read.any<PlatformOptions['http']>('http');
    read.check(
      http === undefined || isPort(http.port),
      'http.port',
      `must be a port, got ${JSON.stringify(http?.port)}`,
    );
    const labels = read.any<Readonly<Record<string, string>>>('labels', { default: {} });
    for (const [name, value] of Object.entries(labels))
      read.check(typeof value === 'string', `labels.${name}`, 'must be a text');
    return {
      name: read.string('name', { required: true }),
      node: read.string('node', { required: true }),
      connection: connection ?? { servers: servers === undefined ? [] : [servers].flat() },
      session,
      labels,
      dataDir: read.string('dataDir', { required: true }),
      address: read.string('address', { default: '127.0.0.1' }),
      ttlMs: read.durationMs('ttl', { default: 10_000, minMs: 300, maxMs: 3_600_000 }),
      refreshMs: read.durationMs('refreshInterval', { default: 1000, minMs: 20, maxMs: 60_000 }),
      http: http === undefined ? undefined : { host: http.host ?? '127.0.0.1', port: http.port },
      warden,
      stopTimeoutMs: read.durationMs('stopTimeout', { default: 30_000, minMs: 100 }),
      version: read.string('version', { default: PLATFORM_VERSION }),
    };
  });
  checkName('platform', resolved.name);
  checkName('node', resolved.node);
  for (const label of Object.keys(resolved.labels)) checkName('label', label);
  return resolved;
}

function isPort(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= 65_535;
}
