/** Where a log is, as a user says it: an address in one line, or its parts. */
import { resolve } from 'node:path';
import { type ConnectionSpec, type Env, systemEnv } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { StoreSpec } from '../process/protocol.ts';
import { openLog as openStoredLog } from '../store/open-log.ts';

/**
 * `nats://host:4222/bucket` (several servers: `nats://a:4222,b:4222/bucket`), `file:///path` or a path, or the parts. The
 * bucket holds one database's log.
 */
export type StoreOption = string | (ConnectionSpec & { readonly bucket: string }) | { readonly directory: string };

export interface StorePlace {
  readonly store: StoreSpec;
  readonly connection: ConnectionSpec;
  /** Without secrets, for messages. */
  readonly label: string;
}

const BUCKET = /^[\w-]{1,200}$/;
const NOWHERE: ConnectionSpec = { servers: [] };

/** Throws SQLITE_STORE_INVALID. */
export function parseStore(option: StoreOption): StorePlace {
  if (typeof option === 'string')
    return option.startsWith('nats://') || option.startsWith('tls://') ? natsUrl(option) : directory(option);
  if (option !== null && typeof option === 'object' && 'directory' in option) return directory(option.directory);
  const { bucket, ...connection } = (option ?? {}) as ConnectionSpec & { bucket: string };
  if (!Array.isArray(connection.servers) || connection.servers.length === 0)
    throw invalid(option, 'it names neither servers nor a directory');
  return bucketAt(option, connection, bucket);
}

/** A log to read from or write to; `close` ends what was opened for it. Throws BLOB_BUCKET_MISSING, NATS_UNREACHABLE. */
export async function openLog(
  option: StoreOption,
  options: { readonly env?: Env | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly log: SegmentLog; close(): Promise<void> }> {
  const { env = systemEnv(), signal } = options;
  const { store, connection } = parseStore(option);
  return openStoredLog({ store, connection, name: 'canopy-db', env, signal });
}

function natsUrl(text: string): StorePlace {
  const match = /^((?:nats|tls):\/\/[^/]+)\/([^/]*)$/.exec(text);
  if (match === null) throw invalid(text, 'after the servers comes a slash and the bucket');
  const [scheme] = text.split('://');
  const servers = (match[1] as string).split(',').map((server, i) => (i === 0 ? server : `${scheme}://${server}`));
  return bucketAt(text, { servers }, match[2] as string);
}

function bucketAt(given: unknown, connection: ConnectionSpec, bucket: string): StorePlace {
  if (!connection.servers.every((server) => typeof server === 'string' && server !== ''))
    throw invalid(given, 'a server is a text such as nats://host:4222');
  if (typeof bucket !== 'string' || !BUCKET.test(bucket))
    throw invalid(given, 'a bucket has letters, digits, _ and - in its name');
  return { store: { kind: 'nats', bucket }, connection, label: `bucket ${bucket}` };
}

function directory(given: string): StorePlace {
  if (typeof given !== 'string') throw invalid(given, 'it names no directory');
  const path = given.startsWith('file://') ? given.slice('file://'.length) : given;
  if (path === '' || path.includes('\0')) throw invalid(given, 'it names no directory');
  if (/^\w+:\/\//.test(path)) throw invalid(given, 'only nats://, tls:// and file:// are known');
  return {
    store: { kind: 'directory', path: resolve(path) },
    connection: NOWHERE,
    label: `directory ${resolve(path)}`,
  };
}

function invalid(given: unknown, problem: string): Error {
  const shown = (typeof given === 'string' ? given : JSON.stringify(given ?? null)).replace(/\/\/[^@/]*@/g, '//');
  return sqliteErrors.create('SQLITE_STORE_INVALID', { store: shown, problem });
}
