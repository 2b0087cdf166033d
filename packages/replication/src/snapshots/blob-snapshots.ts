/**
 * Snapshots in an object bucket. Each is two objects: the lines, and then a small manifest, which makes it visible. Invariant: what has a
 * manifest is stored whole; lines without one are what an interrupted put has left, and are pruned.
 */
import { type Env, hasCode, messageOf, systemEnv } from '@canopy/core';
import type { BlobInfo, Blobs, NatsSession } from '@canopy/nats';
import { replicationErrors } from '../errors.ts';
import { checkNamespace } from '../log/subjects.ts';
import type { SnapshotInfo, SnapshotStore } from '../ports/snapshot-store.ts';
import { LineWriter, readLines } from './lines.ts';

export interface SnapshotOptions {
  /** The bucket's name; many namespaces may share one. Default `CANOPY_REPLICATION_snapshots`. */
  readonly bucket?: string;
  /** Copies of a bucket that is made. Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  /** Beyond it a put fails with BUCKET_FULL. Default: no limit. */
  readonly maxBytes?: number;
  /** Bound on writing or reading one snapshot. Default 10 min. */
  readonly transferMs?: number;
}

const MANIFEST = '.json';
const LINES = '.lines';
const MANIFEST_BYTES_MAX = 64 * 1024;
/** Lines without a manifest may still get one for so long. */
const ORPHANED_MS = 3_600_000;

/** Also throws what the calls of an object bucket throw: BUCKET_FULL, JETSTREAM_UNAVAILABLE (a put may be tried again with new lines), … */
export async function blobSnapshots(
  session: NatsSession,
  options: SnapshotOptions = {},
  env: Env = systemEnv(),
): Promise<SnapshotStore> {
  const { bucket = 'CANOPY_REPLICATION_snapshots', replicas, maxBytes, transferMs = 600_000 } = options;
  const blobs = await session.ensureBlobs(bucket, {
    ...(replicas === undefined ? {} : { replicas }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  return new BlobSnapshots(blobs, transferMs, env);
}

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

class BlobSnapshots implements SnapshotStore {
  readonly #blobs: Blobs;
  readonly #transferMs: number;
  readonly #env: Env;

  constructor(blobs: Blobs, transferMs: number, env: Env) {
    this.#blobs = blobs;
    this.#transferMs = transferMs;
    this.#env = env;
  }

  async put(
    about: Pick<SnapshotInfo, 'namespace' | 'sequence' | 'epoch' | 'logCreatedAt'>,
    lines: AsyncIterable<string> | Iterable<string>,
    { signal }: Signalled = {},
  ): Promise<SnapshotInfo> {
    const { namespace, sequence, epoch, logCreatedAt } = about;
    checkNamespace(namespace, 'a snapshot');
    const name = `${namespace}/${padded(logCreatedAt)}-${padded(sequence)}-${this.#drawId()}`;
    const writer = new LineWriter();
    const transfer = { createOnly: true, timeoutMs: this.#transferMs, signal };
    try {
      await this.#blobs.put(name + LINES, writer.pieces(lines), transfer);
      const storedAt = this.#env.clock.wall();
      const info = { namespace, sequence, epoch, logCreatedAt, ...writer.facts(), storedAt };
      await this.#blobs.put(name + MANIFEST, Buffer.from(JSON.stringify(info)), { createOnly: true, signal });
      return info;
    } catch (error) {
      // Whether the manifest is there is not known then, and with it the lines must be.
      if (!hasCode(error, 'DEADLINE_EXCEEDED') && !signal?.aborted) this.#forget(name + LINES);
      throw error;
    }
  }

  async latest(namespace: string): Promise<SnapshotInfo | undefined> {
    const { manifests } = await this.#list(namespace);
    for (const manifest of manifests) {
      const found = await this.#manifest(manifest.name);
      if (found !== undefined) return found.info;
    }
    return undefined;
  }

  async *read(info: SnapshotInfo, { signal }: Signalled = {}): AsyncGenerator<readonly string[]> {
    const fail = (problem: string, cause?: unknown): Error =>
      replicationErrors.create(
        'SNAPSHOT_DAMAGED',
        { namespace: info.namespace, sequence: info.sequence, problem },
        cause,
      );
    const name = await this.#nameOf(info);
    const blob = name && (await this.#blobs.get(name, { timeoutMs: this.#transferMs, signal }));
    if (!blob) throw fail('it is not there any more');
    try {
      yield* readLines(blob.data, info, fail);
    } catch (error) {
      if (hasCode(error, 'BLOB_GONE')) throw fail('it was removed while it was read', error);
      if (hasCode(error, 'BLOB_CORRUPT')) throw fail('its bytes do not match their digest', error);
      throw error;
    }
  }

  async prune(namespace: string, keep: number): Promise<number> {
    const { manifests, lines } = await this.#list(namespace);
    const old = manifests.slice(Math.max(1, Math.floor(keep)));
    for (const { name } of old) {
      await this.#blobs.delete(name);
      await this.#blobs.delete(linesOf(name));
    }
    const newest = Math.max(0, ...[...manifests, ...lines].map(({ writtenAt }) => writtenAt));
    const described = new Set(manifests.map(({ name }) => linesOf(name)));
    for (const { name, writtenAt } of lines)
      if (!described.has(name) && newest - writtenAt > ORPHANED_MS) await this.#blobs.delete(name);
    return old.length;
  }

  /** The newest log's first, and of one log the greatest sequence. */
  async #list(namespace: string): Promise<{ manifests: BlobInfo[]; lines: BlobInfo[] }> {
    const all = await this.#blobs.list(`${checkNamespace(namespace, 'a snapshot')}/`);
    all.sort((a, b) => (a.name < b.name ? 1 : -1));
    return {
      manifests: all.filter(({ name }) => name.endsWith(MANIFEST)),
      lines: all.filter(({ name }) => name.endsWith(LINES)),
    };
  }

  async #manifest(name: string): Promise<{ readonly info: SnapshotInfo } | undefined> {
    try {
      const found = await this.#blobs.read(name, { maxBytes: MANIFEST_BYTES_MAX });
      if (found === undefined) return undefined;
      return { info: JSON.parse(Buffer.from(found.bytes).toString('utf8')) as SnapshotInfo };
    } catch (error) {
      if (!hasCode(error, 'BLOB_GONE') && !hasCode(error, 'BLOB_CORRUPT') && !(error instanceof SyntaxError))
        throw error;
      this.#env.log.error('replication_snapshot_unreadable', { name, error: messageOf(error) });
      return undefined;
    }
  }

  /** The lines that a snapshot means: two may stand for one position, made by two nodes. */
  async #nameOf(info: SnapshotInfo): Promise<string | undefined> {
    const prefix = `${info.namespace}/${padded(info.logCreatedAt)}-${padded(info.sequence)}-`;
    const { manifests } = await this.#list(info.namespace);
    for (const { name } of manifests.filter((manifest) => manifest.name.startsWith(prefix))) {
      const found = await this.#manifest(name);
      if (found?.info.sha256 === info.sha256) return linesOf(name);
    }
    return undefined;
  }

  #forget(name: string): void {
    this.#blobs.delete(name).catch((error) => {
      this.#env.log.debug('replication_snapshot_left', { name, error: messageOf(error) });
    });
  }

  #drawId(): string {
    return Math.floor(this.#env.random.next() * 0xffff_ffff)
      .toString(16)
      .padStart(8, '0');
  }
}

function linesOf(manifest: string): string {
  return manifest.slice(0, -MANIFEST.length) + LINES;
}

/** So that names sort as the numbers do. */
function padded(value: number): string {
  return String(value).padStart(16, '0');
}
