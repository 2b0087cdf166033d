/** The adapters, with the real libraries. */
import * as Automerge from '@automerge/automerge';
import { hasCode } from '@canopy/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Y from 'yjs';
import { AutomergeDocument } from '../../src/documents/automerge.ts';
import { YjsDocument } from '../../src/documents/yjs.ts';
import { CRDTMergeStrategy, GCounter } from '../../src/index.ts';
import { canonicalText } from '../../src/values/canonical.ts';
import { checkLaws, type Replica } from '../crdt/laws.ts';

const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (hasCode(error, 'CRDT_STATE_INVALID', 'CRDT_KIND_MISMATCH')) return error.code;
    throw error;
  }
  return 'none';
};
const overWire = <T>(state: T): T => JSON.parse(JSON.stringify(state)) as T;
const DAMAGED = [
  null,
  5,
  {},
  { yjs: 5, automerge: 5 },
  ...['', '!', 'AQID', '/////w8='].map((x) => ({ yjs: x, automerge: x })),
];

interface Held<D, Delta> {
  merge(other: Held<D, Delta>): void;
  mergedWith(other: never): unknown;
  apply(delta: Delta): void;
  fingerprint(): string;
}

/** A document or a delta of one, seen through its content: bytes of equal states may differ. */
class Seen<D extends Held<unknown, Delta>, Delta> implements Replica<Seen<D, Delta>> {
  readonly held: D;
  readonly delta: Delta | undefined;
  readonly content: (held: D) => unknown;

  constructor(held: D, content: (held: D) => unknown, delta?: Delta) {
    this.held = held;
    this.content = content;
    this.delta = delta;
  }

  merge(other: Seen<D, Delta>): void {
    if (other.delta === undefined) this.held.merge(other.held as never);
    else this.held.apply(other.delta);
  }

  mergedWith(other: Seen<D, Delta>): Seen<D, Delta> {
    if (other.delta === undefined)
      return new Seen<D, Delta>(this.held.mergedWith(other.held as never) as D, this.content);
    const merged = this.copy();
    merged.merge(other);
    return merged;
  }

  copy(): Seen<D, Delta> {
    return new Seen<D, Delta>(this.held.mergedWith(this.held as never) as D, this.content);
  }

  toJSON(): unknown {
    return [this.held.fingerprint(), canonicalText(JSON.parse(JSON.stringify(this.content(this.held))))];
  }
}

const op = fc.record({
  insert: fc.boolean(),
  at: fc.nat(9),
  text: fc.constantFrom('a', 'bc', 'é😀'),
  key: fc.constantFrom('x', 'y'),
});

describe('YjsDocument', () => {
  const content = ({ doc }: YjsDocument): unknown => [doc.getText('t').toString(), doc.getMap('m').toJSON()];

  it('keeps the laws', () => {
    checkLaws<Seen<YjsDocument, Uint8Array>, { insert: boolean; at: number; text: string; key: string }>(
      {
        make: () => new Seen(new YjsDocument(), content),
        op,
        apply: (seen, { insert, at, text, key }) => {
          const delta = seen.held.change((doc) => {
            const body = doc.getText('t');
            if (insert) body.insert(Math.min(at, body.length), text);
            else if (body.length > 0) body.delete(Math.min(at, body.length - 1), 1);
            doc.getMap('m').set(key, text);
          });
          return new Seen<YjsDocument, Uint8Array>(new YjsDocument(), content, delta);
        },
      },
      { runs: 40 },
    );
  });

  it('travels as JSON, as deltas in any order, and as what another lacks', () => {
    const first = new YjsDocument();
    const deltas = ['one ', 'two ', 'three'].map((text) =>
      first.change((doc) => doc.getText('t').insert(doc.getText('t').length, text)),
    );
    const second = new YjsDocument();
    for (const delta of deltas.toReversed()) {
      expect(second.isComplete()).toBe(delta === deltas[2]);
      second.apply(delta);
    }
    expect([second.isComplete(), second.doc.getText('t').toString()]).toEqual([true, 'one two three']);
    const third = YjsDocument.fromJSON(overWire(second.toJSON()));
    first.change((doc) => doc.getText('t').delete(0, 4));
    third.apply(first.deltaSince(third.seen()));
    expect(third.doc.getText('t').toString()).toBe('two three');
    expect(third.fingerprint()).toBe(first.fingerprint());
    expect(third.fingerprint()).not.toBe(second.fingerprint());
    expect(first.change(() => undefined).length).toBeLessThan(4);
  });

  it('refuses what is no document, and is as before', () => {
    for (const json of DAMAGED)
      expect(
        refusal(() => YjsDocument.fromJSON(json)),
        JSON.stringify(json),
      ).toBe('CRDT_STATE_INVALID');
    const document = new YjsDocument();
    document.change((doc) => doc.getText('t').insert(0, 'kept'));
    const before = document.fingerprint();
    expect(refusal(() => document.apply(new Uint8Array([3, 1, 2])))).toBe('CRDT_STATE_INVALID');
    expect(refusal(() => document.deltaSince(new Uint8Array([9])))).toBe('CRDT_STATE_INVALID');
    expect(refusal(() => document.merge(new GCounter() as never))).toBe('CRDT_KIND_MISMATCH');
    expect(document.fingerprint()).toBe(before);
  });

  it('a change that throws is thrown, and the document goes on', () => {
    const document = new YjsDocument();
    const fail = () =>
      document.change(() => {
        throw new RangeError('mine');
      });
    expect(fail).toThrow(RangeError);
    const delta = document.change((doc) => doc.getMap('m').set('x', 1));
    expect(document.doc._observers.get('update')?.size ?? 0).toBe(0);
    const other = new YjsDocument();
    other.apply(delta);
    expect(other.doc.getMap('m').get('x')).toBe(1);
    expect(YjsDocument.fromJSON(new YjsDocument(new Y.Doc()).toJSON()).isComplete()).toBe(true);
  });
});

interface Note {
  text: string;
  map: Record<string, string>;
}

const put =
  (key: string, text: string) =>
  (note: Note): void => {
    note.map[key] = text;
  };

describe('AutomergeDocument', () => {
  const clock = { wall: () => 1_700_000_000_000 };
  const origin = Automerge.from<Note & Record<string, unknown>>({ text: '', map: {} }, '0a');
  const start = (): AutomergeDocument<Note> => new AutomergeDocument<Note>(origin as Automerge.Doc<Note>, clock);

  it('keeps the laws', () => {
    checkLaws<Seen<AutomergeDocument<Note>, Uint8Array[]>, { insert: boolean; at: number; text: string; key: string }>(
      {
        make: () => new Seen(start(), ({ doc }) => doc),
        op,
        apply: (seen, { insert, at, text, key }) => {
          const delta = seen.held.change((note) => {
            const { length } = note.text;
            if (insert) Automerge.splice(note, ['text'], Math.min(at, length), 0, text);
            else if (length > 0) Automerge.splice(note, ['text'], Math.min(at, length - 1), 1);
            note.map[key] = text;
          });
          return new Seen<AutomergeDocument<Note>, Uint8Array[]>(start(), ({ doc }) => doc, delta);
        },
      },
      { runs: 25 },
    );
  });

  it('travels as JSON, as deltas in any order, and as what another lacks', () => {
    const first = start();
    const deltas = ['one ', 'two ', 'three'].map((text) =>
      first.change((note) => Automerge.splice(note, ['text'], note.text.length, 0, text)),
    );
    const second = start();
    for (const delta of deltas.toReversed()) {
      expect(second.isComplete()).toBe(delta === deltas[2]);
      second.apply(delta);
    }
    expect([second.isComplete(), second.doc.text]).toEqual([true, 'one two three']);
    const third = AutomergeDocument.fromJSON<Note>(overWire(second.toJSON()), clock);
    const before = third.doc;
    first.change((note) => Automerge.splice(note, ['text'], 0, 4));
    third.apply(first.deltaSince(third.seen()));
    expect([third.doc.text, before.text]).toEqual(['two three', 'one two three']);
    expect(third.fingerprint()).toBe(first.fingerprint());
    expect(third.fingerprint()).not.toBe(second.fingerprint());
    third.change(put('x', 'only here'));
    expect(first.deltaSince(third.seen()).length).toBe(Automerge.getAllChanges(first.doc).length);
    expect(Automerge.getHistory(first.doc).at(-1)?.change.time).toBe(1_700_000_000);
  });

  it('refuses what is no document, and is as before', () => {
    for (const json of DAMAGED)
      expect(
        refusal(() => AutomergeDocument.fromJSON(json)),
        JSON.stringify(json),
      ).toBe('CRDT_STATE_INVALID');
    const document = start();
    const [change] = document.change(put('x', 'kept')) as [Uint8Array];
    const before = document.fingerprint();
    const damaged = change.slice();
    damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 0xff;
    const text = document.toJSON().automerge;
    for (const json of [`${text} `, `${text.slice(0, 8)}!${text.slice(8)}`])
      expect(refusal(() => AutomergeDocument.fromJSON({ automerge: json }))).toBe('CRDT_STATE_INVALID');
    const other = start();
    const [good] = other.change(put('y', 'not taken over')) as [Uint8Array];
    expect(refusal(() => document.apply([good, damaged]))).toBe('CRDT_STATE_INVALID');
    expect(document.fingerprint()).toBe(before);
    for (const bytes of [damaged, new Uint8Array([1, 2, 3]), new Uint8Array()])
      expect(refusal(() => document.apply([bytes]))).toBe('CRDT_STATE_INVALID');
    expect(refusal(() => document.merge(new GCounter() as never))).toBe('CRDT_KIND_MISMATCH');
    expect(document.fingerprint()).toBe(before);
    document.change(put('x', 'goes on'));
    expect(document.doc.map.x).toBe('goes on');
  });

  it('a change that throws changes nothing', () => {
    const document = start();
    const fail = () =>
      document.change((note) => {
        note.map.x = 'lost';
        throw new RangeError('mine');
      });
    expect(fail).toThrow(RangeError);
    expect(document.doc.map).toEqual({});
    expect(document.change(put('x', 'kept'))).toHaveLength(1);
  });

  it('refuses changes of two documents under one actor, and stays usable', () => {
    const [mine, theirs] = ['mine', 'theirs'].map((text) =>
      Automerge.change(Automerge.clone(origin, 'cc'), { time: 0 }, put('x', text)),
    ) as [Automerge.Doc<Note>, Automerge.Doc<Note>];
    const document = new AutomergeDocument<Note>(mine, clock);
    expect(refusal(() => document.apply(Automerge.getAllChanges(theirs)))).toBe('CRDT_STATE_INVALID');
    expect(document.doc.map.x).toBe('mine');
    document.change(put('y', 'on'));
    expect(document.doc.map).toEqual({ x: 'mine', y: 'on' });
  });
});

it('both are values that merge for a CRDT merge, which changes neither input', () => {
  const [yjs, other] = [new YjsDocument(), new YjsDocument()];
  yjs.change((doc) => doc.getMap('m').set('a', 1));
  other.change((doc) => doc.getMap('m').set('b', 2));
  const before = yjs.fingerprint();
  const result = new CRDTMergeStrategy().resolve(
    { value: { text: yjs, alone: yjs }, timestamp: 2, nodeId: 'a' },
    { value: { text: other }, timestamp: 1, nodeId: 'b' },
  );
  expect(result.value.text.doc.getMap('m').toJSON()).toEqual({ a: 1, b: 2 });
  expect(result.value.alone).not.toBe(yjs);
  expect(yjs.fingerprint()).toBe(before);
});
