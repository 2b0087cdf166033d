/**
 * The Object Store's wire format, shared with the stock `nats` tool and Litestream: do not change. Stream `OBJ_<bucket>`;
 * the bytes in chunks on `$O.<bucket>.C.<nuid>`, then one message on `$O.<bucket>.M.<base64url(name)>` that rolls up
 * its subject and makes the object visible.
 */
import type { BlobInfo } from './port.ts';

export function blobStream(bucket: string): string {
  return `OBJ_${bucket}`;
}

export function chunkSubject(bucket: string, nuid: string): string {
  return `$O.${bucket}.C.${nuid}`;
}

export function metaSubject(bucket: string, name: string): string {
  return `$O.${bucket}.M.${paddedBase64url(Buffer.from(name, 'utf8'))}`;
}

/** All entries of the bucket. */
export function metaFilter(bucket: string): string {
  return `$O.${bucket}.M.>`;
}

export function nameOfMetaSubject(bucket: string, subject: string): string {
  return Buffer.from(subject.slice(`$O.${bucket}.M.`.length), 'base64url').toString('utf8');
}

/** Padded, as Go's URLEncoding. */
export function paddedBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

export interface BlobMeta {
  readonly name: string;
  readonly bucket: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly digest?: string;
  readonly mtime: string;
  readonly deleted?: boolean;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly options?: { readonly max_chunk_size?: number; readonly link?: unknown };
}

export function encodeMeta(meta: {
  bucket: string;
  name: string;
  nuid: string;
  size: number;
  chunks: number;
  sha256: Uint8Array;
  chunkBytes: number;
  headers: Readonly<Record<string, string>> | undefined;
  wallMs: number;
}): Uint8Array {
  const headers = Object.entries(meta.headers ?? {}).map(([name, value]) => [name, [value]]);
  const json = {
    name: meta.name,
    description: '',
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
    options: { max_chunk_size: meta.chunkBytes },
    bucket: meta.bucket,
    nuid: meta.nuid,
    size: meta.size,
    mtime: new Date(meta.wallMs).toISOString(),
    chunks: meta.chunks,
    digest: `SHA-256=${paddedBase64url(meta.sha256)}`,
    deleted: false,
  };
  return Buffer.from(JSON.stringify(json));
}

/** The deletion that watchers of every client understand; it is purged right after. */
export function encodeTombstone(meta: BlobMeta): Uint8Array {
  return Buffer.from(JSON.stringify({ ...meta, deleted: true, size: 0, chunks: 0, digest: '' }));
}

/** Undefined when the bytes are no object entry. */
export function decodeMeta(data: Uint8Array): BlobMeta | undefined {
  try {
    const meta = JSON.parse(Buffer.from(data).toString('utf8')) as BlobMeta;
    return typeof meta === 'object' && meta !== null && typeof meta.name === 'string' ? meta : undefined;
  } catch {
    return undefined;
  }
}

export function toBlobInfo(meta: BlobMeta, revision: number, writtenAt: number): BlobInfo {
  const headers: Record<string, string> = {};
  for (const [name, values] of Object.entries(meta.headers ?? {})) headers[name] = values[0] ?? '';
  return { name: meta.name, size: meta.size ?? 0, revision, headers, writtenAt };
}
