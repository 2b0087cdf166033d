/**
 * An Automerge document as a value that merges: JSON-like documents and text with their whole history. Automerge does the merging;
 * this gives it the same face, checks what comes from the wire, and keeps merges from changing their inputs. Needs
 * `@automerge/automerge` 3, an optional peer dependency.
 */
import * as Automerge from '@automerge/automerge';
import { type Clock, systemClock } from '@canopy/core';
import { checkKind, MERGEABLE, type Mergeable } from '../crdt/mergeable.ts';
import { registerRecordType } from '../crdt/record-codec.ts';
import { StateReader } from '../crdt/state-reader.ts';
import { fromBase64, toBase64 } from './base64.ts';

const KIND = 'AutomergeDocument';
const READER = new StateReader(KIND);

export interface AutomergeState {
  /** The saved document, base64. */
  readonly automerge: string;
}

export class AutomergeDocument<T = Record<string, unknown>> implements Mergeable {
  readonly [MERGEABLE] = KIND;
  readonly #clock: Pick<Clock, 'wall'>;
  #doc: Automerge.Doc<T>;

  /**
   * A copy of `doc`; default an empty one. Replicas of one document must begin with one state (`fromJSON`), not each with its own
   * initial values. `clock` dates the changes; default the system's.
   */
  constructor(doc?: Automerge.Doc<T>, clock: Pick<Clock, 'wall'> = systemClock) {
    this.#doc = doc === undefined ? Automerge.init<T>() : Automerge.clone(doc);
    this.#clock = clock;
  }

  /** Throws CRDT_STATE_INVALID when `json` is no document. */
  static fromJSON<T = Record<string, unknown>>(json: unknown, clock?: Pick<Clock, 'wall'>): AutomergeDocument<T> {
    const bytes = fromBase64(READER.record(json, 'the state').automerge, READER);
    const document = new AutomergeDocument<T>(undefined, clock);
    try {
      document.#doc = Automerge.load<T>(bytes);
    } catch (error) {
      throw READER.invalid(`it is no saved document: ${String(error)}`, error);
    }
    return document;
  }

  /** The document as it is now: plain, frozen, and not changed by what comes later. */
  get doc(): Automerge.Doc<T> {
    return this.#doc;
  }

  /** Runs `change` on a draft and returns the delta. When `change` throws, nothing is changed. */
  change(change: Automerge.ChangeFn<T>): Uint8Array[] {
    const time = Math.floor(this.#clock.wall() / 1000);
    const before = this.#doc;
    this.#doc = Automerge.change(before, { time }, change);
    const made = this.#doc === before ? undefined : Automerge.getLastLocalChange(this.#doc);
    return made === undefined ? [] : [made];
  }

  /**
   * Takes over a delta. One that builds on changes that have not arrived yet waits for them (`isComplete`). Throws
   * CRDT_STATE_INVALID for bytes that are no changes; the document is then as before.
   */
  apply(delta: readonly Uint8Array[]): void {
    try {
      [this.#doc] = Automerge.applyChanges(this.#doc, [...delta]);
    } catch (error) {
      throw READER.invalid(`these are no changes: ${String(error)}`, error);
    }
  }

  /** What this replica has seen; for `deltaSince` of another one. */
  seen(): Automerge.Heads {
    return Automerge.getHeads(this.#doc);
  }

  /** What a replica that has `seen` lacks. Everything, when this one does not know what the other has seen. */
  deltaSince(seen: Automerge.Heads): Uint8Array[] {
    const known = Automerge.hasHeads(this.#doc, [...seen]);
    return Automerge.getChangesSince(this.#doc, known ? [...seen] : []);
  }

  /** False while a delta waits for others. */
  isComplete(): boolean {
    return Automerge.getMissingDeps(this.#doc, []).length === 0;
  }

  /** Takes over all that `other` has, in place. Throws CRDT_KIND_MISMATCH for a value of another type. */
  merge(other: AutomergeDocument<T>): void {
    checkKind(this, other);
    if (other !== this) this.#doc = Automerge.merge(this.#doc, other.#doc);
  }

  mergedWith(other: Mergeable): AutomergeDocument<T> {
    checkKind(this, other);
    const merged = new AutomergeDocument<T>(this.#doc, this.#clock);
    merged.merge(other as AutomergeDocument<T>);
    return merged;
  }

  /** Equal for replicas that have seen the same changes, whatever the bytes of their states. */
  fingerprint(): string {
    return [...this.seen()].sort().join(' ');
  }

  toJSON(): AutomergeState {
    return { automerge: toBase64(Automerge.save(this.#doc)) };
  }
}

registerRecordType(KIND, (state) => AutomergeDocument.fromJSON(state));
