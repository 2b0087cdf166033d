/**
 * Reading a large object so that a reading which is cut off, by a kill or otherwise, is gone on with: what came is kept as
 * it came, in a file, with a note of how far it reaches; the next reading takes that first and asks the store for the rest.
 * Invariants: the note never says more than the file has; what is kept counts as the object's only by the object's digest,
 * so what a loss of power has left of it does no harm, and is forgotten.
 */
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Blob, BlobCallOptions, Blobs } from '@canopy/nats';
import { onDisk } from '../restore/page-file.ts';

/** What is lost at most when it is cut off. */
const NOTE_EVERY_BYTES = 4 * 1024 * 1024;
const PIECE = 1024 * 1024;

interface Note {
  readonly name: string;
  readonly bytes: number;
  readonly mark: string;
}

/** The object, from what is kept at `path` and the store. What is kept of another object is forgotten. */
export async function getKept(
  blobs: Blobs,
  name: string,
  path: string,
  options: BlobCallOptions,
): Promise<Blob | undefined> {
  const note = readNote(path, name);
  const after = note && { mark: note.mark, held: () => heldIn(path, note.bytes) };
  const blob = await blobs.get(name, { ...options, after });
  if (blob === undefined) return undefined;
  const kept = blob.resumed === true ? (note as Note).bytes : 0;
  if (kept === 0) forgetKept(path);
  return { info: blob.info, data: keeping(blob, path, kept) };
}

/** Something may be there to go on with. */
export function isKept(path: string): boolean {
  return existsSync(notePath(path));
}

/** It is whole and in its place, or of no use. */
export function forgetKept(path: string): void {
  // The note first: without it the file is nothing.
  rmSync(notePath(path), { force: true });
  rmSync(path, { force: true });
}

async function* keeping(blob: Blob, path: string, kept: number): AsyncGenerator<Uint8Array> {
  const pieces = blob.data[Symbol.asyncIterator]();
  try {
    if (kept > 0) yield* heldIn(path, kept);
    yield* keepingRest({ [Symbol.asyncIterator]: () => pieces }, blob, path, kept);
  } finally {
    // Who stops within what is kept has not begun to read the rest.
    await pieces.return?.();
  }
}

async function* keepingRest(
  pieces: AsyncIterable<Uint8Array>,
  blob: Blob,
  path: string,
  kept: number,
): AsyncGenerator<Uint8Array> {
  const file = await onDisk(path, open(path, kept > 0 ? 'r+' : 'w', 0o600));
  let at = kept;
  let noted = kept;
  try {
    for await (const piece of pieces) {
      await writeAll(file, path, piece, at);
      at += piece.length;
      if (at - noted >= NOTE_EVERY_BYTES) {
        writeNote(path, { name: blob.info.name, bytes: at, mark: blob.mark?.() });
        noted = at;
      }
      yield piece;
    }
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, path: string, piece: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < piece.length; )
    done += (await onDisk(path, file.write(piece, done, piece.length - done, at + done))).bytesWritten;
}

async function* heldIn(path: string, bytes: number): AsyncGenerator<Uint8Array> {
  const file = await onDisk(path, open(path, 'r'));
  try {
    for (let at = 0; at < bytes; ) {
      const piece = new Uint8Array(Math.min(PIECE, bytes - at));
      const { bytesRead } = await onDisk(path, file.read(piece, 0, piece.length, at));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function notePath(path: string): string {
  return `${path}.json`;
}

function readNote(path: string, name: string): Note | undefined {
  try {
    const note = JSON.parse(readFileSync(notePath(path), 'utf8')) as Note;
    return note.name === name && note.bytes > 0 && note.bytes <= statSync(path).size ? note : undefined;
  } catch {
    // None, or of no use: it is read from the beginning.
    return undefined;
  }
}

function writeNote(path: string, note: { name: string; bytes: number; mark: string | undefined }): void {
  if (note.mark === undefined) return;
  const temporary = `${notePath(path)}.new`;
  writeFileSync(temporary, JSON.stringify(note), { mode: 0o600 });
  renameSync(temporary, notePath(path));
}
