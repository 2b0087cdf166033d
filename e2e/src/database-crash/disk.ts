/**
 * What a disk may hold after a loss of power: rebuilt from the files as they were at first and everything that the shim
 * wrote down since. What was flushed is there, whole; of the rest any part that the chance decides, down to sectors.
 * Invariant: whatever comes out could have come from a file system that promises no more than POSIX does.
 */
import { dirname } from 'node:path';
import type { Random } from '@canopy/core';

export interface DiskOperation {
  readonly type: string;
  /** Bytes of the record before this one: what a flush names as its beginning. */
  readonly at: number;
  readonly inode: number;
  /** Of a write; the size of a truncation; where in the record a flush began. */
  readonly offset: number;
  readonly data: Uint8Array;
  readonly path: string;
  readonly target: string;
}

export interface FileImage {
  readonly content: Uint8Array;
  /** 0: not known. Programs may count on a file's keeping it. */
  readonly inode: number;
}

export type Files = ReadonlyMap<string, FileImage>;
/** How much of what was not flushed is there: nothing, all, the beginning, any operations, any sectors. */
export const LOSSES = ['nothing', 'all', 'beginning', 'operations', 'sectors'] as const;
export type Loss = (typeof LOSSES)[number];

const SECTOR = 512;
const NEWLINE = 10;

/** A short record at the end is that of a process that was killed while it wrote it: ignored. */
export function parseDiskLog(bytes: Uint8Array): readonly DiskOperation[] {
  const text = new TextDecoder();
  const operations: DiskOperation[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const end = bytes.indexOf(NEWLINE, at);
    if (end < 0) break;
    const fields = text.decode(bytes.subarray(at, end)).split('\t');
    const [type, inode, offset, length, path, target] = fields as [string, string, string, string, string, string];
    const next = end + 1 + Number(length);
    if (next > bytes.byteLength) break;
    const data = bytes.subarray(end + 1, next);
    operations.push({ type, at, inode: Number(inode), offset: Number(offset), data, path, target });
    at = next;
  }
  return operations;
}

interface DiskFile {
  readonly first: Uint8Array;
  inode: number;
  readonly changes: DiskOperation[];
  /** Changes that were written down before are on the disk. */
  flushed: number;
}

type NameChange = { readonly at: number; readonly path: string } & (
  | { readonly type: 'put'; readonly file: DiskFile }
  | { readonly type: 'remove' }
  | { readonly type: 'move'; readonly to: string; readonly files: ReadonlyMap<string, DiskFile> }
);

/** The files after power was lost when everything in `operations` had been called. */
export function afterPowerLoss(first: Files, operations: readonly DiskOperation[], loss: Loss, random: Random): Files {
  const { begin, changes, flushed } = replay(first, operations);
  const names = new Map(begin);
  for (const change of survivors(changes, flushed, loss, random)) applyName(names, change);
  return new Map(
    [...names].map(([path, file]) => [path, { content: contentOf(file, loss, random), inode: file.inode }]),
  );
}

function replay(first: Files, operations: readonly DiskOperation[]) {
  const fresh = (content: Uint8Array, inode: number): DiskFile => ({ first: content, inode, changes: [], flushed: 0 });
  const begin = new Map([...first].map(([path, { content, inode }]) => [path, fresh(content, inode)]));
  const live = new Map(begin);
  const byInode = new Map<number, DiskFile>();
  const changes: NameChange[] = [];
  const flushed = new Map<string, number>();
  const change = (made: NameChange): void => {
    changes.push(made);
    applyName(live, made);
  };
  for (const operation of operations) {
    const { type, at, inode, offset, path, target } = operation;
    if (type === 'create') change({ type: 'put', at, path, file: fresh(new Uint8Array(), inode) });
    if (type === 'create' || type === 'open') {
      const file = live.get(path);
      if (file !== undefined) byInode.set(inode, file);
    } else if (type === 'write' || type === 'truncate') byInode.get(inode)?.changes.push(operation);
    else if (type === 'sync') {
      const file = byInode.get(inode);
      if (file !== undefined) file.flushed = Math.max(file.flushed, offset);
    } else if (type === 'syncdir') flushed.set(path, Math.max(flushed.get(path) ?? 0, offset));
    else if (type === 'unlink' && live.has(path)) change({ type: 'remove', at, path });
    else if (type === 'rename') {
      const inside = [...live].filter(([name]) => name === path || name.startsWith(`${path}/`));
      if (inside.length > 0) change({ type: 'move', at, path, to: target, files: new Map(inside) });
    }
  }
  return { begin, changes, flushed };
}

function applyName(names: Map<string, DiskFile>, change: NameChange): void {
  if (change.type === 'put') names.set(change.path, change.file);
  else if (change.type === 'remove') names.delete(change.path);
  else
    for (const [from, file] of change.files) {
      names.delete(from);
      names.set(change.to + from.slice(change.path.length), file);
    }
}

/** Changes of names that the disk has: those whose directory was flushed since, and of the others what `loss` leaves. */
function survivors(
  changes: readonly NameChange[],
  flushed: ReadonlyMap<string, number>,
  loss: Loss,
  random: Random,
): readonly NameChange[] {
  const isFlushed = (change: NameChange): boolean => {
    const places = change.type === 'move' ? [change.path, change.to] : [change.path];
    return places.some((path) => (flushed.get(dirname(path)) ?? 0) > change.at);
  };
  const sure = changes.findLastIndex(isFlushed) + 1;
  if (loss === 'all') return changes;
  if (loss === 'nothing') return changes.filter(isFlushed);
  if (loss === 'beginning') return changes.slice(0, sure + random.int(changes.length - sure + 1));
  return changes.filter((change) => isFlushed(change) || random.int(2) === 0);
}

function contentOf(file: DiskFile, loss: Loss, random: Random): Uint8Array {
  const pending = file.changes.filter(({ at }) => at >= file.flushed);
  const upTo = loss === 'beginning' ? random.int(pending.length + 1) : loss === 'nothing' ? 0 : pending.length;
  let content = new Uint8Array(file.first);
  const grow = (size: number): void => {
    if (size <= content.byteLength) return;
    const larger = new Uint8Array(size);
    larger.set(content);
    content = larger;
  };
  let seen = 0;
  // Room for all of it at once: a file that grows write by write would be copied as often.
  let size = content.byteLength;
  grow(Math.max(0, ...file.changes.map((one) => (one.type === 'write' ? one.offset + one.data.byteLength : 0))));
  for (const { type, at, offset, data } of file.changes) {
    const isPending = at >= file.flushed;
    if (isPending && (seen++ >= upTo || (loss === 'operations' && random.int(2) === 0))) continue;
    if (type === 'truncate') {
      if (isPending && loss === 'sectors' && random.int(2) === 0) continue;
      content.fill(0, Math.min(offset, content.byteLength));
      grow(offset);
      size = offset;
      continue;
    }
    for (let from = 0; from < data.byteLength; ) {
      const part = isPending && loss === 'sectors' ? SECTOR - ((offset + from) % SECTOR) : data.byteLength;
      const to = Math.min(data.byteLength, from + part);
      if (!isPending || loss !== 'sectors' || random.int(2) === 0) content.set(data.subarray(from, to), offset + from);
      from = to;
    }
    size = Math.max(size, offset + data.byteLength);
  }
  return content.subarray(0, size);
}
