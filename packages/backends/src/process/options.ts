/** What a user writes for a process backend, and what it becomes: defaults filled in, units in the names. */
import { CanopyError, type Duration, type OptionReader, resolveOptions, type Violation } from '@canopy/core';
import { splitCommand } from './command-line.ts';
import type { HealthRules } from './health-state.ts';
import type { OutputLine } from './output.ts';
import type { RestartMode, RestartPolicy } from './restart-policy.ts';

export interface ProcessBackendOptions {
  /** The program and its arguments. One text is split at blanks (quotes keep together) and never sees a shell. */
  readonly command: string | readonly string[];
  /** Default: the node's own working directory. */
  readonly cwd?: string;
  /** Added to the node's own environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Time between SIGTERM and SIGKILL. Default 10 s. */
  readonly grace?: Duration;
  /** Time to become healthy. Default 30 s. */
  readonly startTimeout?: Duration;
  /** How to tell that it serves. Without it, a process that stays up for `settle` counts as healthy. */
  readonly health?: ProcessHealthOptions;
  /** Without a health endpoint: how long it must run to count as started. Default 100 ms. */
  readonly settle?: Duration;
  /** Where it serves HTTP, for the proxy: `http://127.0.0.1:8080`. Default: the origin of the health endpoint. */
  readonly address?: string;
  readonly restart?: ProcessRestartOptions;
  /** A file, or a function that gets each line. Default: the node's own log, at most 500 lines a second. */
  readonly log?: ProcessLogOptions | ((line: OutputLine) => void);
}

export interface ProcessHealthOptions {
  /** The whole URL; or give `path`, and `port` where it is not that of the backend's `address`. */
  readonly url?: string;
  readonly port?: number;
  /** Default `/health`. */
  readonly path?: string;
  /** Between two probes of a running backend. Default 1 s; a start probes faster. */
  readonly interval?: Duration;
  /** For one answer. Default 2 s. */
  readonly timeout?: Duration;
  /** Good answers in a row until it is healthy. Default 1. */
  readonly healthyAfter?: number;
  /** Bad answers in a row until it is unhealthy. Default 3. */
  readonly unhealthyAfter?: number;
}

export interface ProcessRestartOptions {
  /** `on-failure` (default): exit code other than 0, a signal, unhealthy. `always`: exit code 0 too. */
  readonly policy?: RestartMode;
  /** Restarts allowed `within` a time; past that the backend has failed and the node steps down. Default 5 within 1 min. */
  readonly maxRestarts?: number;
  readonly within?: Duration;
  /** First pause between end and restart, doubling up to `maxBackoff`. Defaults 200 ms and 10 s. */
  readonly backoff?: Duration;
  readonly maxBackoff?: Duration;
}

export interface ProcessLogOptions {
  /** Relative paths start at the backend's state directory. */
  readonly file: string;
  /** A file that reaches this size is moved to `<file>.1`. Default 10 MiB. */
  readonly maxBytes?: number;
  /** Moved files kept. Default 3. */
  readonly keep?: number;
}

export interface ResolvedHealth extends HealthRules {
  readonly url: URL;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface ResolvedProcessOptions {
  readonly command: readonly string[];
  readonly cwd: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly graceMs: number;
  readonly startTimeoutMs: number;
  readonly settleMs: number;
  readonly health: ResolvedHealth | undefined;
  readonly address: string | undefined;
  readonly restart: RestartPolicy;
  readonly log:
    | { readonly kind: 'env' }
    | { readonly kind: 'handler'; readonly handler: (line: OutputLine) => void }
    | { readonly kind: 'file'; readonly file: string; readonly maxBytes: number; readonly keep: number };
}

/** Throws OPTIONS_INVALID with every violation, nested ones by their full field name. */
export function resolveProcessOptions(options: ProcessBackendOptions): ResolvedProcessOptions {
  return resolveOptions('processBackend', options, (reader) => {
    const address = readAddress(reader);
    const health = nested(reader, 'health', (inner) => readHealth(inner, address));
    return {
      command: readCommand(reader),
      cwd: reader.optionalString('cwd'),
      env: readEnv(reader),
      graceMs: reader.durationMs('grace', { default: 10_000 }),
      startTimeoutMs: reader.durationMs('startTimeout', { default: 30_000, minMs: 1 }),
      settleMs: reader.durationMs('settle', { default: 100 }),
      health,
      address: address ?? health?.url.origin,
      restart: nested(reader, 'restart', readRestart) ?? DEFAULT_RESTART,
      log: readLog(reader),
    };
  });
}

const DEFAULT_RESTART: RestartPolicy = resolveOptions('restart', {}, readRestart);

function readCommand(reader: OptionReader): readonly string[] {
  const value = reader.any<unknown>('command');
  if (value === undefined) reader.check(false, 'command', 'is required');
  else if (typeof value === 'string') {
    const split = splitCommand(value);
    if ('words' in split) return split.words;
    reader.check(false, 'command', split.problem);
  } else {
    const isWords = Array.isArray(value) && value.every((word) => typeof word === 'string' && !word.includes('\0'));
    reader.check(isWords, 'command', 'must be a text or a list of texts');
    reader.check(!isWords || (value.length > 0 && value[0] !== ''), 'command', 'names no program');
    if (isWords) return value as string[];
  }
  return [];
}

function readEnv(reader: OptionReader): Readonly<Record<string, string | undefined>> {
  const value = reader.any<unknown>('env', { default: {} });
  const isRecord =
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((entry) => entry === undefined || typeof entry === 'string');
  reader.check(isRecord, 'env', 'must map names to texts');
  return isRecord ? (value as Record<string, string>) : {};
}

function readAddress(reader: OptionReader): string | undefined {
  const text = reader.optionalString('address');
  if (text === undefined) return undefined;
  const isHttp = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  reader.check(isHttp, 'address', `must be an http:// or https:// URL, got ${JSON.stringify(text)}`);
  return isHttp ? new URL(text).origin : undefined;
}

function readHealth(reader: OptionReader, address: string | undefined): ResolvedHealth {
  const text = reader.optionalString('url');
  const port = reader.integer('port', { default: 0, min: 1, max: 65_535 });
  const path = reader.string('path', { default: '/health', pattern: /^\//, patternHelp: 'must begin with "/"' });
  reader.check(text === undefined || port === 0, 'url', 'and "port" exclude each other');
  reader.check(
    text !== undefined || port !== 0 || address !== undefined,
    'url',
    'is needed, or "port", or the backend\'s "address"',
  );
  const origin = port === 0 && address !== undefined ? address : `http://127.0.0.1:${port}`;
  const whole = text ?? origin + path;
  const isHttp = URL.canParse(whole) && /^https?:$/.test(new URL(whole).protocol);
  reader.check(isHttp, 'url', `must be an http:// or https:// URL, got ${JSON.stringify(text)}`);
  return {
    url: new URL(isHttp ? whole : 'http://127.0.0.1'),
    intervalMs: reader.durationMs('interval', { default: 1000, minMs: 10 }),
    timeoutMs: reader.durationMs('timeout', { default: 2000, minMs: 1 }),
    healthyAfter: reader.integer('healthyAfter', { default: 1, min: 1 }),
    unhealthyAfter: reader.integer('unhealthyAfter', { default: 3, min: 1 }),
  };
}

function readRestart(reader: OptionReader): RestartPolicy {
  const initialMs = reader.durationMs('backoff', { default: 200 });
  const maxMs = reader.durationMs('maxBackoff', { default: Math.max(10_000, initialMs) });
  reader.check(maxMs >= initialMs, 'maxBackoff', 'must not be below "backoff"');
  return {
    mode: reader.oneOf('policy', ['on-failure', 'always', 'never'], { default: 'on-failure' }),
    maxRestarts: reader.integer('maxRestarts', { default: 5, min: 0, max: 1000 }),
    withinMs: reader.durationMs('within', { default: 60_000, minMs: 1 }),
    backoff: { initialMs, maxMs },
  };
}

function readLog(reader: OptionReader): ResolvedProcessOptions['log'] {
  const value = reader.any<unknown>('log');
  if (value === undefined) return { kind: 'env' };
  if (typeof value === 'function') return { kind: 'handler', handler: value as (line: OutputLine) => void };
  const file = nested(reader, 'log', (log) => ({
    kind: 'file' as const,
    file: log.string('file', { required: true }),
    maxBytes: log.integer('maxBytes', { default: 10 * 1024 * 1024, min: 1024 }),
    keep: log.integer('keep', { default: 3, min: 0, max: 100 }),
  }));
  return file ?? { kind: 'env' };
}

/** Reads an options object inside the options; its violations join the others under `field.`. */
function nested<T>(reader: OptionReader, field: string, read: (reader: OptionReader) => T): T | undefined {
  const value = reader.any<unknown>(field);
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    reader.check(false, field, 'must be an object');
    return undefined;
  }
  try {
    return resolveOptions(field, value, read);
  } catch (error) {
    if (!CanopyError.is(error) || error.code !== 'OPTIONS_INVALID') throw error;
    for (const violation of error.fields['violations'] as readonly Violation[])
      reader.check(false, `${field}.${violation.field}`, violation.problem);
    return undefined;
  }
}
