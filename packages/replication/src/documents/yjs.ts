/**
 * A Yjs document as a value that merges: text and rich documents next to our counters and sets. Yjs does the merging; this
 * gives it the same face, checks what comes from the wire, and keeps merges from changing their inputs. Needs `yjs` 13,
 * an optional peer dependency.
 */
import * as Y from 'yjs';
import { checkKind, MERGEABLE, type Mergeable } from '../crdt/mergeable.ts';
import { registerRecordType } from '../crdt/record-codec.ts';
import { StateReader } from '../crdt/state-reader.ts';
import { fromBase64, toBase64 } from './base64.ts';

const KIND = 'YjsDocument';
const READER = new StateReader(KIND);

export interface YjsState {
  /** The whole document as one update, base64. */
  readonly yjs: string;
}

export class YjsDocument implements Mergeable {
  readonly [MERGEABLE] = KIND;
  /** To read and observe. What is changed on it directly is part of the state; only `change` returns a delta. */
  readonly doc: Y.Doc;

  /** Takes over `doc`; default a new one. Yjs gives each document a random client id: never set one that was used before. */
  constructor(doc: Y.Doc = new Y.Doc()) {
    this.doc = doc;
  }

  /** Throws CRDT_STATE_INVALID when `json` is no document. */
  static fromJSON(json: unknown): YjsDocument {
    const document = new YjsDocument();
    document.apply(fromBase64(READER.record(json, 'the state').yjs, READER));
    return document;
  }

  /**
   * Runs `change` as one transaction and returns the delta. When `change` throws, what it did until then stays, as Yjs has it, and
   * is found in the state.
   */
  change(change: (doc: Y.Doc) => void): Uint8Array {
    const updates: Uint8Array[] = [];
    const keep = (update: Uint8Array): void => void updates.push(update);
    this.doc.on('update', keep);
    try {
      this.doc.transact(() => change(this.doc));
    } finally {
      this.doc.off('update', keep);
    }
    return Y.mergeUpdates(updates.length === 0 ? [Y.encodeStateAsUpdate(new Y.Doc())] : updates);
  }

  /**
   * Takes over a delta, or a whole state as an update. One that builds on changes that have not arrived yet waits for them
   * (`isComplete`). Throws CRDT_STATE_INVALID for bytes that are no update; the document is then as before.
   */
  apply(delta: Uint8Array): void {
    try {
      Y.decodeUpdate(delta);
      Y.applyUpdate(this.doc, delta);
    } catch (error) {
      throw READER.invalid(`it is no update: ${(error as Error).message}`, error);
    }
  }

  /** What this replica has seen; for `deltaSince` of another one. */
  seen(): Uint8Array {
    return Y.encodeStateVector(this.doc);
  }

  /** What a replica that has `seen` lacks, as one delta. Throws CRDT_STATE_INVALID when `seen` is not what `seen()` gives. */
  deltaSince(seen: Uint8Array): Uint8Array {
    try {
      return Y.encodeStateAsUpdate(this.doc, seen);
    } catch (error) {
      throw READER.invalid(`the state vector can not be read: ${(error as Error).message}`, error);
    }
  }

  /** False while a delta waits for others. */
  isComplete(): boolean {
    return this.doc.store.pendingStructs === null && this.doc.store.pendingDs === null;
  }

  /** Takes over all that `other` has, in place. Throws CRDT_KIND_MISMATCH for a value of another type. */
  merge(other: YjsDocument): void {
    checkKind(this, other);
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(other.doc));
  }

  mergedWith(other: Mergeable): YjsDocument {
    checkKind(this, other);
    const merged = new YjsDocument();
    merged.merge(this);
    merged.merge(other as YjsDocument);
    return merged;
  }

  /** Equal for replicas that have seen the same changes, whatever the bytes of their states. */
  fingerprint(): string {
    return toBase64(Y.encodeSnapshot(Y.snapshot(this.doc)));
  }

  toJSON(): YjsState {
    return { yjs: toBase64(Y.encodeStateAsUpdate(this.doc)) };
  }
}

registerRecordType(KIND, (state) => YjsDocument.fromJSON(state));
