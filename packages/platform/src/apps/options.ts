/** What a user says of an app. */
import {
  type BackendProvider,
  type DatabaseProvider,
  type Duration,
  optionsInvalid,
  resolveOptions,
} from '@canopy/core';
import { type ProxyOptions, type ResolvedProxyOptions, resolveProxyOptions } from '../proxy/options.ts';
import { type AppHooks, hookProblem } from './hooks.ts';

/** How many instances run, and which of them serve. */
export interface AppMode {
  readonly kind: 'singleton';
}

/** Active-passive: one elected instance serves, the others follow. */
export function singleton(): AppMode {
  return { kind: 'singleton' };
}

export interface AppElectionOptions {
  /** Length of the lease (default: the platform's, 10 s). All nodes must agree. */
  readonly ttl?: Duration;
  /** Renewals; a third of the ttl at most. */
  readonly heartbeatInterval?: Duration;
}

export interface AppOptions extends AppHooks {
  readonly mode: AppMode;
  readonly database?: DatabaseProvider;
  readonly backend?: BackendProvider;
  readonly proxy?: ProxyOptions;
  readonly election?: AppElectionOptions;
  /** How long a planned step-down waits for requests under way at the backend (default 2 s). */
  readonly drainTimeout?: Duration;
  /**
   * How long the database may take to catch up, claim and verify on becoming active (default 2 min). While another node
   * could take over at once it is 20 s, doubled with each failure in a row, at most.
   */
  readonly promoteTimeout?: Duration;
  /** How long the backend gets to end on a planned step-down before it is killed (default: the backend's own). */
  readonly stopGrace?: Duration;
}

export interface ResolvedAppOptions {
  readonly mode: AppMode;
  readonly database: DatabaseProvider | undefined;
  readonly backend: BackendProvider | undefined;
  readonly proxy: ResolvedProxyOptions | undefined;
  readonly election: { readonly ttlMs: number; readonly heartbeatMs: number | undefined };
  readonly hooks: AppHooks;
  readonly drainTimeoutMs: number;
  readonly promoteTimeoutMs: number;
  readonly stopGraceMs: number | undefined;
}

const HOOKS = ['onActive', 'onPassive', 'onStandby', 'onLeaderChange', 'onStart', 'onStop'] as const;

/** Throws OPTIONS_INVALID. */
export function resolveAppOptions(app: string, options: AppOptions, defaults: { ttlMs: number }): ResolvedAppOptions {
  return resolveOptions(`app ${app}`, options, (read) => {
    const mode = read.any<AppMode | undefined>('mode', { required: true });
    read.check(mode === undefined || mode.kind === 'singleton', 'mode', 'must be singleton()');
    const hooks: Record<string, unknown> = {};
    for (const name of HOOKS) {
      const hook = read.any<unknown>(name);
      const problem = hookProblem(hook);
      read.check(problem === undefined, name, problem ?? '');
      if (hook !== undefined) hooks[name] = hook;
    }
    const database = read.any<DatabaseProvider | undefined>('database');
    read.check(database === undefined || typeof database.open === 'function', 'database', 'must be like sqlite(path)');
    const backend = read.any<BackendProvider | undefined>('backend');
    read.check(
      backend === undefined || typeof backend.open === 'function',
      'backend',
      'must be like processBackend(…)',
    );
    const proxy = read.any<ProxyOptions | undefined>('proxy');
    read.check(
      proxy === undefined || backend !== undefined || proxy.to !== undefined,
      'proxy',
      'needs a backend, or an address in proxy.to',
    );
    return {
      mode: mode ?? singleton(),
      database,
      backend,
      proxy: proxy === undefined ? undefined : resolveProxyOptions(proxy, `app ${app}: proxy`),
      election: resolveElection(app, read.any<AppElectionOptions>('election', { default: {} }), defaults),
      hooks: hooks as AppHooks,
      drainTimeoutMs: read.durationMs('drainTimeout', { default: 2000, maxMs: 60_000 }),
      promoteTimeoutMs: read.durationMs('promoteTimeout', { default: 120_000, minMs: 1 }),
      stopGraceMs: options.stopGrace === undefined ? undefined : read.durationMs('stopGrace', { maxMs: 600_000 }),
    };
  });
}

function resolveElection(
  app: string,
  options: AppElectionOptions,
  defaults: { ttlMs: number },
): ResolvedAppOptions['election'] {
  if (typeof options !== 'object' || options === null)
    throw optionsInvalid(`app ${app}`, [{ field: 'election', problem: 'must be an object' }]);
  return resolveOptions(`app ${app}: election`, options, (read) => {
    const heartbeatMs = read.durationMs('heartbeatInterval', { default: 0 });
    return {
      ttlMs: read.durationMs('ttl', { default: defaults.ttlMs, minMs: 300, maxMs: 3_600_000 }),
      heartbeatMs: heartbeatMs === 0 ? undefined : heartbeatMs,
    };
  });
}
